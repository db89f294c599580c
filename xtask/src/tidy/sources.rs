//! Reads every source file for what neither rustc nor clippy can say.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::Finding;
use crate::cargo::Workspace;

/// Most lines of production code in a file, unless it says why it needs more.
const LINES_MAX: usize = 800;

/// Begins the line with which a file asks for more; the reason follows.
const LONG_FILE: &str = "// tidy: a long file, because ";

/// Folders that hold no source of ours.
const SKIPPED: [&str; 2] = ["target", ".git"];

/// Words that no code may contain, and where they may stand after all.
struct Forbidden {
    word: &'static str,
    /// What to use in its place.
    instead: &'static str,
    /// Beginnings of the paths that are excepted.
    except: &'static [&'static str],
    /// Whether the code of tests is excepted too.
    in_tests: bool,
}

/// Where real time is measured or waited for.
const REAL_TIME: &[&str] = &[
    "crates/swarm-env/src/live",
    // hyper's timer trait speaks std instants; they are counted from one that is taken once.
    "crates/swarm-env/src/hyper_rt.rs",
    "crates/swarm-cli/",
    "crates/swarm-bench/",
    "xtask/",
    "tests/",
];

/// Where the outside world is reached on purpose. Whatever runs on a simulated node is not among them.
const OUTSIDE: &[&str] = &[
    "crates/swarm-env/src/live",
    "crates/swarm-store/",
    "crates/swarm-cluster/",
    "crates/swarm-scenario/",
    "crates/swarm-cli/",
    "crates/swarm-bench/",
    "xtask/",
    "tests/",
];

const FORBIDDEN: &[Forbidden] = &[
    Forbidden {
        word: concat!("select", "!"),
        instead: "futures_util::future::select or poll_fn: the order of the branches must be fixed",
        except: &[],
        in_tests: false,
    },
    Forbidden {
        word: concat!("Hash", "Map"),
        instead: "BTreeMap: the order of iteration must be the same in every run",
        except: &[],
        in_tests: false,
    },
    Forbidden {
        word: concat!("Hash", "Set"),
        instead: "BTreeSet: the order of iteration must be the same in every run",
        except: &[],
        in_tests: false,
    },
    Forbidden {
        word: concat!("Instant::", "now"),
        instead: "Env::now",
        except: REAL_TIME,
        in_tests: true,
    },
    Forbidden {
        word: concat!("SystemTime::", "now"),
        instead: "Env::wall",
        except: REAL_TIME,
        in_tests: true,
    },
    Forbidden {
        word: concat!("std::", "fs"),
        instead: "Env::disks",
        except: OUTSIDE,
        in_tests: true,
    },
    Forbidden {
        word: concat!("thread::", "spawn"),
        instead: "Env::spawn or Env::offload",
        except: OUTSIDE,
        in_tests: true,
    },
    Forbidden {
        word: concat!("std::", "process"),
        instead: "an error",
        except: OUTSIDE,
        in_tests: true,
    },
    Forbidden {
        word: concat!("Tcp", "Stream"),
        instead: "Env::net",
        except: OUTSIDE,
        in_tests: true,
    },
    Forbidden {
        word: concat!("Udp", "Socket"),
        instead: "Env::net",
        except: OUTSIDE,
        in_tests: true,
    },
    Forbidden {
        word: concat!("#[", "ignore"),
        instead: "a test that runs",
        except: &[],
        in_tests: false,
    },
];

/// Places outside the project, which stands alone.
const ELSEWHERE: [&str; 3] =
    [concat!("../", "shared"), concat!("/", "home/"), concat!("/", "root/")];

/// Reads all sources, documents and scenario files.
pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Finding>> {
    let mut files = Vec::new();
    collect(workspace.root(), workspace.root(), &mut files)?;
    files.sort();
    let mut findings = Vec::new();
    for file in &files {
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if !matches!(ending, "rs" | "md" | "toml" | "yml") {
            continue;
        }
        let path = workspace.root().join(file);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let source = Source { file, text: &text, tests_from: tests_from(file, &text) };
        findings.extend(source.references(&files));
        if ending == "rs" {
            findings.extend(source.shape());
            findings.extend(source.words());
        }
    }
    Ok(findings)
}

struct Source<'a> {
    file: &'a Path,
    text: &'a str,
    /// Number of lines before the tests.
    tests_from: usize,
}

impl Source<'_> {
    fn shape(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.text.starts_with("//!") {
            findings.push(self.finding(0, "does not open with //! and what the file owns"));
        }
        let excepted = self.text.lines().any(|line| line.starts_with(LONG_FILE));
        if self.tests_from > LINES_MAX && !excepted {
            findings.push(self.finding(
                LINES_MAX,
                format!("over {LINES_MAX} lines; split it, or add: {LONG_FILE}…"),
            ));
        }
        findings
    }

    fn words(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (nth, line) in self.text.lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for Forbidden { word, instead, except, in_tests } in FORBIDDEN {
                let excepted = except.iter().any(|start| self.begins_with(start));
                if line.contains(word) && !excepted && !(*in_tests && nth >= self.tests_from) {
                    findings
                        .push(self.finding(nth, format!("{word} is not for here; use {instead}")));
                }
            }
        }
        findings
    }

    /// The project stands alone: it names no place outside, and no document that it does not have.
    fn references(&self, files: &[PathBuf]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (nth, line) in self.text.lines().enumerate() {
            for place in ELSEWHERE.iter().filter(|place| line.contains(**place)) {
                findings.push(self.finding(nth, format!("{place} is outside the project")));
            }
            let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || "._-/".contains(c)));
            for word in words.filter(|word| word.len() > 3 && word.ends_with(".md")) {
                let name = word.trim_start_matches(['.', '/']);
                if !word.contains("//") && !files.iter().any(|file| file.ends_with(name)) {
                    findings.push(self.finding(nth, format!("the project has no document {word}")));
                }
            }
        }
        findings
    }

    /// Unlike `Path::starts_with`, also true for half a component.
    fn begins_with(&self, start: &str) -> bool {
        self.file.to_string_lossy().starts_with(start)
    }

    fn finding(&self, nth: usize, text: impl Into<String>) -> Finding {
        Finding { file: self.file.to_owned(), line: nth + 1, text: text.into() }
    }
}

/// How many lines of the file come before its tests, which end it; none in a file of tests.
fn tests_from(file: &Path, text: &str) -> usize {
    let is_test =
        |part: &std::ffi::OsStr| part == "tests" || part == "tests.rs" || part == "examples";
    if file.iter().any(is_test) {
        return 0;
    }
    let mut lines = text.lines().zip(text.lines().skip(1));
    let begins = |(line, next): (&str, &str)| line == "#[cfg(test)]" && next.ends_with('{');
    lines.position(begins).unwrap_or_else(|| text.lines().count())
}

/// All files below `folder`, relative to the root.
fn collect(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if !SKIPPED.iter().any(|name| entry.file_name() == *name) {
                collect(root, &path, files)?;
            }
        } else {
            files.push(path.strip_prefix(root).unwrap_or(&path).to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in a file of this name and text, as `line: text`.
    fn check(file: &str, text: &str) -> Vec<String> {
        let file = Path::new(file);
        let source = Source { file, text, tests_from: tests_from(file, text) };
        let documents = [PathBuf::from("docs/on-disk.md")];
        let findings = [source.shape(), source.words(), source.references(&documents)].concat();
        findings.iter().map(|found| format!("{}: {}", found.line, found.text)).collect()
    }

    #[test]
    fn every_forbidden_word_is_found_and_comments_may_name_it() {
        for Forbidden { word, .. } in FORBIDDEN {
            let found =
                check("crates/swarm-node/src/a.rs", &format!("//! A.\n// {word}\n{word}\n"));
            assert_eq!(found.len(), 1, "{word}: {found:?}");
            assert!(found[0].starts_with("3: "), "{found:?}");
        }
    }

    #[test]
    fn excepted_files_and_tests_may_go_outside() {
        let outside = concat!("use std::", "fs;");
        let file = format!("//! A.\n#[cfg(test)]\nmod tests {{\n{outside}\n}}\n");
        assert_eq!(check("crates/swarm-node/src/a.rs", &file), [""; 0]);
        let file = format!("//! A.\n{outside}\n");
        assert_eq!(check("crates/swarm-env/src/live/disk.rs", &file), [""; 0]);
        assert_eq!(check("crates/swarm-env/src/disk.rs", &file).len(), 1);
    }

    #[test]
    fn files_say_what_they_own_and_stay_short() {
        assert_eq!(
            check("a.rs", "fn a() {}\n"),
            ["1: does not open with //! and what the file owns"]
        );
        let long = format!("//! A.\n{}", "fn a() {}\n".repeat(LINES_MAX));
        assert_eq!(check("a.rs", &long).len(), 1);
        assert_eq!(check("a.rs", &format!("{long}{LONG_FILE}it is a table.\n")), [""; 0]);
        assert_eq!(check("a/tests.rs", &long), [""; 0]);
    }

    #[test]
    fn only_documents_of_the_project_are_cited() {
        assert_eq!(check("a.rs", "//! See `docs/on-disk.md`.\n"), [""; 0]);
        let missing = concat!("//! See [the plan](plan", ".md).\n");
        assert_eq!(check("a.rs", missing), [concat!("1: the project has no document plan", ".md")]);
        assert_eq!(check("a.rs", &format!("//! In {}.\n", ELSEWHERE[0])).len(), 1);
    }
}
