//! The node's status page, `GET /` (SCSP READ; SCSP Compatibility and Support).

use std::fmt::Write as _;

use swarm_env::Env;
use swarm_node::{NodeConfig, NodeStatus};
use swarm_types::httpdate;

use crate::codec::FieldBlock;
use crate::status::ALLOW;

/// Bytes of the gigabyte that capacities are shown in.
const GIGABYTE: u64 = 1_000_000_000;

/// The header block of the page.
pub(crate) fn block(status: &NodeStatus, config: &NodeConfig, env: &Env) -> FieldBlock {
    let mut block = FieldBlock::new();
    block.push("Content-Type", "text/html");
    block.push("Cache-Control", "no-cache");
    block.push("Expires", httpdate::format(env.wall()));
    block.push("Age", "0");
    block.push("Allow", ALLOW);
    let gigabytes = |bytes: u64| (bytes / GIGABYTE).to_string();
    block.push("Castor-System-TotalGBAvailable", gigabytes(status.cluster_free));
    block.push("Castor-System-TotalGBCapacity", gigabytes(status.cluster_capacity));
    block.push("Castor-System-Cluster", config.cluster.as_str());
    block.push_fmt("Etag", format_args!("\"{}\"", env.random_etag("http status page")));
    block
}

/// The page itself; scanners know it by its beginning.
pub(crate) fn html(status: &NodeStatus, config: &NodeConfig) -> String {
    let mut page = format!(
        "<html><head><title>CAStor Node Status</title></head><body><h2>CAStor Node IP {}</h2>\r\n\
         <p>Cluster {}, state {}, {} requests under way</p>\r\n<table>\r\n",
        status.id,
        escape(config.cluster.as_str()),
        status.state.word(),
        status.requests,
    );
    let mut row = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "<tr><td>{}</td><td>{}</td></tr>\r", escape(name), escape(value));
    };
    for volume in &status.volumes {
        let used =
            format!("{}, {} of {} bytes used", volume.state.word(), volume.used, volume.capacity);
        row(&volume.disk, &used);
    }
    for (node, state) in &status.members {
        row(&node.to_string(), state.word());
    }
    for (name, count) in &status.counters {
        row(name, &count.to_string());
    }
    page.push_str("</table></body></html>\r\n");
    page
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
