//! Before the clock of a scenario starts: healthy clusters, the domains and buckets that the file asks for, and its feeds.

use std::sync::Arc;
use std::time::Duration;

use swarm_client::Auth;

use super::operate::{Ask, Ended, Order, perform};
use super::{Run, feeds, idle, lock, watch};
use crate::language::model::{Context, Retry, RetryOn, Via};
use crate::ledger::Object;

/// A cluster of blank disks that is not healthy by then never will be.
const HEALTHY_WITHIN: Duration = Duration::from_secs(600);
/// Contexts are created before anything breaks, so a few tries are plenty.
const TRIES: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(30);

/// The administrator that every node knows from the start (Defining Swarm Admins and Users).
pub(crate) fn admin() -> Auth {
    Auth::basic("admin", "ourpwdofchoicehere")
}

/// Waits for healthy clusters, creates the contexts, and then the feeds, which carry them.
///
/// # Errors
/// What did not come about, in a sentence.
pub(crate) async fn prepare(run: &Arc<Run>) -> Result<(), String> {
    let clusters: Vec<String> = run.scenario.clusters.keys().cloned().collect();
    for cluster in &clusters {
        let deadline = run.now() + HEALTHY_WITHIN;
        while let Err(why) = watch::healthy(run, cluster).await {
            if run.now() >= deadline {
                return Err(format!("{cluster} did not become healthy: {why}"));
            }
            run.env().sleep(watch::LOOK_EVERY).await;
        }
    }
    idle::remember_tasks(run).await;
    for domain in run.scenario.domains.clone() {
        create(run, &domain).await?;
    }
    for bucket in run.scenario.buckets.clone() {
        create(run, &bucket).await?;
    }
    feeds::define_all(run).await
}

async fn create(run: &Arc<Run>, context: &Context) -> Result<(), String> {
    let target = context.target();
    let (object, body) = {
        let mut ledger = lock(&run.ledger);
        let parent =
            context.path.split_once('/').and_then(|(domain, _)| ledger.find(&context.on, domain));
        let object = ledger.named(&context.on, &context.path, || {
            let mut object = Object::new(&context.path, &context.on, Some(target.clone()));
            object.headers.clone_from(&context.headers);
            object.parents = parent.into_iter().collect();
            object
        });
        (object, ledger.new_body(object, 0))
    };
    let on = vec![RetryOn::Status(503), RetryOn::Timeout, RetryOn::Reset, RetryOn::Refused];
    let order = Order {
        object,
        ask: Ask::Store { method: "POST", target, body: body.into(), half_sent: None },
        client: 0,
        first: run.first_node(&context.on, &Via::AnyNode),
        retry: Retry { times: TRIES, on },
        patience: PATIENCE,
        auth: Some(admin()),
        headers: vec![("Content-Type".to_owned(), "application/castorcontext".to_owned())],
    };
    let done = perform(run, &order).await;
    if done.ended == Ended::Acknowledged {
        return Ok(());
    }
    let answer =
        done.status.map_or_else(|| "no answer".to_owned(), |status| format!("status {status}"));
    let text = done.headers.text("castor-system-error-text").unwrap_or("").to_owned();
    Err(format!("{} could not be created: {answer} {text}", context.path))
}
