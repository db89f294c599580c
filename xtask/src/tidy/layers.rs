//! The layer table: which crate may use which. The compiler only forbids cycles; this forbids shortcuts.

use std::path::Path;

use anyhow::Context;
use cargo_metadata::{DependencyKind, Metadata, Package};

use super::Finding;
use crate::cargo::Workspace;

/// One crate's line of the table.
struct Layer {
    name: &'static str,
    /// Crates of ours.
    ours: &'static [&'static str],
    /// Crates of others.
    others: &'static [&'static str],
}

/// What the core may use of others: values, no I/O, no async, no clock, no dice, no logging.
const CORE: &[&str] = &["bytes", "jiff", "thiserror"];

/// What a crate's tests may use besides, of ours and of others; hyper as the other side of a comparison.
const FOR_TESTS: &[&str] = &[
    "swarm-sim",
    "http",
    "http-body-util",
    "hyper",
    "hyper-util",
    "proptest",
    "serde_json",
    "tempfile",
    "tokio",
];

/// Arrows go down this table only; docs/architecture.md says what each crate owns.
#[rustfmt::skip]
const LAYERS: &[Layer] = &[
    // Core.
    Layer { name: "swarm-types", ours: &[], others: CORE },
    Layer { name: "swarm-policy", ours: &["swarm-types"], others: CORE },
    Layer { name: "swarm-erasure", ours: &["swarm-types"], others: CORE },
    Layer { name: "swarm-plan", ours: &["swarm-types", "swarm-policy"], others: CORE },
    // Seam.
    Layer { name: "swarm-env", ours: &["swarm-types"], others: &[
        "bytes", "futures-util", "hyper", "hyper-util", "rand", "rand_chacha", "socket2", "thiserror", "tokio", "tracing",
    ] },
    Layer { name: "swarm-sim", ours: &["swarm-types", "swarm-env"], others: &[
        "blake3", "bytes", "crc32c", "futures-util", "rand", "rand_chacha", "thiserror", "tokio", "tracing",
    ] },
    Layer { name: "swarm-client", ours: &["swarm-types", "swarm-env"], others: &[
        "base64", "bytes", "futures-util", "http", "http-body-util", "hyper", "hyper-util", "md-5", "thiserror", "tokio",
        "tracing",
    ] },
    // Storage.
    Layer { name: "swarm-store", ours: &["swarm-types", "swarm-env"], others: &[
        "bytes", "crc32c", "futures-util", "md-5", "sled", "thiserror", "tokio", "tracing",
    ] },
    // Services.
    Layer { name: "swarm-health", ours: &[
        "swarm-types", "swarm-policy", "swarm-erasure", "swarm-plan", "swarm-env", "swarm-store",
    ], others: &["bytes", "futures-util", "thiserror", "tokio", "tracing"] },
    Layer { name: "swarm-feeds", ours: &[
        "swarm-types", "swarm-policy", "swarm-erasure", "swarm-plan", "swarm-env", "swarm-store", "swarm-client",
    ], others: &["bytes", "futures-util", "http", "regex", "serde", "serde_json", "thiserror", "tokio", "tracing"] },
    // Node and edge.
    Layer { name: "swarm-node", ours: &[
        "swarm-types", "swarm-policy", "swarm-erasure", "swarm-plan", "swarm-env", "swarm-store", "swarm-health",
        "swarm-feeds",
    ], others: &["blake3", "bytes", "futures-util", "md-5", "postcard", "serde", "thiserror", "tokio", "tracing"] },
    Layer { name: "swarm-http", ours: &[
        "swarm-types", "swarm-policy", "swarm-erasure", "swarm-plan", "swarm-env", "swarm-feeds", "swarm-node",
    ], others: &[
        "axum", "base64", "bytes", "futures-util", "http", "http-body-util", "httparse", "hyper", "hyper-util", "md-5",
        "serde", "serde_json", "thiserror", "tokio", "tower", "tracing",
    ] },
    // Runtime.
    Layer { name: "swarm-cluster", ours: &[
        "swarm-types", "swarm-policy", "swarm-erasure", "swarm-plan", "swarm-env", "swarm-sim", "swarm-client",
        "swarm-store", "swarm-health", "swarm-feeds", "swarm-node", "swarm-http",
    ], others: &[
        "bytes", "futures-util", "serde", "serde_json", "strsim", "tempfile", "thiserror", "tokio", "tracing",
        "tracing-subscriber",
    ] },
    // Harness.
    Layer { name: "swarm-scenario", ours: &["swarm-types", "swarm-client", "swarm-cluster"], others: &[
        "base64", "bytes", "crc32c", "futures-util", "http", "rand", "rand_chacha", "regex", "serde", "serde_json", "strsim",
        "thiserror", "tokio", "toml", "tracing",
    ] },
    Layer { name: "swarm-cli", ours: &["swarm-scenario", "swarm-cluster", "swarm-client"], others: &[
        "anyhow", "clap", "mimalloc", "rand", "serde", "serde_json", "tempfile", "tokio", "toml", "tracing",
        "tracing-subscriber",
    ] },
    Layer { name: "swarm-bench", ours: &[
        "swarm-types", "swarm-policy", "swarm-erasure", "swarm-plan", "swarm-env", "swarm-sim", "swarm-client",
        "swarm-store", "swarm-health", "swarm-feeds", "swarm-node", "swarm-http", "swarm-cluster", "swarm-scenario",
    ], others: &[
        "anyhow", "bytes", "clap", "futures-util", "http", "http-body-util", "httparse", "hyper", "hyper-util",
        "mimalloc", "serde", "serde_json", "tempfile", "tokio", "tower",
    ] },
    // Tools.
    Layer { name: "swarm-tests", ours: &["swarm-client", "swarm-cluster", "swarm-scenario"], others: &["base64", "bytes"] },
    Layer { name: "xtask", ours: &[], others: &["anyhow", "cargo_metadata", "clap", "serde_json"] },
];

/// Compares the manifests with the table.
pub(super) fn check(workspace: &Workspace, metadata: &Metadata) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in metadata.workspace_packages() {
        let manifest = Manifest::read(workspace, package)?;
        match LAYERS.iter().find(|layer| layer.name == package.name.as_str()) {
            Some(layer) => findings.extend(manifest.edges(package, layer)),
            None => findings.push(
                manifest.finding("name", "the layer table does not know this crate".to_owned()),
            ),
        }
        if !manifest.text.contains("[lints]\nworkspace = true\n") {
            findings.push(
                manifest.finding("[lints]", "does not opt into the workspace's lints".to_owned()),
            );
        }
    }
    Ok(findings)
}

struct Manifest<'a> {
    file: &'a Path,
    text: String,
}

impl<'a> Manifest<'a> {
    fn read(workspace: &Workspace, package: &'a Package) -> anyhow::Result<Self> {
        let path = package.manifest_path.as_std_path();
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Ok(Self { file: path.strip_prefix(workspace.root()).unwrap_or(path), text })
    }

    fn edges(&self, package: &Package, layer: &Layer) -> Vec<Finding> {
        let forbidden = package.dependencies.iter().filter(|dependency| {
            let name = dependency.name.as_str();
            let for_tests =
                dependency.kind == DependencyKind::Development && FOR_TESTS.contains(&name);
            !for_tests && !layer.ours.contains(&name) && !layer.others.contains(&name)
        });
        forbidden
            .map(|dependency| {
                let text =
                    format!("the layer table lets {} not use {}", layer.name, dependency.name);
                self.finding(&dependency.name, text)
            })
            .collect()
    }

    /// A finding at the line that begins with this word.
    fn finding(&self, word: &str, text: String) -> Finding {
        let line =
            self.text.lines().position(|line| line.starts_with(word)).unwrap_or_default() + 1;
        Finding { file: self.file.to_owned(), line, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_go_down_the_table_only() {
        for (nth, layer) in LAYERS.iter().enumerate() {
            for used in layer.ours {
                let above = LAYERS[..nth].iter().any(|layer| layer.name == *used);
                assert!(above, "{} uses {used}, which is not above it", layer.name);
            }
        }
    }

    #[test]
    fn health_and_feeds_do_not_know_each_other() {
        let uses = |name: &str, other: &str| {
            let layer = LAYERS.iter().find(|layer| layer.name == name).expect("in the table");
            layer.ours.contains(&other)
        };
        assert!(!uses("swarm-health", "swarm-feeds") && !uses("swarm-feeds", "swarm-health"));
        let sled = |layer: &&Layer| layer.others.contains(&"sled");
        let names: Vec<_> = LAYERS.iter().filter(sled).map(|layer| layer.name).collect();
        assert_eq!(names, ["swarm-store"]);
    }
}
