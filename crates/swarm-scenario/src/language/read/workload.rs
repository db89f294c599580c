//! Reads `[workload.NAME]`.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::{Names, cluster_of, header_map, select};
use crate::language::lifepoint::{self, Lifepoint};
use crate::language::model::{Kind, Operation, Pace, Retry, RetryOn, Start, Via, Workload};
use crate::language::reader::{At, Reader, Table};
use crate::language::units::{self, Span};
use crate::language::words::{self, Word};

/// A client gives a node this long, as the vendor's own client does for a stalled connection; our choice.
const PATIENCE: Duration = Duration::from_secs(30);
/// More clients than these no machine runs.
const CLIENTS_MAX: u32 = 10_000;
/// More names than these nobody remembers.
const KEYS_MAX: u32 = 1_000_000;
/// A handful of keys would make every write an overwrite.
const KEYS: u32 = 500;

pub(super) fn read(
    reader: &Reader<'_>,
    names: &Names,
    name: &At<String>,
    value: &Spanned<DeValue<'_>>,
    line: usize,
) -> Option<Workload> {
    let what = format!("workload {}", name.value);
    let table = reader.table(&what, value, words::WORKLOAD)?;
    let on = cluster_of(reader, names, &table, "on")?;
    let kinds = weights(reader, &table, "kind", words::KINDS, |word| match word {
        "named" => Some(Kind::Named),
        "unnamed" => Some(Kind::Unnamed),
        _ => Some(Kind::Alias),
    })
    .unwrap_or_else(|| vec![(Kind::Named, 1)]);
    let program = program(reader, &table);
    let within = match program {
        Some(_) => String::new(),
        None => within(reader, names, &table, &kinds),
    };
    let (start, lasts) = when(reader, names, &table, &name.value)?;
    let pace = match program {
        Some(_) => Some(Pace::Closed(0)),
        None => pace(reader, &table, lasts.is_some()),
    };
    let (keys, overwrite_ppm, names_of) = keys(reader, names, &table, &name.value);
    let via = match table.text("via") {
        Some(text) => select::via(reader, names, &text, &on),
        None => Some(Via::AnyNode),
    };
    Some(Workload {
        name: name.value.clone(),
        on,
        start,
        lasts,
        pace: pace?,
        clients: if table.has("clients") { table.count_up_to("clients", CLIENTS_MAX)? } else { 1 },
        mix: weights(reader, &table, "mix", words::OPERATIONS, Operation::from_word)
            .unwrap_or_else(|| vec![(Operation::Write, 1)]),
        kinds,
        within,
        sizes: sizes(reader, &table),
        keys,
        names_of,
        overwrite_ppm,
        headers: headers(reader, &table),
        lifepoints: lifepoints(reader, &table),
        via: via?,
        retry: retry(reader, &table),
        patience: if table.has("timeout") { table.duration("timeout")? } else { PATIENCE },
        program,
        line,
    })
}

/// A program that does the work; what clients of ours would do means nothing then.
fn program(reader: &Reader<'_>, table: &Table<'_>) -> Option<String> {
    const ITS_OWN: [&str; 6] = ["run", "on", "during", "after", "for", "timeout"];
    let text = table.text("run")?;
    reader.only_live(&text.span, "a program of its own");
    let others = words::WORKLOAD.iter().filter(|word| !ITS_OWN.contains(&word.word));
    for other in others.filter(|word| table.has(word.word)) {
        let what = format!("`run` excludes `{}`: the program knows what it does", other.word);
        reader.problem(table.key_span(other.word), what);
    }
    Some(text.value)
}

/// Words with weights, such as `{ write = 60, read = 25 }`.
fn weights<T>(
    reader: &Reader<'_>,
    table: &Table<'_>,
    key: &str,
    known: &[Word],
    make: impl Fn(&str) -> Option<T>,
) -> Option<Vec<(T, u32)>> {
    let inner = reader.table(key, table.get(key)?, known)?;
    let mut weights = Vec::new();
    for word in known {
        if inner.has(word.word)
            && let Some(weight) =
                inner.number(word.word).and_then(|weight| u32::try_from(weight).ok())
            && let Some(value) = make(word.word)
        {
            weights.push((value, weight));
        }
    }
    if weights.iter().all(|(_, weight)| *weight == 0) {
        // Words that were refused have been reported already.
        if !weights.is_empty() || table.get(key)?.get_ref().as_table()?.is_empty() {
            reader.problem(inner.span(), format!("`{key}` has no weight above 0"));
        }
        return None;
    }
    weights.retain(|(_, weight)| *weight > 0);
    Some(weights)
}

fn sizes(reader: &Reader<'_>, table: &Table<'_>) -> Vec<(u64, u32)> {
    const DEFAULT: u64 = 4096;
    let Some(value) = table.get("sizes") else { return vec![(DEFAULT, 1)] };
    let mut sizes = Vec::new();
    for (size, weight) in reader.names("sizes", value) {
        let bytes = units::size(&size.value);
        if bytes.is_none() {
            reader.problem(
                &size.span,
                format!("cannot read the size {:?}; write it like \"64KiB\"", size.value),
            );
        }
        let weight =
            reader.number("a weight", weight).and_then(|weight| u32::try_from(weight).ok());
        sizes.extend(bytes.zip(weight).filter(|(_, weight)| *weight > 0));
    }
    if sizes.is_empty() {
        reader.problem(&value.span(), "`sizes` has no size with a weight above 0");
        sizes.push((DEFAULT, 1));
    }
    sizes
}

fn within(reader: &Reader<'_>, names: &Names, table: &Table<'_>, kinds: &[(Kind, u32)]) -> String {
    let named = kinds.iter().any(|(kind, _)| *kind == Kind::Named);
    let Some(text) = table.text("in") else {
        if named {
            table.require("in");
        }
        return String::new();
    };
    let is_known = if text.value.contains('/') {
        names.buckets.contains_key(&text.value)
    } else {
        names.domains.contains(&text.value)
    };
    if !is_known {
        let all = names.buckets.keys().chain(&names.domains).map(String::as_str);
        reader.unknown(&text.span, "bucket or domain", &text.value, all);
    } else if named && !text.value.contains('/') {
        reader.problem(&text.span, "named objects need a bucket: \"DOMAIN/BUCKET\"");
    }
    text.value
}

fn when(
    reader: &Reader<'_>,
    names: &Names,
    table: &Table<'_>,
    name: &str,
) -> Option<(Option<Start>, Option<Span>)> {
    let by_step = names.started.contains(name);
    if let Some(during) = table.text("during") {
        for other in ["after", "for"] {
            if table.has(other) {
                reader.problem(
                    table.key_span(other),
                    format!("`{other}` and `during` exclude each other"),
                );
            }
        }
        if by_step {
            reader.problem(
                table.key_span("during"),
                "a step starts this workload: say `for` instead of `during`",
            );
        }
        let Some((start, end)) = times(&during.value) else {
            reader.problem(
                &during.span,
                format!("cannot read the window {:?}; write it like \"1m..20m\"", during.value),
            );
            return None;
        };
        return Some((Some(Start::At(Span::exactly(start))), Some(Span::exactly(end - start))));
    }
    let lasts = if table.has("for") { Some(table.span_of_time("for")?) } else { None };
    let start = match table.text("after") {
        Some(_) if by_step => {
            reader.problem(table.key_span("after"), "a step starts this workload");
            None
        }
        Some(text) => Some(Start::After {
            event: select::event(reader, names, &text)?,
            wait: Span::exactly(Duration::ZERO),
        }),
        None if by_step => None,
        None => Some(Start::At(Span::exactly(Duration::ZERO))),
    };
    Some((start, lasts))
}

/// Reads `5m..9m`; unlike a range to draw from, its end must come after its start.
pub(super) fn times(text: &str) -> Option<(Duration, Duration)> {
    let (start, end) = text.split_once("..")?;
    let (start, end) = (units::duration(start)?, units::duration(end)?);
    (start < end).then_some((start, end))
}

fn pace(reader: &Reader<'_>, table: &Table<'_>, ends: bool) -> Option<Pace> {
    let operations =
        if table.has("operations") { Some(u64::from(table.count("operations")?)) } else { None };
    let rate = if table.has("rate") { Some(table.rate("rate")?) } else { None };
    match (rate, operations) {
        (None, None) => {
            reader.problem(table.span(), "a workload needs `rate` or `operations`");
            None
        }
        (None, Some(operations)) => Some(Pace::Closed(operations)),
        (Some(_), None) if !ends => {
            reader.problem(
                table.key_span("rate"),
                "this workload never ends: say `during`, `for` or `operations`",
            );
            None
        }
        (Some(rate), operations) => Some(Pace::Open { rate, operations }),
    }
}

/// How many, the share of writes that go over something that is there, and the workload whose names they are.
fn keys(reader: &Reader<'_>, names: &Names, table: &Table<'_>, own: &str) -> (u32, u32, String) {
    let Some(inner) = table.get("keys").and_then(|value| reader.table("keys", value, words::KEYS))
    else {
        return (KEYS, 0, own.to_owned());
    };
    let with = inner.text("with");
    if let Some(with) = &with
        && !names.workloads.contains(&with.value)
    {
        let known = names.workloads.iter().map(String::as_str);
        reader.unknown(&with.span, "workload", &with.value, known);
    }
    let names_of = with.map_or_else(|| own.to_owned(), |with| with.value);
    let count = if inner.has("count") { inner.count_up_to("count", KEYS_MAX) } else { None };
    let count = count.unwrap_or(KEYS);
    (count, inner.unit("overwrite", "\"20%\"", units::share).unwrap_or(0), names_of)
}

/// Headers of every write. Lifepoints have a key of their own, or nobody would know what they demand.
fn headers(reader: &Reader<'_>, table: &Table<'_>) -> BTreeMap<String, String> {
    let headers = header_map(reader, table);
    if headers.keys().any(|name| name.eq_ignore_ascii_case("lifepoint")) {
        let told = "say `lifepoints = [\"[+30d] reps=3\", \"[] delete\"]`";
        reader.problem(table.key_span("headers"), told);
    }
    headers
}

fn lifepoints(reader: &Reader<'_>, table: &Table<'_>) -> Vec<Lifepoint> {
    let mut lifepoints = Vec::new();
    for text in table.texts("lifepoints").unwrap_or_default() {
        match Lifepoint::read(&text.value) {
            Ok(lifepoint) => lifepoints.push(lifepoint),
            Err(why) => {
                reader.problem(&text.span, format!("the lifepoint {:?} {why}", text.value));
            }
        }
    }
    if let Err(why) = lifepoint::check(&lifepoints) {
        reader.problem(table.key_span("lifepoints"), why);
    }
    lifepoints
}

fn retry(reader: &Reader<'_>, table: &Table<'_>) -> Retry {
    let Some(inner) =
        table.get("retry").and_then(|value| reader.table("retry", value, words::RETRY))
    else {
        return Retry::default();
    };
    inner.require("times");
    let times = inner.count("times").unwrap_or(1);
    let Some(texts) = inner.texts("on") else {
        inner.require("on");
        return Retry::default();
    };
    let mut on = Vec::new();
    for text in texts {
        match (text.value.as_str(), text.value.parse::<u16>()) {
            (_, Ok(status)) if (400..600).contains(&status) => on.push(RetryOn::Status(status)),
            ("timeout", _) => on.push(RetryOn::Timeout),
            ("reset", _) => on.push(RetryOn::Reset),
            ("refused", _) => on.push(RetryOn::Refused),
            (other, _) => reader.unknown(
                &text.span,
                "outcome to retry on",
                other,
                ["timeout", "reset", "refused", "503"],
            ),
        }
    }
    Retry { times, on }
}
