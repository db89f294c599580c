//! Another cluster, as the feeds of this one see it: one host that says who it is, takes what it is sent or does not, and
//! counts.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use swarm_env::Env;
use swarm_http::codec::{Body, Limits, Request, Response, serve_connection};

/// How it takes what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It stores it, after so long.
    Takes(Duration),
    /// It answers everything with this status.
    Refuses(u16),
    /// It stores all but what is called `unwanted`, to which it answers this.
    RefusesOne(u16),
    /// It has it already.
    HasIt,
    /// It says of everything that it is told to fetch that this came of it, after so long.
    Fetches(Duration, u16),
    /// It says once that a context is missing, and fetches the next time.
    Races,
}

/// The other cluster.
#[derive(Clone)]
pub(crate) struct Target(Arc<Mutex<State>>);

struct State {
    mood: Mood,
    /// Method and target of everything asked.
    asked: Vec<String>,
}

impl Target {
    pub(crate) fn new() -> Self {
        let mood = Mood::Takes(Duration::from_millis(1));
        Self(Arc::new(Mutex::new(State { mood, asked: Vec::new() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds this")
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// How often it was asked anything; from here on it counts anew.
    pub(crate) fn asked(&self) -> usize {
        std::mem::take(&mut self.state().asked).len()
    }

    /// How many versions it was sent since it counts.
    pub(crate) fn writes(&self) -> usize {
        self.state().asked.iter().filter(|line| line.starts_with("POST ")).count()
    }

    /// Serves for ever.
    pub(crate) async fn listen(self, env: Env) {
        let listener = env.net().listen(80).await.expect("a free port");
        while let Ok((stream, _)) = listener.accept().await {
            let (target, clock) = (self.clone(), env.clone());
            let service = tower::service_fn(move |request| {
                let (target, clock) = (target.clone(), clock.clone());
                async move { Ok::<_, Infallible>(target.answer(&clock, request).await) }
            });
            let serving = serve_connection(stream, env.clone(), service, Limits::default());
            drop(env.spawn("connection", async move {
                let _end = serving.await;
            }));
        }
    }

    async fn answer(&self, env: &Env, mut request: Request) -> Response {
        while let Ok(Some(_)) = request.body.next().await {}
        let method = request.head.method().to_owned();
        let mood = {
            let mut state = self.state();
            state.asked.push(format!("{method} {}", request.head.target()));
            let mood = state.mood;
            if mood == Mood::Races && request.head.target().starts_with("/?retrieve&") {
                state.mood = Mood::Fetches(Duration::ZERO, 201);
            }
            mood
        };
        let mut body = Body::Empty;
        let mood = if mood == Mood::Races { Mood::Fetches(Duration::ZERO, 412) } else { mood };
        let status = match (mood, method.as_str()) {
            (Mood::Refuses(status), _) => status,
            (Mood::Fetches(after, status), "GET")
                if request.head.target().starts_with("/?retrieve&") =>
            {
                env.sleep(after).await;
                body = Body::Full(format!("{{\"i\":0,\"status\":{status}}}\n").into());
                200
            }
            (_, "GET") => 200,
            (Mood::RefusesOne(status), "POST") if request.head.target().contains("unwanted") => {
                status
            }
            (Mood::RefusesOne(_), "POST") => 201,
            (Mood::HasIt, "POST") => 409,
            (Mood::Takes(after), "POST") => {
                env.sleep(after).await;
                201
            }
            // The answer of a cluster that does not know what is asked.
            _ => 404,
        };
        let mut response = Response::new(status, "Whatever");
        response.fields.push("Castor-System-Cluster", "dr");
        response.body = body;
        response
    }
}
