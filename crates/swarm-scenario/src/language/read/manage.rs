//! Reads what the verbs of administration take.

use swarm_cluster::check_change;
use toml::de::DeValue;

use super::{Names, cluster_of, select};
use crate::language::model::{
    DiskSelector, NodeSelector, RECOVERY_SUSPENDED, Retire, Targets, Verb,
};
use crate::language::reader::{Reader, Table};
use crate::language::words::{Takes, VERBS};

/// Reads the verb of this word, if it is one of these.
pub(super) fn read(
    reader: &Reader<'_>,
    names: &Names,
    table: &Table<'_>,
    word: &str,
) -> Option<Verb> {
    let suspend = |value: &str| {
        let cluster = cluster_of(reader, names, table, "cluster")?;
        Some(Verb::Set { cluster, name: RECOVERY_SUSPENDED.to_owned(), value: value.to_owned() })
    };
    match word {
        "suspend-recovery" => suspend("True"),
        "resume-recovery" => suspend("False"),
        "set" => set(reader, names, table),
        "mount-stale" => targets(reader, names, table).map(Verb::MountStale),
        "cancel-retire" => {
            let of = targets(reader, names, table)?;
            Some(Verb::Retire { of, how: Retire::Cancel })
        }
        _ => {
            let verb = VERBS.iter().find(|verb| verb.word.word == word)?;
            let pace = verb.arguments.iter().find(|word| word.word == "pace")?;
            let Takes::OneOf(paces) = pace.takes else { return None };
            let fast = match table.has("pace") {
                true => table.word("pace", "value of `pace`", paces)?.value == "fast",
                false => false,
            };
            let how = if fast { Retire::Fast } else { Retire::Slow };
            Some(Verb::Retire { of: targets(reader, names, table)?, how })
        }
    }
}

fn targets(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<Targets> {
    match (table.text("nodes"), table.text("disks")) {
        (Some(nodes), None) => select::nodes(reader, names, &nodes).map(Targets::Nodes),
        (None, Some(disks)) => select::disks(reader, names, &disks).map(Targets::Disks),
        // `each` goes through what its phrase means.
        (None, None) if table.has("each") => {
            Some(match select::targets(reader, names, &table.text("each")?)? {
                Targets::Disks(_) => Targets::Disks(DiskSelector::Each),
                Targets::Nodes(_) => Targets::Nodes(NodeSelector::Each),
            })
        }
        _ => {
            reader.problem(table.span(), "volumes are those of `nodes`, or `disks`");
            None
        }
    }
}

fn set(reader: &Reader<'_>, names: &Names, table: &Table<'_>) -> Option<Verb> {
    let cluster = cluster_of(reader, names, table, "cluster")?;
    let name = table.text("setting")?;
    let value = table.get("value")?;
    let text = match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        _ => {
            reader.problem(&value.span(), "a setting is a text, a number, true or false");
            return None;
        }
    };
    if !swarm_cluster::setting_names().any(|known| known == name.value) {
        reader.unknown(&name.span, "setting", &name.value, swarm_cluster::setting_names());
        return None;
    }
    if let Err(why) = check_change(&name.value, &text) {
        reader.problem(&value.span(), why);
    }
    Some(Verb::Set { cluster, name: name.value, value: text })
}
