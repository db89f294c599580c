//! Lifepoints as a workload writes them: `[+30d] reps=3, deletable=no`, then `[] delete`.
//!
//! Owns their reading and their rendering as header values. Reads well-formed text only, so that the judge knows what was
//! meant; text that is wrong on purpose goes into the headers of a `request`. Shares nothing with the nodes' parser.

use std::time::Duration;

use swarm_types::{Timestamp, httpdate};

use super::units;

/// One lifepoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifepoint {
    /// How long after the write it ends; `None` for the open one, `[]`.
    pub ends_after: Option<Duration>,
    /// What it asks for; a constraint left out has its default.
    pub says: Says,
    /// The constraints as they are sent.
    pub text: String,
}

/// The constraints of one lifepoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Says {
    /// `reps`.
    pub copies: Option<Copies>,
    /// `deletable`.
    pub deletable: Option<bool>,
    /// `delete`.
    pub delete: bool,
}

/// The value of `reps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// So many whole copies.
    Whole(u32),
    /// An erasure code of k data and p parity segments.
    Coded {
        /// Data segments.
        k: u32,
        /// Parity segments.
        p: u32,
    },
}

impl Lifepoint {
    /// Reads one lifepoint.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn read(text: &str) -> Result<Self, String> {
        let rest = text.trim().strip_prefix('[').ok_or("begins with `[`")?;
        let (end, constraints) = rest.split_once(']').ok_or("needs a `]` after its end")?;
        let ends_after = match end.trim() {
            "" => None,
            end => Some(after(end).ok_or("ends `[+30d]` after the write, or never: `[]`")?),
        };
        let text = constraints.trim().to_owned();
        let says = Says::read(&text)?;
        if says.delete && ends_after.is_some() {
            return Err("cannot both end and delete: `delete` belongs to `[]`".to_owned());
        }
        if says.delete && says.deletable == Some(false) {
            return Err("cannot both delete and forbid it".to_owned());
        }
        Ok(Self { ends_after, says, text })
    }

    /// When it ends, for a write at this time: to the second, as the header says it.
    #[must_use]
    pub fn end(&self, written: Timestamp) -> Option<Timestamp> {
        self.ends_after.map(|after| Timestamp::from_secs((written + after).secs()))
    }

    /// The value of its header, for a write at this time.
    #[must_use]
    pub fn header(&self, written: Timestamp) -> String {
        let end = self.end(written).map(httpdate::format).unwrap_or_default();
        format!("[{end}] {}", self.text)
    }
}

impl Says {
    fn read(text: &str) -> Result<Self, String> {
        let mut says = Self::default();
        for constraint in text.split(',').map(str::trim) {
            let twice = || format!("says {constraint:?} after having said so already");
            match constraint.split_once('=') {
                None if constraint == "delete" => {
                    if std::mem::replace(&mut says.delete, true) {
                        return Err(twice());
                    }
                }
                Some(("reps", value)) => {
                    let copies = copies(value).ok_or("takes `reps=3` or `reps=5:2`")?;
                    if says.copies.replace(copies).is_some() {
                        return Err(twice());
                    }
                }
                Some(("deletable", value @ ("yes" | "no"))) => {
                    if says.deletable.replace(value == "yes").is_some() {
                        return Err(twice());
                    }
                }
                _ => {
                    return Err(format!(
                        "says {constraint:?}, which is none of reps=N, reps=k:p, deletable=yes, deletable=no and delete"
                    ));
                }
            }
        }
        Ok(says)
    }
}

fn after(text: &str) -> Option<Duration> {
    let after = units::duration(text.strip_prefix('+')?)?;
    (!after.is_zero()).then_some(after)
}

fn copies(text: &str) -> Option<Copies> {
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|number| digits && (1..1000).contains(number))
    };
    match text.split_once(':') {
        None => number(text).map(Copies::Whole),
        Some((k, p)) => Some(Copies::Coded { k: number(k)?, p: number(p)? }),
    }
}

/// Reads several lifepoints as they may stand in one header; `None` where any of them is not what [`Lifepoint::read`] takes.
#[must_use]
pub fn line(text: &str) -> Option<Vec<Lifepoint>> {
    // A constraint has no bracket, so each of these begins a lifepoint.
    let parts = text.split('[').skip(1).map(|part| part.trim().trim_end_matches(','));
    let read: Option<Vec<Lifepoint>> =
        parts.map(|part| Lifepoint::read(&format!("[{part}")).ok()).collect();
    read.filter(|read| text.trim().starts_with('[') && check(read).is_ok())
}

/// What is wrong with lifepoints that are fine one by one: only ends that ascend, and an open one at most at the end, say
/// which of them is meant.
///
/// # Errors
/// A sentence.
pub fn check(lifepoints: &[Lifepoint]) -> Result<(), String> {
    let ends: Vec<Option<Duration>> =
        lifepoints.iter().map(|lifepoint| lifepoint.ends_after).collect();
    let ascend = ends.windows(2).all(|pair| match (pair[0], pair[1]) {
        (Some(first), Some(second)) => second >= first + Duration::from_secs(1),
        (Some(_), None) => true,
        (None, _) => false,
    });
    let told =
        "the ends of `lifepoints` ascend by a second at least, and only the last may be `[]`";
    if ascend { Ok(()) } else { Err(told.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    /// 1 January 2026.
    const WRITTEN: Timestamp = Timestamp(1_767_225_600_700_000_000);

    fn read(text: &str) -> Lifepoint {
        Lifepoint::read(text).unwrap_or_else(|why| panic!("{text} {why}"))
    }

    #[test]
    fn a_lifepoint_ends_so_long_after_the_write() {
        let month = read("[+30d] reps=3, deletable=no");
        assert_eq!(month.ends_after, Some(30 * DAY));
        let says = Says { copies: Some(Copies::Whole(3)), deletable: Some(false), delete: false };
        assert_eq!(month.says, says);
        let value = "[Sat, 31 Jan 2026 00:00:00 GMT] reps=3, deletable=no";
        assert_eq!(month.header(WRITTEN), value);
        assert_eq!(month.end(WRITTEN), Some(Timestamp::from_secs(1_769_817_600)));
    }

    #[test]
    fn an_open_lifepoint_has_no_date() {
        assert_eq!(read("[] delete").header(WRITTEN), "[] delete");
        assert!(read("[]delete").says.delete);
        let coded = read("[ ] reps=5:2");
        assert_eq!(coded.says.copies, Some(Copies::Coded { k: 5, p: 2 }));
        assert_eq!(coded.end(WRITTEN), None);
    }

    #[test]
    fn what_the_judge_could_not_be_sure_of_is_refused() {
        for (text, why) in [
            ("reps=3", "begins with `[`"),
            ("[+30d reps=3", "needs a `]` after its end"),
            ("[30d] reps=3", "ends `[+30d]` after the write, or never: `[]`"),
            ("[+0s] reps=3", "ends `[+30d]` after the write, or never: `[]`"),
            (
                "[Mon, 01 Mar 2027 00:00:00 GMT] reps=3",
                "ends `[+30d]` after the write, or never: `[]`",
            ),
            ("[+30d] delete", "cannot both end and delete: `delete` belongs to `[]`"),
            ("[] delete, deletable=no", "cannot both delete and forbid it"),
            ("[] reps=0", "takes `reps=3` or `reps=5:2`"),
            ("[] reps=+3", "takes `reps=3` or `reps=5:2`"),
            ("[] reps=3, reps=3", "says \"reps=3\" after having said so already"),
            (
                "[]",
                "says \"\", which is none of reps=N, reps=k:p, deletable=yes, deletable=no and delete",
            ),
            (
                "[] deletable",
                "says \"deletable\", which is none of reps=N, reps=k:p, deletable=yes, deletable=no and delete",
            ),
        ] {
            assert_eq!(Lifepoint::read(text), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn one_header_may_hold_several() {
        let two = line("[+30d] reps=3, deletable=no, [] delete");
        assert_eq!(two, Some(vec![read("[+30d] reps=3, deletable=no"), read("[] delete")]));
        assert_eq!(line("[] reps=3"), Some(vec![read("[] reps=3")]));
        for text in [
            "",
            "reps=3",
            "x [] delete",
            "[] delete, [+30d] reps=3",
            "[] reps=many",
            "[+1d] reps=2, []",
        ] {
            assert_eq!(line(text), None, "{text}");
        }
    }

    #[test]
    fn lifepoints_come_in_their_order() {
        let list = |texts: &[&str]| check(&texts.iter().map(|text| read(text)).collect::<Vec<_>>());
        assert_eq!(list(&[]), Ok(()));
        assert_eq!(list(&["[] reps=3"]), Ok(()));
        assert_eq!(list(&["[+1d] reps=3", "[+2d] reps=2", "[] delete"]), Ok(()));
        assert!(list(&["[+2d] reps=3", "[+1d] reps=2"]).is_err());
        assert!(list(&["[+1d] reps=3", "[+24h] reps=2"]).is_err());
        assert!(list(&["[] reps=3", "[] delete"]).is_err());
        assert!(list(&["[] reps=3", "[+1d] reps=3"]).is_err());
    }
}
