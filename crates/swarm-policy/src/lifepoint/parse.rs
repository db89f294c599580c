//! Reads stored lifepoint text. Nothing here fails: ill-formed parts are dropped and reported.

use swarm_types::{Timestamp, httpdate};

use super::{Complaint, Diagnostic, Lifecycle, Lifepoint, Reps, Severity};

/// Most complaints that are reported of one object; headers of 32 KiB could give rise to thousands.
const DIAGNOSTICS_MAX: usize = 20;

/// Most digits of a whole number of replicas, of k and of p; keeps the numbers far within their types.
const WHOLE_DIGITS_MAX: usize = 5;
const CODED_DIGITS_MAX: usize = 3;

/// Reads the values of an object's `Lifepoint` headers, in the order received.
///
/// A value holds one group or several, separated by commas. Ill-formed parts are dropped and reported; they never
/// delete anything: where a group was lost, nobody knows from when on `delete` was meant, so it is not obeyed either.
/// `written_at` gives two-digit years their century.
#[must_use]
pub fn parse_lifecycle<'a>(
    stored: impl IntoIterator<Item = &'a [u8]>,
    written_at: Timestamp,
) -> (Lifecycle, Vec<Diagnostic>) {
    let mut parser =
        Parser { written_at, lifepoints: Vec::new(), diagnostics: Vec::new(), lost_a_group: false };
    for value in stored {
        parser.value(&String::from_utf8_lossy(value));
    }
    parser.finish()
}

struct Parser {
    written_at: Timestamp,
    lifepoints: Vec<Lifepoint>,
    diagnostics: Vec<Diagnostic>,
    /// Something that may have been a lifepoint could not be read.
    lost_a_group: bool,
}

impl Parser {
    fn value(&mut self, value: &str) {
        let value = trim(value);
        if value.is_empty() {
            self.complain(Complaint::Empty, value);
        } else if value.starts_with('[') {
            groups(value).for_each(|group| self.group(group));
        } else {
            self.complain(Complaint::NoBracket, value);
        }
    }

    /// One group, from its `[` on.
    fn group(&mut self, group: &str) {
        let Some((end, constraints)) =
            group.strip_prefix('[').and_then(|rest| rest.split_once(']'))
        else {
            return self.complain(Complaint::NoClose, group);
        };
        let end = match trim(end) {
            "" => None,
            date => match httpdate::parse(date, self.written_at) {
                Some(end) => Some(end),
                None => return self.complain(Complaint::BadDate, group),
            },
        };
        let mut lifepoint = Lifepoint { end, ..Lifepoint::default() };
        // Another lifepoint may begin there, without the comma that would part them.
        self.lost_a_group |= constraints.contains('[');
        for item in constraints.split(',').map(trim).filter(|item| !item.is_empty()) {
            if let Err(complaint) = lifepoint.add(item) {
                self.complain(complaint, item);
            }
        }
        self.look_over(&lifepoint, group);
        self.lifepoints.push(lifepoint);
    }

    /// Reports what is well-formed but not what its writer will have meant.
    fn look_over(&mut self, lifepoint: &Lifepoint, group: &str) {
        let Lifepoint { end: _, reps, deletable, delete } = lifepoint;
        match (reps, deletable, delete) {
            (None, None, false) => self.complain(Complaint::Empty, group),
            (_, Some(false), true) => self.complain(Complaint::Conflict, group),
            (None, Some(_), false) => self.complain(Complaint::NoReps, group),
            _ => {}
        }
    }

    fn finish(mut self) -> (Lifecycle, Vec<Diagnostic>) {
        let mut given = std::mem::take(&mut self.lifepoints);
        given.sort_by_key(|lifepoint| (lifepoint.end.is_none(), lifepoint.end));
        let mut kept: Vec<Lifepoint> = Vec::with_capacity(given.len());
        for mut lifepoint in given {
            if kept.last().is_some_and(|last| last.end == lifepoint.end) {
                self.complain(Complaint::DuplicateEnd, &lifepoint.to_string());
                continue;
            }
            if lifepoint.delete && self.lost_a_group {
                self.complain(Complaint::DeleteTooSoon, &lifepoint.to_string());
                lifepoint.delete = false;
            }
            kept.push(lifepoint);
        }
        (Lifecycle { lifepoints: kept }, self.diagnostics)
    }

    fn complain(&mut self, complaint: Complaint, text: &str) {
        self.lost_a_group |= complaint.severity() == Severity::Error;
        if self.diagnostics.len() < DIAGNOSTICS_MAX {
            self.diagnostics.push(Diagnostic::about(complaint, text));
        }
    }
}

impl Lifepoint {
    /// Takes one constraint in, as it stands between two commas.
    fn add(&mut self, item: &str) -> Result<(), Complaint> {
        let (name, value) = match item.split_once('=') {
            Some((name, value)) => (trim(name), Some(trim(value))),
            None => (item, None),
        };
        if name.eq_ignore_ascii_case("reps") {
            let reps = value.and_then(reps).ok_or(Complaint::BadConstraint)?;
            set_once(&mut self.reps, reps)
        } else if name.eq_ignore_ascii_case("deletable") {
            // The grammar of CAStor 5.0 allows the bare word.
            let yes = value.map_or(Some(true), yes_or_no).ok_or(Complaint::BadConstraint)?;
            set_once(&mut self.deletable, yes)
        } else if name.eq_ignore_ascii_case("delete") && value.is_none() && self.end.is_none() {
            if self.delete {
                return Err(Complaint::DuplicateConstraint);
            }
            self.delete = true;
            Ok(())
        } else {
            Err(Complaint::BadConstraint)
        }
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), Complaint> {
    if slot.is_some() {
        return Err(Complaint::DuplicateConstraint);
    }
    *slot = Some(value);
    Ok(())
}

/// Splits before every `[` that follows a comma: the date in the brackets has a comma of its own.
fn groups(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let value = rest?;
        let comma = value
            .match_indices(',')
            .find(|(at, _)| trim(&value[at + 1..]).starts_with('['))
            .map(|(at, _)| at);
        rest = comma.map(|at| trim(&value[at + 1..]));
        Some(comma.map_or(value, |at| &value[..at]))
    })
}

fn reps(value: &str) -> Option<Reps> {
    match value.split_once(':') {
        None => number(value, WHOLE_DIGITS_MAX).map(Reps::Whole),
        Some((k, p)) => {
            let coded = |text| number(trim(text), CODED_DIGITS_MAX)?.try_into().ok();
            Some(Reps::Coded { k: coded(k)?, p: coded(p)? })
        }
    }
}

/// A number above zero.
fn number(digits: &str, digits_max: usize) -> Option<u32> {
    let fits = digits.len() <= digits_max && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !fits {
        return None;
    }
    digits.parse().ok().filter(|&number| number > 0)
}

fn yes_or_no(value: &str) -> Option<bool> {
    let is = |word: &str| value.eq_ignore_ascii_case(word);
    if is("yes") || is("true") {
        Some(true)
    } else if is("no") || is("false") {
        Some(false)
    } else {
        None
    }
}

/// Without the white space that HTTP allows around a value.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}
