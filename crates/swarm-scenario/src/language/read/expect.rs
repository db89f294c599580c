//! Reads `[[expect]]` and windows.

use toml::Spanned;
use toml::de::DeValue;

use super::{Names, cluster_of, feed, metric, select, workload};
use crate::language::model::{
    Comparison, DiskSelector, Expect, Is, NodeSelector, ObjectRef, Subject, Targets, Via, When,
    Window,
};
use crate::language::pattern::Pattern;
use crate::language::reader::{At, Reader, Table};
use crate::language::units;
use crate::language::words::{self, SubjectWord, Word};

pub(super) fn read(
    reader: &Reader<'_>,
    names: &Names,
    value: &Spanned<DeValue<'_>>,
    line: usize,
) -> Option<Expect> {
    let word = subject_word(reader, value)?;
    let known: Vec<Word> = words::EXPECT.iter().chain(word.arguments).copied().collect();
    let what = format!("the expectation `{}`", word.word.word);
    let table = reader.table(&what, value, &known)?;
    let missing: Vec<&&str> = word.required.iter().filter(|key| !table.has(key)).collect();
    for key in &missing {
        table.require(key);
    }
    let when = when(reader, names, &table);
    let subject =
        if missing.is_empty() { subject(reader, names, &table, word.word.word) } else { None };
    Some(Expect { line, when: when?, subject: subject? })
}

/// Reads a step's or workload's name, or `5m..9m`.
pub(super) fn window(reader: &Reader<'_>, names: &Names, text: &At<String>) -> Option<Window> {
    if names.with_ends().any(|name| name == text.value) {
        return Some(Window::Named(text.value.clone()));
    }
    if text.value.contains("..") {
        let times = workload::times(&text.value);
        if times.is_none() {
            reader.problem(
                &text.span,
                format!("cannot read the window {:?}; write it like \"5m..9m\"", text.value),
            );
        }
        return times.map(|(start, end)| Window::Times(start, end));
    }
    reader.unknown(&text.span, "step or workload", &text.value, names.with_ends());
    None
}

fn subject_word(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<&'static SubjectWord> {
    let Some(table) = value.get_ref().as_table() else {
        reader.problem(&value.span(), "an expectation must be a table: [[expect]]");
        return None;
    };
    let Some(that) = table.get("that") else {
        reader.problem(&value.span(), "an expectation lacks `that`");
        return None;
    };
    let text = reader.text("`that`", that)?;
    let known: Vec<Word> = words::SUBJECTS.iter().map(|subject| subject.word).collect();
    reader.check_word(&text.span, "subject", &text.value, &known).then_some(())?;
    words::SUBJECTS.iter().find(|subject| subject.word.word == text.value)
}

fn when(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<When> {
    let forms: Vec<&str> =
        ["at", "within", "during", "never"].into_iter().filter(|key| table.has(key)).collect();
    let [form] = forms[..] else {
        reader
            .problem(table.span(), "an expectation needs one of `at`, `within`, `during`, `never`");
        return None;
    };
    if table.has("after") && form != "within" {
        reader.problem(table.key_span("after"), "`after` needs `within`");
        return None;
    }
    match form {
        "at" => {
            let text = table.text("at")?;
            if text.value == "end" {
                Some(When::End)
            } else {
                table.unit("at", "\"end\" or \"5m\"", units::duration).map(When::At)
            }
        }
        "within" => {
            let event = match table.text("after") {
                Some(text) => Some(select::event(reader, names, &text)?),
                None => None,
            };
            Some(When::Within(event, table.duration("within")?))
        }
        "during" => window(reader, names, &table.text("during")?).map(When::During),
        _ => {
            if !table.flag("never")? {
                reader.problem(table.key_span("never"), "`never` is true or left out");
            }
            Some(When::Never)
        }
    }
}

fn subject(reader: &Reader<'_>, names: &Names, table: &Table<'_>, word: &str) -> Option<Subject> {
    let object = || object(reader, names, table);
    match word {
        "healthy" => cluster_of(reader, names, table, "cluster").map(Subject::Healthy),
        "fully protected" => cluster_of(reader, names, table, "cluster").map(Subject::Protected),
        "no orphans" => cluster_of(reader, names, table, "cluster").map(Subject::NoOrphans),
        "at rest" => cluster_of(reader, names, table, "cluster").map(Subject::AtRest),
        "readable" => object().map(Subject::Readable),
        "gone" => object().map(Subject::Gone),
        "copies" => copies(reader, object()?, table),
        "header" => Some(Subject::Header {
            object: object()?,
            name: table.text("name")?.value,
            is: is(reader, &table.text("is")?)?,
        }),
        "answer" => answer(reader, names, table),
        "state" => state(reader, names, table),
        "reports" => reports(reader, names, table),
        "equals" => equals(reader, names, table),
        "metric" => metric::read(reader, names, table),
        "feed drained" | "feed state" | "same objects" | "holds every acknowledged object" => {
            feed::subject(reader, names, table, word)
        }
        // Every subject of the table that is built has an arm above; a test goes through the table.
        _ => None,
    }
}

fn object(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<ObjectRef> {
    let mut object = select::object(reader, names, &table.text("object")?)?;
    match table.text("on") {
        Some(text) if text.value.contains('/') => {
            let node = select::node(reader, names, &text.span, text.value.trim())?;
            object.cluster.clone_from(&node.cluster);
            object.via = Via::Node(node);
        }
        Some(_) => object.cluster = cluster_of(reader, names, table, "on")?,
        None => {}
    }
    Some(object)
}

fn copies(reader: &Reader<'_>, object: ObjectRef, table: &Table<'_>) -> Option<Subject> {
    let text = table.text("is")?;
    let is = is(reader, &text)?;
    if !matches!(is, Is::Number(..)) {
        reader.problem(&text.span, "copies are counted: write it like \"= 3\"");
        return None;
    }
    Some(Subject::Copies(object, is))
}

/// What stands between the slashes of `/a pattern/`.
fn in_slashes(phrase: &str) -> Option<&str> {
    phrase.strip_prefix('/')?.strip_suffix('/')
}

fn pattern(reader: &Reader<'_>, text: &At<String>, inner: &str) -> Option<Pattern> {
    let pattern = Pattern::new(inner);
    pattern.map_err(|why| reader.problem(&text.span, format!("no pattern: {why}"))).ok()
}

/// Reads `= radiology`, `>= 3`, `/a pattern/`.
fn is(reader: &Reader<'_>, text: &At<String>) -> Option<Is> {
    let phrase = text.value.trim();
    if let Some(inner) = in_slashes(phrase) {
        return pattern(reader, text, inner).map(Is::Matches);
    }
    let Some((comparison, value)) = comparison(phrase) else {
        reader.problem(&text.span, "`is` begins with =, <, <=, > or >=, or is a /pattern/");
        return None;
    };
    match (comparison, value.parse()) {
        (_, Ok(number)) => Some(Is::Number(comparison, number)),
        (Comparison::Equal, Err(_)) => Some(Is::Text(value.to_owned())),
        _ => {
            reader.problem(&text.span, format!("{value:?} is no whole number to compare with"));
            None
        }
    }
}

fn state(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<Subject> {
    let (of, known) = match (table.text("node"), table.text("disk")) {
        (Some(node), None) => {
            let selector = select::nodes(reader, names, &node)?;
            if matches!(selector, NodeSelector::Some(..) | NodeSelector::Rest(_)) {
                reader.problem(&node.span, NOT_DRAWN);
            }
            (Targets::Nodes(selector), words::NODE_STATES)
        }
        (None, Some(disk)) => {
            let selector = select::disks(reader, names, &disk)?;
            if matches!(selector, DiskSelector::Some(..) | DiskSelector::SomeOfNode(..)) {
                reader.problem(&disk.span, NOT_DRAWN);
            }
            (Targets::Disks(selector), words::DISK_STATES)
        }
        _ => {
            reader.problem(table.span(), "a state is that of a `node` or of a `disk`");
            return None;
        }
    };
    let text = table.text("is")?;
    let word = text.value.trim().trim_start_matches('=').trim();
    if word == "idle" && matches!(of, Targets::Disks(_)) {
        reader.problem(&text.span, "no disk is ever `idle`: nothing spins down here; a node is");
        return None;
    }
    if !known.contains(&word) {
        reader.unknown(&text.span, "state", word, known.iter().copied());
        return None;
    }
    Some(Subject::State { of, is: word.to_owned() })
}

fn reports(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<Subject> {
    let of = match table.text("node") {
        Some(node) => {
            let selector = select::nodes(reader, names, &node)?;
            if matches!(selector, NodeSelector::Some(..) | NodeSelector::Rest(_)) {
                reader.problem(&node.span, NOT_DRAWN);
            }
            selector
        }
        None => NodeSelector::All(cluster_of(reader, names, table, "cluster")?),
    };
    let text = table.text("is")?;
    match is(reader, &text)? {
        Is::Matches(is) => Some(Subject::Reports { of, is }),
        _ => {
            reader.problem(&text.span, "a line of a log is matched by a pattern: \"/full/\"");
            None
        }
    }
}

/// An expectation that drew its nodes would look at others than any step chose.
const NOT_DRAWN: &str =
    "an expectation draws nothing: name them, all of them, or the step that chose them";

fn equals(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<Subject> {
    let snapshot = table.text("snapshot")?;
    if !names.snapshots().any(|name| name == snapshot.value) {
        reader.unknown(&snapshot.span, "snapshot", &snapshot.value, names.snapshots());
        return None;
    }
    let cluster = cluster_of(reader, names, table, "cluster")?;
    Some(Subject::Equals { cluster, snapshot: snapshot.value })
}

fn answer(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<Subject> {
    let of = table.text("of")?;
    if !names.requests().any(|name| name == of.value) {
        reader.unknown(&of.span, "request", &of.value, names.requests());
        return None;
    }
    let status = if table.has("status") {
        Some(u16::try_from(table.number("status")?).unwrap_or(0))
    } else {
        None
    };
    let field = |key: &str| match table.text(key) {
        None => Some(None),
        Some(text) => match text.value.split_once(':') {
            Some((name, value)) => {
                let value = value.trim();
                let is = match in_slashes(value) {
                    Some(inner) => Is::Matches(pattern(reader, &text, inner)?),
                    None => Is::Text(value.to_owned()),
                };
                Some(Some((name.trim().to_owned(), is)))
            }
            None => {
                reader.problem(&text.span, format!("a {key} is written \"Name: value\""));
                None
            }
        },
    };
    let (header, trailer) = (field("header")?, field("trailer")?);
    let body = table.text("body").map(|text| text.value);
    if status.is_none() && header.is_none() && trailer.is_none() && body.is_none() {
        reader.problem(
            table.span(),
            "an answer is judged by `status`, `header`, `trailer` or `body`",
        );
        return None;
    }
    Some(Subject::Answer { of: of.value, status, header, trailer, body })
}

/// Splits `<= 250ms`.
pub(super) fn comparison(text: &str) -> Option<(Comparison, &str)> {
    Comparison::ALL.into_iter().find_map(|comparison| {
        Some((comparison, text.trim().strip_prefix(comparison.word())?.trim()))
    })
}
