//! The JSON Schema of scenario files, made of the words, so that editors complete and check while one types.
//!
//! It says what a file may look like. What its names mean, and whether they exist, only `scenario check` tells.

use serde_json::{Map, Value, json};

use super::words::{
    EXPECT, PERCENTILES, STEP, SUBJECTS, SubjectWord, TOP, TOP_REQUIRED, Takes, VERBS, VerbWord,
    Word,
};

/// The schema, in the draft that editors know best.
#[must_use]
pub fn schema() -> Value {
    let mut schema = object(TOP, TOP_REQUIRED);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("A scenario of swarm-sim");
    schema["definitions"] = json!({
        "duration": pattern(&format!("^{DURATION}$"), "a duration such as 90s or 1h30m"),
        "span": pattern(&format!("^{DURATION}(\\.\\.{DURATION})?$"), "a duration, or a range such as 2m..5m to draw one from"),
        "times": pattern(&format!("^{DURATION}\\.\\.{DURATION}$"), "two times from the start, such as 5m..9m"),
        "size": pattern("^[0-9]+(\\.[0-9]+)? *(B|[KMGT]i?B|kB)$", "a size such as 64KiB"),
        "rate": pattern("^[0-9]+(\\.[0-9]+)? */ *(ns|us|µs|ms|s|m|h|d|w)$", "a rate such as 20/s"),
        "share": pattern("^[0-9]+(\\.[0-9]+)? *%$", "a share such as 0.1%"),
        "bandwidth": pattern("^[0-9]+(\\.[0-9]+)? *([kKMG]?bit|([KMGT]i?B|kB|B)/s)$", "a bandwidth such as 10Gbit or 80MiB/s"),
        "offset": pattern(&format!("^[+-]{DURATION}$"), "an offset such as +10m or -30s"),
    });
    schema
}

const DURATION: &str = "([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h|d|w))+";

fn pattern(pattern: &str, says: &str) -> Value {
    json!({ "type": "string", "pattern": pattern, "description": says })
}

/// A table with these keys and no others.
fn object(words: &[Word], required: &[&str]) -> Value {
    let properties: Map<String, Value> = words
        .iter()
        .filter(|word| word.built)
        .map(|word| (word.word.to_owned(), property(word)))
        .collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// The value of a key, with what it means.
fn property(word: &Word) -> Value {
    let mut value = value(word.takes);
    let default = match word.default {
        "" => String::new(),
        default => format!(" (else {})", default.replace('`', "")),
    };
    if !word.says.is_empty() {
        value["description"] = json!(format!("{}{default}", word.says.replace('`', "")));
    }
    value
}

fn value(takes: Takes) -> Value {
    let defined = |name: &str| json!({ "allOf": [{ "$ref": format!("#/definitions/{name}") }] });
    let map = |of: Value| json!({ "type": "object", "additionalProperties": of });
    match takes {
        Takes::Nothing
        | Takes::Text
        | Takes::Event
        | Takes::Nodes
        | Takes::Disks
        | Takes::Cluster
        | Takes::Place
        | Takes::Via
        | Takes::Object
        | Takes::Name
        | Takes::Header
        | Takes::Is
        | Takes::Window => json!({ "type": "string" }),
        Takes::Texts | Takes::Groups => {
            json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
        }
        Takes::Number => json!({ "type": "integer", "minimum": 0 }),
        Takes::Count => json!({ "type": "integer", "minimum": 1 }),
        Takes::Whole => json!({ "type": "integer" }),
        Takes::Flag => json!({ "type": "boolean" }),
        Takes::Duration => defined("duration"),
        Takes::Span => defined("span"),
        Takes::Latency => {
            json!({ "anyOf": [{ "$ref": "#/definitions/span" }, object(PERCENTILES, &["p50", "p99"])] })
        }
        Takes::Times => defined("times"),
        Takes::Moment => {
            json!({ "anyOf": [{ "const": "end" }, { "$ref": "#/definitions/duration" }] })
        }
        Takes::Size => defined("size"),
        Takes::Rate => defined("rate"),
        Takes::Share => defined("share"),
        Takes::Bandwidth => defined("bandwidth"),
        Takes::Offset => defined("offset"),
        Takes::Headers | Takes::Clocks => map(json!({ "type": "string" })),
        Takes::Settings => map(json!({ "type": ["string", "integer", "boolean"] })),
        Takes::Setting => json!({ "type": ["string", "integer", "boolean"] }),
        Takes::Subclusters => {
            map(json!({ "type": "array", "items": { "type": "integer", "minimum": 1 } }))
        }
        Takes::Sizes => map(json!({ "type": "integer", "minimum": 0 })),
        Takes::Weights(words) => {
            let weights = built(words).map(|word| {
                let weight = json!({ "type": "integer", "minimum": 0, "description": word.says });
                (word.word.to_owned(), weight)
            });
            let weights: Map<String, Value> = weights.collect();
            json!({ "type": "object", "properties": weights, "additionalProperties": false })
        }
        Takes::OneOf(words) => {
            json!({ "enum": built(words).map(|word| word.word).collect::<Vec<_>>() })
        }
        Takes::Table(words) => object(words, &[]),
        Takes::Tables(words) => json!({ "type": "array", "items": object(words, &[]) }),
        Takes::Named(words) => map(object(words, &[])),
        Takes::Steps => {
            json!({ "type": "array", "items": { "oneOf": VERBS.iter().filter(|verb| verb.word.built).map(step).collect::<Vec<_>>() } })
        }
        Takes::Expects => {
            json!({ "type": "array", "items": { "oneOf": SUBJECTS.iter().filter(|subject| subject.word.built).map(expect).collect::<Vec<_>>() } })
        }
    }
}

fn built(words: &'static [Word]) -> impl Iterator<Item = &'static Word> {
    words.iter().filter(|word| word.built)
}

/// A step with this verb.
fn step(verb: &VerbWord) -> Value {
    let words: Vec<Word> = STEP.iter().chain(verb.arguments).copied().collect();
    // `each` stands for the nodes or disks that a verb needs.
    let by_each = |key: &&&str| matches!(**key, "nodes" | "disks");
    let mut required: Vec<&str> =
        verb.required.iter().filter(|key| !by_each(key)).copied().collect();
    required.push("do");
    let mut step = object(&words, &required);
    step["properties"]["do"] = json!({ "const": verb.word.word, "description": verb.word.says });
    step["anyOf"] =
        json!([{ "required": ["at"] }, { "required": ["after"] }, { "required": ["every"] }]);
    if let Some(targets) = verb.required.iter().find(by_each) {
        step["oneOf"] = json!([{ "required": [targets] }, { "required": ["each"] }]);
    } else {
        step["properties"].as_object_mut().map(|keys| keys.remove("each"));
    }
    step
}

/// An expectation with this subject.
fn expect(subject: &SubjectWord) -> Value {
    let words: Vec<Word> = EXPECT.iter().chain(subject.arguments).copied().collect();
    let required: Vec<&str> = subject.required.iter().copied().chain(["that"]).collect();
    let mut expect = object(&words, &required);
    expect["properties"]["that"] =
        json!({ "const": subject.word.word, "description": subject.word.says });
    expect["oneOf"] = json!([
        { "required": ["at"] },
        { "required": ["within"] },
        { "required": ["during"] },
        { "required": ["never"] },
    ]);
    expect
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Whether a value fits a schema, as far as this one goes. Returns the first place where it does not.
    fn fit(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let fail = |why: &str| Err(format!("{at}: {why}: {value}"));
        let any = |key: &str| {
            schema.get(key).and_then(Value::as_array).map(|schemas| {
                schemas.iter().filter(|one| fit(root, one, value, at).is_ok()).count()
            })
        };
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let name = reference.trim_start_matches("#/definitions/");
            fit(root, &root["definitions"][name], value, at)?;
        }
        for one in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            fit(root, one, value, at)?;
        }
        if any("anyOf") == Some(0) {
            return fail("none of anyOf");
        }
        if any("oneOf").is_some_and(|count| count != 1) {
            return fail("not exactly one of oneOf");
        }
        if schema.get("const").is_some_and(|only| only != value) {
            return fail("another constant");
        }
        if schema.get("enum").and_then(Value::as_array).is_some_and(|all| !all.contains(value)) {
            return fail("none of enum");
        }
        let is = |word: &str| match word {
            "string" => value.is_string(),
            "integer" => value.is_i64(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("no type {other}"),
        };
        let types = match schema.get("type") {
            None => Vec::new(),
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
            Some(word) => word.as_str().into_iter().collect(),
        };
        if !types.is_empty() && !types.iter().any(|word| is(word)) {
            return fail("another type");
        }
        if schema.get("minimum").and_then(Value::as_i64) > value.as_i64() {
            return fail("too small");
        }
        if let (Some(pattern), Some(text)) =
            (schema.get("pattern").and_then(Value::as_str), value.as_str())
        {
            let pattern = regex::Regex::new(pattern).expect("the schema's own pattern");
            if !pattern.is_match(text) {
                return fail("does not match");
            }
        }
        for key in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if value.get(key.as_str().expect("a key")).is_none() {
                return fail(&format!("lacks {key}"));
            }
        }
        for (key, inner) in value.as_object().into_iter().flatten() {
            let at = format!("{at}/{key}");
            match schema.get("properties").and_then(|keys| keys.get(key)) {
                Some(property) => fit(root, property, inner, &at)?,
                None => match schema.get("additionalProperties") {
                    Some(Value::Bool(false)) => return fail(&format!("no key {key}")),
                    Some(schema) => fit(root, schema, inner, &at)?,
                    None => {}
                },
            }
        }
        if let Some(items) = schema.get("items") {
            for (number, inner) in value.as_array().into_iter().flatten().enumerate() {
                fit(root, items, inner, &format!("{at}/{number}"))?;
            }
        }
        Ok(())
    }

    fn judge(text: &str) -> Result<(), String> {
        let value: Value = toml::from_str(text).expect("TOML");
        let schema = schema();
        fit(&schema, &schema, &value, "")
    }

    #[test]
    fn every_scenario_of_the_project_fits_the_schema() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
        let files = crate::catalogue::files(&folder).expect("scenarios");
        assert!(files.len() >= 7, "{files:?}");
        for file in files {
            let text = std::fs::read_to_string(&file).expect("a scenario");
            judge(&text).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        }
    }

    #[test]
    fn what_the_reader_refuses_for_its_form_the_schema_refuses_too() {
        const HEAD: &str = "schema = 1\ntitle = \"t\"\nwhy = \"w\"\n[cluster.main]\nnodes = 3\n";
        judge(HEAD).expect("the smallest file");
        for wrong in [
            "clock = 3\n",
            "lan = { latency = \"5\" }\n",
            "volumes = { kind = \"tape\" }\n",
            "[workload.w]\nclients = 0\n",
            "[workload.w]\nmix = { wite = 1 }\n",
            "[[step]]\nat = \"1m\"\ndo = \"kil\"\nnodes = \"main/1\"\n",
            "[[step]]\nat = \"1m\"\ndo = \"kill\"\n",
            "[[step]]\ndo = \"kill\"\nnodes = \"main/1\"\n",
            "[[step]]\nat = \"1m\"\ndo = \"kill\"\nnodes = \"main/1\"\nshare = \"1%\"\n",
            "[[expect]]\nthat = \"healthy\"\n",
            "[[expect]]\nat = \"end\"\nduring = \"1m..2m\"\nthat = \"healthy\"\n",
            "[[expect]]\nat = \"end\"\nthat = \"header\"\nobject = \"x\"\n",
        ] {
            assert!(judge(&format!("{HEAD}{wrong}")).is_err(), "{wrong}");
            assert!(crate::language::read("x", &format!("{HEAD}{wrong}")).is_err(), "{wrong}");
        }
    }
}
