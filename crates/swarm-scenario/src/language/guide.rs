//! The tables of the user's guide, made of the words, each between two marks in its text.

use super::words::{
    CLUSTER, CONTEXT, DISK_STATES, EVENTS, EXPECT, FEED, FEED_STATES, INVARIANTS, METRICS,
    NODE_STATES, SELECTORS, STEP, SUBJECTS, TOP, Takes, VERBS, WORKLOAD, Word,
};

/// Begins a table; its name and ` -->` follow.
const MARK: &str = "<!-- made of the words: ";
/// Ends it.
const END: &str = "<!-- to here -->";

/// A text with every table between its marks made anew.
///
/// # Errors
/// The name of a table that does not exist or has no end.
pub fn renewed(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(MARK) {
        let (name, body) = after.split_once(" -->\n").ok_or("a mark has no end")?;
        let (_, after) = body.split_once(END).ok_or_else(|| format!("{name} has no end"))?;
        let table = table(name).ok_or_else(|| format!("there is no table {name}"))?;
        out.push_str(&format!("{before}{MARK}{name} -->\n{table}{END}"));
        rest = after;
    }
    Ok(out + rest)
}

fn table(name: &str) -> Option<String> {
    Some(match name {
        "file" => keys(TOP, ""),
        "cluster" => keys(CLUSTER, ""),
        "context" => keys(CONTEXT, ""),
        "feed" => keys(FEED, ""),
        "workload" => keys(WORKLOAD, ""),
        "step" => keys(STEP, ""),
        "expect" => keys(EXPECT, ""),
        "selectors" => {
            let rows =
                SELECTORS.iter().map(|(form, says)| [(*form).to_owned(), (*says).to_owned()]);
            rows_of(&["selector", "meaning"], rows)
        }
        "events" => rows_of(
            &["event", "when"],
            EVENTS
                .iter()
                .filter(|event| event.built)
                .map(|event| [code(event.form), event.says.to_owned()]),
        ),
        "verbs" => verbs(),
        "subjects" => rows_of(
            &["`that`", "means", "takes"],
            SUBJECTS.iter().filter(|subject| subject.word.built).map(|subject| {
                [
                    code(subject.word.word),
                    subject.word.says.to_owned(),
                    arguments(subject.arguments),
                ]
            }),
        ),
        "metrics" => rows_of(
            &["metric", "of a", "means", "such as"],
            METRICS.iter().filter(|metric| metric.built).map(|metric| {
                [
                    code(metric.form),
                    metric.of.to_owned(),
                    metric.says.to_owned(),
                    code(metric.example),
                ]
            }),
        ),
        "states" => rows_of(
            &["of", "states"],
            [("a node", NODE_STATES), ("a disk", DISK_STATES), ("a feed", FEED_STATES)]
                .into_iter()
                .map(|(of, states)| {
                    [
                        of.to_owned(),
                        states.iter().map(|state| code(state)).collect::<Vec<_>>().join(", "),
                    ]
                }),
        ),
        "not yet" => not_yet(),
        _ => return None,
    })
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

/// A line of a table; a bar in a cell would end it.
fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn rows_of<const N: usize>(head: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut text = line(&head.map(str::to_owned));
    text.push_str(&format!("|{}\n", " --- |".repeat(N)));
    rows.for_each(|row| text.push_str(&line(&row)));
    text
}

/// Keys and the keys of the tables behind them.
fn keys(words: &[Word], within: &str) -> String {
    let rows = all_keys(words, within).into_iter();
    rows_of(&["key", "meaning", "left out"], rows)
}

fn all_keys(words: &[Word], within: &str) -> Vec<[String; 3]> {
    let mut rows = Vec::new();
    for word in words.iter().filter(|word| word.built) {
        let name = format!("{within}{}", word.word);
        let choices = choices(word);
        rows.push([code(&name), format!("{}{choices}", word.says), word.default.to_owned()]);
        if let Takes::Table(words) | Takes::Tables(words) = word.takes {
            rows.extend(all_keys(words, &format!("{name}.")));
        }
    }
    rows
}

/// The words that a key may have, where it has its own.
fn choices(word: &Word) -> String {
    let (Takes::OneOf(words) | Takes::Weights(words)) = word.takes else { return String::new() };
    let built = words.iter().filter(|word| word.built);
    let shown: Vec<String> = built.map(|choice| code(choice.word)).collect();
    format!(": {}", shown.join(", "))
}

fn verbs() -> String {
    let rows = VERBS.iter().filter(|verb| verb.word.built).map(|verb| {
        let undo = match verb.undo {
            "" => String::new(),
            undo => undo.split(", ").map(code).collect::<Vec<_>>().join(", "),
        };
        [
            code(verb.word.word),
            verb.word.says.to_owned(),
            arguments(verb.arguments),
            undo,
            verb.effect.to_owned(),
        ]
    });
    rows_of(&["`do`", "what it does", "takes", "undone by", "what counts as its effect"], rows)
}

fn arguments(words: &[Word]) -> String {
    let shown = words.iter().filter(|word| word.built).map(|word| {
        let default = if word.default.is_empty() {
            String::new()
        } else {
            format!(", else {}", word.default)
        };
        format!("`{}` ({}{}{default})", word.word, word.says, choices(word))
    });
    shown.collect::<Vec<_>>().join("; ")
}

/// Everything that is refused as "not yet", by where it would stand.
fn not_yet() -> String {
    let mut rows: Vec<[String; 2]> = Vec::new();
    let mut add = |place: &str, words: Vec<&str>| {
        if !words.is_empty() {
            let words: Vec<String> = words.into_iter().map(code).collect();
            rows.push([place.to_owned(), words.join(", ")]);
        }
    };
    add("a file", later(TOP));
    for word in TOP {
        if let Takes::Named(words) = word.takes {
            add(&format!("`[{}.…]`", word.word), later(words));
            for inner in words {
                if let Takes::Table(words) | Takes::Weights(words) | Takes::OneOf(words) =
                    inner.takes
                {
                    add(&code(inner.word), later(words));
                }
            }
        }
    }
    add("`do`", VERBS.iter().filter(|verb| !verb.word.built).map(|verb| verb.word.word).collect());
    for verb in VERBS {
        add(&code(verb.word.word), later(verb.arguments));
    }
    add("events", EVENTS.iter().filter(|event| !event.built).map(|event| event.form).collect());
    let subjects = SUBJECTS.iter().filter(|subject| !subject.word.built);
    add("`that`", subjects.map(|subject| subject.word.word).collect());
    let metrics = METRICS.iter().filter(|metric| !metric.built);
    add("metrics", metrics.map(|metric| metric.form).collect());
    add("invariants", later(INVARIANTS));
    rows_of(&["where", "not yet"], rows.into_iter())
}

fn later(words: &[Word]) -> Vec<&'static str> {
    words.iter().filter(|word| !word.built).map(|word| word.word).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Compares a file of the project with what it should say; `WRITE_GENERATED=1` writes it.
    fn assert_current(file: &str, renew: impl Fn(&str) -> String) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let renewed = renew(&text);
        if std::env::var_os("WRITE_GENERATED").is_some() {
            std::fs::write(&path, &renewed).expect("written");
        } else {
            assert!(
                text == renewed,
                "{file} is not current: WRITE_GENERATED=1 cargo test -p swarm-scenario generated"
            );
        }
    }

    #[test]
    fn the_generated_tables_of_the_guide_are_current() {
        assert_current("docs/scenarios.md", |text| renewed(text).expect("known tables"));
    }

    #[test]
    fn the_generated_schema_is_current() {
        assert_current("docs/scenario.schema.json", |_| {
            let schema = crate::language::schema::schema();
            serde_json::to_string_pretty(&schema).expect("JSON") + "\n"
        });
    }

    #[test]
    fn a_table_stands_between_its_marks_and_an_unknown_one_is_told() {
        let text = format!("a\n{MARK}states -->\nold\n{END}\nb\n");
        let new = renewed(&text).expect("a table");
        assert!(new.starts_with("a\n") && new.ends_with("b\n") && !new.contains("old"), "{new}");
        assert!(new.contains("| a node | `ok`, "), "{new}");
        assert_eq!(renewed(&new), Ok(new.clone()));
        assert!(renewed(&text.replace("states", "stats")).is_err());
    }
}
