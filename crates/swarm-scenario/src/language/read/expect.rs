//! Reads `[[expect]]` and windows.

use toml::Spanned;
use toml::de::DeValue;

use super::{Names, cluster_of, select, workload};
use crate::language::model::{
    Comparison, Counted, Expect, Metric, ObjectRef, Percentile, Subject, Via, When, Window,
};
use crate::language::reader::{At, Reader, Table, Word};
use crate::language::units;
use crate::language::words::{self, SubjectWord};

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
    match word {
        "healthy" => cluster_of(reader, names, table, "cluster").map(Subject::Healthy),
        "at rest" => cluster_of(reader, names, table, "cluster").map(Subject::AtRest),
        "readable" => object(reader, names, table).map(Subject::Readable),
        "gone" => object(reader, names, table).map(Subject::Gone),
        "answer" => answer(reader, names, table),
        "metric" => metric(reader, names, table),
        // Every subject of the table that is built has an arm above; a test goes through the table.
        _ => None,
    }
}

fn object(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<ObjectRef> {
    let object = table.text("object")?;
    if !object.value.contains('/') && !names.requests().any(|name| name == object.value) {
        reader.unknown(&object.span, "object or request", &object.value, names.requests());
        return None;
    }
    let (cluster, via) = match table.text("on") {
        Some(text) if text.value.contains('/') => {
            let node = select::node(reader, names, &text.span, text.value.trim())?;
            (node.cluster.clone(), Via::Node(node))
        }
        _ => (cluster_of(reader, names, table, "on")?, Via::AnyNode),
    };
    Some(ObjectRef { object: object.value, cluster, via })
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
    let header = match table.text("header") {
        None => None,
        Some(text) => match text.value.split_once(':') {
            Some((name, value)) => Some((name.trim().to_owned(), value.trim().to_owned())),
            None => {
                reader.problem(&text.span, "a header is written \"Name: value\"");
                return None;
            }
        },
    };
    let body = table.text("body").map(|text| text.value);
    if status.is_none() && header.is_none() && body.is_none() {
        reader.problem(table.span(), "an answer is judged by `status`, `header` or `body`");
        return None;
    }
    Some(Subject::Answer { of: of.value, status, header, body })
}

fn metric(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<Subject> {
    let of = table.text("of")?;
    if !names.workloads.contains(&of.value) {
        reader.unknown(&of.span, "workload", &of.value, names.workloads.iter().map(String::as_str));
        return None;
    }
    let text = table.text("metric")?;
    let metric = metric_phrase(reader, &text)?;
    let is = table.text("is")?;
    let Some((comparison, value)) = comparison(&is.value) else {
        reader.problem(&is.span, "`is` begins with =, <, <=, > or >=");
        return None;
    };
    let (parsed, example) = match metric {
        Metric::Latency(..) => {
            (units::duration(value).and_then(|d| u64::try_from(d.as_nanos()).ok()), "\"<= 250ms\"")
        }
        Metric::FailedShare(_) => (units::share(value).map(u64::from), "\"< 1%\""),
        Metric::AcknowledgedCount(_) => (value.parse().ok(), "\">= 300\""),
    };
    let Some(value) = parsed else {
        reader.problem(
            &is.span,
            format!("cannot compare `{}` with {value:?}; write it like {example}", text.value),
        );
        return None;
    };
    Some(Subject::Metric { of: of.value, metric, is: comparison, value })
}

fn metric_phrase(reader: &Reader<'_>, text: &At<String>) -> Option<Metric> {
    let parts: Vec<&str> = text.value.split_whitespace().collect();
    let counted = |word: &str| {
        let counted = Counted::from_word(word);
        if counted.is_none() {
            reader.unknown(&text.span, "operation", word, words::COUNTED.iter().copied());
        }
        counted
    };
    match parts[..] {
        [operation, "latency", point] => {
            let percentile = match point {
                "p50" => Percentile::P50,
                "p99" => Percentile::P99,
                "max" => Percentile::Max,
                other => {
                    reader.unknown(&text.span, "percentile", other, ["p50", "p99", "max"]);
                    return None;
                }
            };
            Some(Metric::Latency(counted(operation)?, percentile))
        }
        ["failed", operation, "share"] => Some(Metric::FailedShare(counted(operation)?)),
        ["acknowledged", operation, "count"] => {
            Some(Metric::AcknowledgedCount(counted(operation)?))
        }
        _ => {
            let not_built =
                ["rpo", "drain", "backlog", "oldest", "bytes", "recovery", "used", "copies"];
            if parts.first().is_some_and(|first| not_built.contains(first)) {
                reader.not_yet(&text.span, "metric", &text.value);
            } else {
                let known: Vec<String> = words::COUNTED
                    .iter()
                    .flat_map(|op| {
                        [
                            format!("{op} latency p50"),
                            format!("{op} latency p99"),
                            format!("{op} latency max"),
                            format!("failed {op} share"),
                            format!("acknowledged {op} count"),
                        ]
                    })
                    .collect();
                reader.unknown(&text.span, "metric", &text.value, known.iter().map(String::as_str));
            }
            None
        }
    }
}

/// Splits `<= 250ms`.
fn comparison(text: &str) -> Option<(Comparison, &str)> {
    [Comparison::AtMost, Comparison::AtLeast, Comparison::Less, Comparison::More, Comparison::Equal]
        .into_iter()
        .find_map(|comparison| {
            Some((comparison, text.trim().strip_prefix(comparison.word())?.trim()))
        })
}
