//! Reads `[[step]]`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use swarm_cluster::Point;
use toml::Spanned;
use toml::de::DeValue;

use super::{Names, cluster_of, fault, feed, header_map, manage, select};
use crate::language::model::{
    Each, NetworkVerb, NodeSelector, Power, Request, Start, Step, Targets, Verb, Via,
};
use crate::language::reader::{At, Reader, Table};
use crate::language::units::{self, Span};
use crate::language::words::{self, VerbWord, Word};

/// How long a `restart` keeps a node down (the language's own default).
const DOWN: Span = Span::exactly(Duration::from_secs(30));
/// How long a node has to pass the point where it is to panic (the language's own default).
const PANIC_WITHIN: Duration = Duration::from_secs(300);
/// A request waits as long as a client's default.
const REQUEST_PATIENCE: Duration = Duration::from_secs(60);
/// The administrator that every node knows from the start (Defining Swarm Admins and Users).
const ADMIN: &str = "admin:ourpwdofchoicehere";

pub(super) fn read(
    reader: &Reader<'_>,
    names: &Names,
    value: &Spanned<DeValue<'_>>,
    line: usize,
) -> Option<Step> {
    let word = verb_word(reader, value)?;
    let known: Vec<Word> = words::STEP.iter().chain(word.arguments).copied().collect();
    let what = format!("the step `{}`", word.word.word);
    let table = reader.table(&what, value, &known)?;
    // Whoever writes what is not built is told that, and not what a step without it lacks.
    let keys = value.get_ref().as_table()?;
    if word.arguments.iter().any(|key| !key.built && keys.contains_key(key.word)) {
        return None;
    }
    let missing: Vec<&&str> = word
        .required
        .iter()
        .filter(|key| !(table.has(key) || **key == each_key(&table, word)))
        .collect();
    for key in &missing {
        table.require(key);
    }
    let start = start(reader, names, &table);
    let repeat = repeat(reader, &table);
    let each = each(reader, names, &table, word);
    let verb = if missing.is_empty() { verb(reader, names, &table, word.word.word) } else { None };
    let lasts = lasts(reader, &table, word);
    let may_be_inert = match table.text("inert") {
        None => false,
        Some(text) => {
            if text.value != "allow" {
                reader.unknown(&text.span, "value of `inert`", &text.value, ["allow"]);
            }
            true
        }
    };
    Some(Step {
        name: table.text("as").map(|text| text.value),
        line,
        start: start?,
        repeat: repeat?,
        each: each?,
        verb: verb?,
        word: word.word.word,
        lasts: lasts?,
        may_be_inert,
    })
}

fn verb_word(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<&'static VerbWord> {
    let Some(table) = value.get_ref().as_table() else {
        reader.problem(&value.span(), "a step must be a table: [[step]]");
        return None;
    };
    let Some(verb) = table.get("do") else {
        reader.problem(&value.span(), "a step lacks `do`");
        return None;
    };
    let text = reader.text("`do`", verb)?;
    let known: Vec<Word> = words::VERBS.iter().map(|verb| verb.word).collect();
    reader.check_word(&text.span, "verb", &text.value, &known).then_some(())?;
    let word = words::VERBS.iter().find(|verb| verb.word.word == text.value)?;
    if !word.live {
        reader.not_live(&text.span, &format!("`{}`", text.value));
    }
    Some(word)
}

/// The argument that `each` stands for; empty where the step has no `each`.
fn each_key(table: &Table<'_>, word: &VerbWord) -> &'static str {
    let key =
        word.arguments.iter().map(|word| word.word).find(|key| matches!(*key, "nodes" | "disks"));
    key.filter(|_| table.has("each")).unwrap_or("")
}

fn start(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<Start> {
    let wait = match table.has("wait") {
        true => table.span_of_time("wait")?,
        false => Span::exactly(Duration::ZERO),
    };
    match (table.text("at"), table.text("after")) {
        (Some(_), Some(_)) => {
            reader.problem(table.key_span("after"), "`at` and `after` exclude each other");
            None
        }
        (Some(_), None) => {
            if table.has("wait") && !table.has("each") {
                reader.problem(table.key_span("wait"), "`wait` belongs to `after` or `each`");
            }
            table.span_of_time("at").map(Start::At)
        }
        (None, Some(text)) => {
            let event = select::event(reader, names, &text)?;
            // With `each`, the wait lies between one and the next.
            Some(Start::After {
                event,
                wait: if table.has("each") { Span::exactly(Duration::ZERO) } else { wait },
            })
        }
        (None, None) if table.has("every") => Some(Start::At(Span::exactly(Duration::ZERO))),
        (None, None) => {
            reader.problem(table.span(), "a step needs `at`, `after` or `every`");
            None
        }
    }
}

fn repeat(reader: &Reader<'_>, table: &Table<'_>) -> Option<Option<(Span, u32)>> {
    match (table.has("every"), table.has("times")) {
        (false, false) => Some(None),
        (true, true) => {
            let every = table.span_of_time("every")?;
            if every.max.is_zero() {
                reader.problem(table.key_span("every"), "`every` is no time at all");
            }
            Some(Some((every, table.count("times")?)))
        }
        (true, false) => {
            reader.problem(table.key_span("every"), "`every` needs `times`");
            None
        }
        (false, true) => {
            reader.problem(table.key_span("times"), "`times` needs `every`");
            None
        }
    }
}

fn each(
    reader: &Reader<'_>,
    names: &Names,
    table: &Table<'_>,
    word: &VerbWord,
) -> Option<Option<Each>> {
    let Some(text) = table.text("each") else {
        if table.has("until") {
            reader.problem(table.key_span("until"), "`until` needs `each`");
        }
        return Some(None);
    };
    let takes_disks = word.arguments.iter().any(|word| word.word == "disks");
    let targets = match each_key(table, word) {
        "nodes" if takes_disks => select::targets(reader, names, &text)?,
        "nodes" => Targets::Nodes(select::nodes(reader, names, &text)?),
        "disks" => Targets::Disks(select::disks(reader, names, &text)?),
        _ => {
            reader.problem(
                &text.span,
                format!("`{}` has neither nodes nor disks to go through", word.word.word),
            );
            return None;
        }
    };
    if table.has("nodes") || table.has("disks") || table.has("every") {
        reader.problem(table.key_span("each"), "`each` excludes `nodes`, `disks` and `every`");
    }
    let until = match table.text("until") {
        Some(text) => Some(select::event(reader, names, &text)?),
        None => None,
    };
    let wait =
        if table.has("wait") { table.span_of_time("wait")? } else { Span::exactly(Duration::ZERO) };
    Some(Some(Each { targets, until, wait }))
}

fn lasts(reader: &Reader<'_>, table: &Table<'_>, word: &VerbWord) -> Option<Option<Span>> {
    if !table.has("for") {
        return Some(None);
    }
    if !word.is_undone_by("for") {
        reader.problem(table.key_span("for"), format!("`{}` does not undo itself", word.word.word));
        return None;
    }
    table.span_of_time("for").map(Some)
}

/// A word that is none of the points is reported.
fn point(table: &Table<'_>) -> Option<Point> {
    Point::from_word(&table.word("point", "value of `point`", words::POINTS)?.value)
}

fn verb(reader: &Reader<'_>, names: &Names, table: &Table<'_>, word: &str) -> Option<Verb> {
    let nodes = |table: &Table<'_>| match table.text("nodes") {
        Some(text) => {
            let selector = select::nodes(reader, names, &text)?;
            if matches!(selector, NodeSelector::Rest(_)) {
                reader.problem(&text.span, "`rest of` belongs into `groups`");
            }
            Some(selector)
        }
        None => Some(NodeSelector::Each),
    };
    let power = |power| Some(Verb::Power(power, nodes(table)?));
    match word {
        "kill" => power(Power::Kill),
        "power-off" => power(Power::PowerOff),
        "stop" => power(Power::Stop),
        "start" => power(Power::Start),
        "pause" => power(Power::Pause),
        "wipe" => power(Power::Wipe),
        "panic" => power(Power::Panic(
            point(table)?,
            if table.has("within") { table.duration("within")? } else { PANIC_WITHIN },
        )),
        "restart" => power(Power::Restart(if table.has("down") {
            table.span_of_time("down")?
        } else {
            DOWN
        })),
        "isolate" => nodes(table).map(NetworkVerb::Isolate).map(Verb::Network),
        "break-multicast" => nodes(table).map(NetworkVerb::BreakMulticast).map(Verb::Network),
        "partition" => partition(reader, names, table).map(Verb::Network),
        "heal" => heal(reader, names, table).map(Verb::Network),
        "request" => request(reader, names, table),
        "start-workload" => workload(reader, names, table).map(Verb::StartWorkload),
        "stop-workload" => workload(reader, names, table).map(Verb::StopWorkload),
        "remember" => cluster_of(reader, names, table, "cluster").map(Verb::Remember),
        "retire" | "cancel-retire" | "mount-stale" | "suspend-recovery" | "resume-recovery"
        | "set" => manage::read(reader, names, table, word),
        "restore" => feed::restore(reader, names, table),
        other if other.ends_with("-feed") => feed::verb(reader, names, table, other),
        // Every word of the table that is built has an arm here or there; a test goes through the table.
        other => fault::read(reader, names, table, other),
    }
}

fn partition(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<NetworkVerb> {
    let texts = table.texts("groups")?;
    if texts.len() < 2 {
        reader.problem(table.key_span("groups"), "a partition needs two groups or more");
        return None;
    }
    let groups: Option<Vec<_>> =
        texts.iter().map(|text| select::nodes(reader, names, text)).collect();
    let groups = groups?;
    let mut taken = BTreeSet::new();
    for (group, text) in groups.iter().zip(&texts) {
        let NodeSelector::These(nodes) = group else { continue };
        if let Some(twice) = nodes.iter().find(|node| !taken.insert((*node).clone())) {
            reader.problem(&text.span, format!("{twice} is in two groups"));
        }
    }
    Some(NetworkVerb::Partition(groups))
}

fn heal(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<NetworkVerb> {
    let Some(text) = table.text("step") else { return Some(NetworkVerb::Heal(None)) };
    let cuts = |word: &String| {
        words::VERBS.iter().any(|verb| verb.word.word == word && verb.is_undone_by("heal"))
    };
    if !names.steps.get(&text.value).is_some_and(cuts) {
        let known =
            names.steps.iter().filter(|(_, verb)| cuts(verb)).map(|(name, _)| name.as_str());
        reader.unknown(&text.span, "cut", &text.value, known);
        return None;
    }
    Some(NetworkVerb::Heal(Some(text.value)))
}

fn workload(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<String> {
    let text = table.text("workload")?;
    if !names.workloads.contains(&text.value) {
        reader.unknown(
            &text.span,
            "workload",
            &text.value,
            names.workloads.iter().map(String::as_str),
        );
        return None;
    }
    Some(text.value)
}

fn request(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<Verb> {
    let method: At<String> = table.text("method")?;
    if method.value.is_empty() || !method.value.bytes().all(|byte| byte.is_ascii_uppercase()) {
        reader.problem(&method.span, "a method is written in capitals, such as GET");
    }
    let path = table.text("path")?;
    let of_path = names.cluster_of_path(&path.value);
    if !path.value.starts_with('/') && of_path.is_none() {
        reader.problem(&path.span, "a path is DOMAIN/BUCKET/NAME in a bucket of this file, or a request target beginning with /");
    }
    let is_sent = |c: char| c.is_ascii_graphic();
    if path.value.starts_with('/') && !path.value.chars().all(is_sent) {
        reader.problem(
            &path.span,
            "a request target is sent as it stands: write what is not plain ASCII as %20",
        );
    }
    let via = table.text("via");
    let cluster = match &via {
        // A node names its cluster.
        Some(via) if via.value.contains('/') && !table.has("cluster") => {
            select::node(reader, names, &via.span, via.value.trim())?.cluster
        }
        _ if table.has("cluster") => cluster_of(reader, names, table, "cluster")?,
        // An object is asked for where its bucket is.
        _ => match of_path {
            Some(cluster) => cluster.to_owned(),
            None => cluster_of(reader, names, table, "cluster")?,
        },
    };
    let via = match via {
        Some(text) => select::via(reader, names, &text, &cluster)?,
        None => Via::AnyNode,
    };
    let auth = match table.text("auth") {
        Some(text) if text.value == "admin" => Some(ADMIN.to_owned()),
        Some(text) if text.value.contains(':') => Some(text.value),
        Some(text) => {
            reader.unknown(&text.span, "user", &text.value, ["admin", "user:password"]);
            return None;
        }
        None => None,
    };
    let expect_status = match table.number("expect_status") {
        None => None,
        Some(number) => {
            let status = u16::try_from(number).ok().filter(|status| (100..600).contains(status));
            if status.is_none() {
                reader.problem(table.key_span("expect_status"), format!("{number} is no status"));
            }
            status
        }
    };
    let headers: BTreeMap<_, _> = header_map(reader, table);
    let size =
        if table.has("size") { Some(table.unit("size", "\"4KiB\"", units::size)?) } else { None };
    let patience = if table.has("timeout") { table.duration("timeout")? } else { REQUEST_PATIENCE };
    Some(Verb::Request(Box::new(Request {
        method: method.value,
        path: path.value,
        headers,
        size,
        auth,
        patience,
        expect_status,
        cluster,
        via,
    })))
}
