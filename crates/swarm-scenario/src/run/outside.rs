//! Clients from outside: a program of somebody else's, started with the addresses of the clusters in its environment. Only
//! a live world has sockets that such a program can reach.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use swarm_cluster::NodeRef;
use swarm_types::Instant;

use super::{Expected, Run, lock, workload};
use crate::language::model::Workload;

/// How often it is looked whether the program has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A program that is ended with whoever waits for it.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // With everything that it has started; where it has ended by itself, nobody is left to be told.
        let group = format!("-{}", self.0.id());
        drop(Command::new("kill").args(["-TERM", "--", &group]).stderr(Stdio::null()).status());
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs a workload's program to its end, or to the workload's. How it ended is one of the expectations of the run.
pub(crate) async fn run_program(
    run: &Arc<Run>,
    workload: &Workload,
    command: &str,
    until: Option<Instant>,
) {
    let ended = wait_for(run, workload, command, until).await;
    let (held, detail) = match ended {
        Ok(detail) => (true, detail),
        Err(detail) => (false, detail),
    };
    let expected = Expected {
        line: workload.line,
        text: format!("the program of {} succeeds", workload.name),
        held,
        at: run.since_start(run.now()),
        detail,
    };
    lock(&run.steps).programs.push(expected);
}

async fn wait_for(
    run: &Arc<Run>,
    workload: &Workload,
    command: &str,
    until: Option<Instant>,
) -> Result<String, String> {
    let started = Command::new("sh")
        .args(["-c", command])
        .envs(environment(run, &workload.on))
        .process_group(0)
        .stdin(Stdio::null())
        // What a run says goes to standard output.
        .stdout(Stdio::from(std::io::stderr()))
        .spawn();
    let mut program = Program(started.map_err(|error| format!("cannot be started: {error}"))?);
    loop {
        match program.0.try_wait() {
            Ok(Some(status)) => return told(status),
            Ok(None) if !workload::goes_on(run, workload, run.now(), until) => {
                return Ok("ended by the scenario".to_owned());
            }
            Ok(None) => run.env().sleep(LOOK_EVERY).await,
            Err(error) => return Err(format!("cannot be waited for: {error}")),
        }
    }
}

fn told(status: ExitStatus) -> Result<String, String> {
    if status.success() { Ok(status.to_string()) } else { Err(status.to_string()) }
}

/// `SWARM_NODES` and `SWARM_MANAGEMENT` for the workload's own cluster, and the same for every cluster with its name behind.
fn environment(run: &Run, on: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for cluster in run.scenario.clusters.keys() {
        let nodes = run.world.nodes(cluster);
        let scsp = addresses(&nodes, |node| run.world.scsp(node).to_string());
        let management = addresses(&nodes, |node| run.world.management(node).to_string());
        for (variable, value) in [("SWARM_NODES", scsp), ("SWARM_MANAGEMENT", management)] {
            if cluster == on {
                all.push((variable.to_owned(), value.clone()));
            }
            all.push((format!("{variable}_{}", shouted(cluster)), value));
        }
    }
    all
}

fn addresses(nodes: &[NodeRef], of: impl Fn(&NodeRef) -> String) -> String {
    nodes.iter().map(of).collect::<Vec<_>>().join(",")
}

/// A name as a part of a variable's.
fn shouted(name: &str) -> String {
    name.chars()
        .map(
            |letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_cluster_becomes_the_end_of_a_variable() {
        assert_eq!(shouted("dr-site_2"), "DR_SITE_2");
    }
}
