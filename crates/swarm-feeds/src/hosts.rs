//! The hosts of a feed's target, reached over HTTP.
//!
//! Owns which of them is turned to next, which is left alone for a while because it did not answer, and which has said that
//! it is the cluster meant. What is sent to them is not known here.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use swarm_client::{
    Auth, Client, ClientOptions, Error, ErrorKind, Patience, Request, Response, Secret, Sent,
};
use swarm_env::Env;
use swarm_types::{ClusterName, HeaderList, Instant};

use crate::backoff::ObjectTrouble;
use crate::blockade::{BUSY_MAX, TargetTrouble};
use crate::definition::Definition;
use crate::result::{Answer, Delivery, Op, of_answer};
use crate::service::lock;
use crate::wire::{Greeting, Route, greet, read_answer};

/// A request is given up when not a byte has moved for so long. A transfer over a slow way may take any time.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a host may take to say who it is: others are tried after it.
const GREETING: Duration = Duration::from_secs(10);
/// A host that did not answer is left alone for so long, if there are others (our choice).
const LEFT_ALONE: Duration = Duration::from_secs(30);
/// A host that asks to be left alone is for so long at least, and at most, if there are others (our choice).
const BUSY: RangeInclusive<Duration> = Duration::from_secs(1)..=BUSY_MAX;
/// So often a host is asked who it is (our choice).
const GREET_AGAIN: Duration = Duration::from_secs(3600);
/// A connection that nobody needed for so long is closed.
const IDLE: Duration = Duration::from_secs(30);
/// Most bytes of an answer's body that are read so that its connection can be used again.
const ANSWER: usize = 64 * 1024;

/// The node that is to have an object takes nothing: others may be for other nodes.
const ASTRAY: Delivery = Delivery::Object { status: 503, trouble: ObjectTrouble::Transient };

/// The hosts of a target.
pub(crate) struct Hosts {
    pub(crate) env: Env,
    pub(crate) client: Client,
    pub(crate) route: Route,
    definition: Definition,
    auth: Option<Auth>,
    hosts: Vec<Host>,
    /// Which host is turned to next.
    turn: AtomicUsize,
}

/// One address of the target.
pub(crate) struct Host {
    /// None for a name, which nobody can resolve here.
    at: Option<SocketAddr>,
    state: Mutex<HostState>,
}

#[derive(Default)]
struct HostState {
    /// It is left alone until then, for this reason.
    bad: Option<(Instant, TargetTrouble)>,
    /// When it last said that it is the cluster meant.
    greeted: Option<Instant>,
    /// It was complained that its software is of another version.
    complained: bool,
}

/// What came of a try at one host.
pub(crate) enum Tried {
    /// It answered.
    Over(Delivery),
    /// It did not, or it takes nothing, and nothing came of it: the next one may.
    BadHost(TargetTrouble),
    /// It has sent the request on to another node, and that one takes nothing: the next host may send it elsewhere.
    Astray,
    /// It did not, and nobody knows what came of it.
    Unknown,
}

impl Hosts {
    /// The hosts of a definition. `administrator` is taken where the definition names none.
    pub(crate) fn new(
        env: &Env,
        own: ClusterName,
        definition: &Definition,
        administrator: Option<Auth>,
    ) -> Self {
        let options = ClientOptions {
            idle_per_address: definition.threads,
            idle_for: IDLE,
            ..ClientOptions::default()
        };
        let login = definition.remote_auth.as_ref().map(|login| Auth::Digest {
            user: login.user.clone(),
            secret: Secret::Clear(login.password.clear().to_owned()),
        });
        let host = |name: &String| {
            let ip: Option<IpAddr> = name.parse().ok();
            let at = ip.map(|ip| SocketAddr::new(ip, definition.port));
            Host { at, state: Mutex::default() }
        };
        Self {
            env: env.clone(),
            client: Client::new(env.clone(), options),
            route: Route { from: own, to: definition.cluster_name.clone() },
            auth: login.or(administrator),
            hosts: definition.hosts.iter().map(host).collect(),
            turn: AtomicUsize::new(0),
            definition: definition.clone(),
        }
    }

    pub(crate) fn request(
        &self,
        to: SocketAddr,
        method: &str,
        target: String,
        headers: HeaderList,
    ) -> Request {
        let mut request = Request::new(to, method, target);
        request.headers = headers;
        request.auth.clone_from(&self.auth);
        request.patience = Patience::Idle(SILENCE);
        request
    }

    /// Sends a request and reads its answer, so that the connection can be used again.
    pub(crate) async fn ask(&self, request: Request) -> Result<(Answer, Response), Error> {
        let mut response = self.client.send(request).await?;
        // A body that breaks off is of no interest, and closes the connection.
        drop(response.body.collect(ANSWER).await);
        let answer =
            read_answer(response.status, &response.headers, &self.route.to, self.env.wall());
        Ok((answer, response))
    }

    /// What an answer to a request that `at` was asked first says of it, and of what it was asked for. Of several hosts, one that
    /// takes nothing, or asks to be left alone, says nothing of the others.
    pub(crate) fn answered(&self, op: Op, answer: Answer, by: &Response, at: SocketAddr) -> Tried {
        match of_answer(op, answer) {
            Delivery::Target(TargetTrouble::Refused | TargetTrouble::Busy { .. })
                if by.served_by != at =>
            {
                Tried::Astray
            }
            Delivery::Target(trouble @ (TargetTrouble::Refused | TargetTrouble::Busy { .. }))
                if self.hosts.len() > 1 =>
            {
                Tried::BadHost(trouble)
            }
            delivery => Tried::Over(delivery),
        }
    }

    /// Whether a host may be sent anything: it has said, not too long ago, that it is the cluster meant.
    pub(crate) async fn greet_host(&self, host: &Host) -> Result<SocketAddr, TargetTrouble> {
        let at = host.at.ok_or(TargetTrouble::Unresolvable)?;
        let greeted = lock(&host.state).greeted;
        if greeted.is_some_and(|greeted| self.env.now() < greeted + GREET_AGAIN) {
            return Ok(at);
        }
        let mut request = self.request(at, "GET", "/?admin".to_owned(), HeaderList::default());
        request.patience = Patience::Whole(GREETING);
        let asked = self.ask(request).await;
        let judged = asked.map_err(|error| trouble_of(&error)).and_then(|(answer, response)| {
            if (200..300).contains(&answer.status) {
                let greeting = greet(&response.headers, &self.route.to, self.definition.mode)?;
                self.compare(host, at, &greeting);
                return Ok(());
            }
            match of_answer(Op::Write, answer) {
                Delivery::Target(trouble) => Err(trouble),
                // It answers, but not as a cluster does.
                _ => Err(TargetTrouble::WrongCluster),
            }
        });
        match judged {
            Ok(()) => {
                let mut state = lock(&host.state);
                // Who asked to be left alone says who it is all the same.
                state.bad = state.bad.filter(|(_, it)| matches!(it, TargetTrouble::Busy { .. }));
                state.greeted = Some(self.env.now());
                Ok(at)
            }
            Err(trouble) => {
                self.leave_alone(host, trouble);
                Err(trouble)
            }
        }
    }

    /// Complains once of a host whose software is of another version. It is sent everything all the same; but not all that is
    /// versioned can be expected to arrive as it is (Object Versioning: all clusters must run the same version).
    fn compare(&self, host: &Host, at: SocketAddr, greeting: &Greeting) {
        let Some((major, minor, patch)) = greeting.other_version() else { return };
        if std::mem::replace(&mut lock(&host.state).complained, true) {
            return;
        }
        let (node, feed) = (self.env.name(), &self.definition.name);
        tracing::warn!(node, feed, host = %at, version = %format_args!("{major}.{minor}.{patch}"), "target runs another version of the software than this cluster");
    }

    fn leave_alone(&self, host: &Host, trouble: TargetTrouble) {
        let now = self.env.now();
        let mut state = lock(&host.state);
        if let TargetTrouble::Busy { retry_after } = trouble {
            // Who it is is known.
            state.bad = Some((now + retry_after.clamp(*BUSY.start(), *BUSY.end()), trouble));
        } else {
            state.bad = Some((now + LEFT_ALONE, trouble));
            state.greeted = None;
        }
    }

    /// The hosts in the order in which they are tried: in turns, and those that are left alone last.
    fn in_turn(&self) -> Vec<&Host> {
        let now = self.env.now();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.hosts.len();
        let turned = (0..count).map(|nth| &self.hosts[first.wrapping_add(nth) % count]);
        let mut hosts: Vec<&Host> = turned.collect();
        hosts.sort_by_key(|host| lock(&host.state).bad.is_some_and(|(until, _)| now < until));
        hosts
    }

    /// Tells the hosts that are not left alone apart; all, if there is none: then they are asked again.
    pub(crate) fn to_try(&self, again: bool) -> Vec<&Host> {
        let now = self.env.now();
        let mut hosts = self.in_turn();
        if !again {
            hosts.retain(|host| lock(&host.state).bad.is_none_or(|(until, _)| now >= until));
        }
        hosts
    }

    /// Why all hosts are left alone: the reason that an administrator can do most about. Of several that ask for it, the one counts
    /// that may be asked again first.
    pub(crate) fn why(&self) -> TargetTrouble {
        let now = self.env.now();
        let troubles = self.hosts.iter().filter_map(|host| {
            let known = lock(&host.state).bad.map(|(until, trouble)| match trouble {
                TargetTrouble::Busy { .. } => TargetTrouble::Busy { retry_after: until.since(now) },
                other => other,
            });
            known.or(host.at.is_none().then_some(TargetTrouble::Unresolvable))
        });
        let wait = |trouble: &TargetTrouble| match trouble {
            TargetTrouble::Busy { retry_after } => *retry_after,
            _ => Duration::ZERO,
        };
        let key = |trouble: &TargetTrouble| (weight(*trouble), wait(trouble));
        troubles.min_by_key(key).unwrap_or(TargetTrouble::Silent)
    }

    /// Where another node of the target is reached.
    pub(crate) fn at(&self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(ip, self.definition.port)
    }

    /// Asks one host after the other who it is, until one is the cluster meant. Credentials that one refuses are not tried at the
    /// others: too many wrong ones lock an account. The next greeting begins with another host.
    pub(crate) async fn greet(&self) -> Result<(), TargetTrouble> {
        for host in self.to_try(true) {
            // Somebody wants to know how it is now.
            lock(&host.state).greeted = None;
            match self.greet_host(host).await {
                Ok(_) => return Ok(()),
                Err(trouble @ TargetTrouble::Auth(_)) => return Err(trouble),
                Err(_) => {}
            }
        }
        Err(self.why())
    }

    /// Notes what came of a try at a host. Returns what came of the delivery, unless the next host is to be tried. `astray` says
    /// whether this has happened before: the target is not asked more than twice where it would have something to be.
    pub(crate) fn after(&self, host: &Host, tried: Tried, astray: &mut bool) -> Option<Delivery> {
        match tried {
            Tried::Over(Delivery::Target(TargetTrouble::WrongCluster)) => {
                self.leave_alone(host, TargetTrouble::WrongCluster);
                None
            }
            Tried::Over(delivery) => Some(delivery),
            Tried::BadHost(trouble) => {
                self.leave_alone(host, trouble);
                None
            }
            Tried::Astray => std::mem::replace(astray, true).then_some(ASTRAY),
            Tried::Unknown => {
                // What broke may have been the one connection: before anything else is sent, it says again who it is.
                lock(&host.state).greeted = None;
                Some(Delivery::Unknown)
            }
        }
    }

    /// What came of a delivery that no host has taken.
    pub(crate) fn nobody_took(&self, astray: bool) -> Delivery {
        // Whoever sends others on is there.
        if astray { ASTRAY } else { Delivery::Target(self.why()) }
    }

    /// Closes connections that nobody needed for a while.
    pub(crate) fn tidy(&self) {
        self.client.close_idle_for(IDLE);
    }
}

/// What a request that got no answer says; `repeatable` if it may be made once more whatever became of it.
pub(crate) fn tried(error: &Error, repeatable: bool) -> Tried {
    match error.kind {
        // The host has answered, with something that leads nowhere.
        ErrorKind::TooManyRedirects { .. } | ErrorKind::BadRedirect { .. } => {
            Tried::Over(Delivery::Object { status: 307, trouble: ObjectTrouble::Transient })
        }
        _ if repeatable || error.sent == Sent::Nothing => Tried::BadHost(trouble_of(error)),
        _ => Tried::Unknown,
    }
}

fn trouble_of(error: &Error) -> TargetTrouble {
    match error.kind {
        ErrorKind::Timeout => TargetTrouble::Silent,
        _ => TargetTrouble::Refused,
    }
}

/// The lower, the more it says.
const fn weight(trouble: TargetTrouble) -> u8 {
    match trouble {
        TargetTrouble::Auth(_) => 0,
        TargetTrouble::Full => 1,
        TargetTrouble::TooOld => 2,
        TargetTrouble::Silent | TargetTrouble::Refused => 3,
        // How long one asks to be left alone says nothing of when the others come back.
        TargetTrouble::Busy { .. } => 4,
        // One host of another cluster, or with a name, may be a slip; if all others are silent, they may come back.
        TargetTrouble::WrongCluster => 5,
        TargetTrouble::Unresolvable => 6,
    }
}
