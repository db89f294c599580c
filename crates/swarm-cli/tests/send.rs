//! docs/send.md as its reader pastes it, and every byte that it shows: only dates, ids and what is drawn may be others.
#![expect(
    clippy::disallowed_methods,
    reason = "the reader of the page is outside every world, on a machine of their own"
)]

mod paste;

use paste::{Block, Reader, blocks};

/// Fields whose values nobody can know before.
const DRAWN: [&str; 9] = [
    "Castor-System-Alias",
    "Castor-System-Created",
    "Castor-System-Version",
    "Last-Modified",
    "Etag",
    "Volume",
    "Volume-Hint",
    "Date",
    "Feed-N-StatusTime",
];

/// What is shown, without what nobody can know before.
fn shape(text: &str) -> Vec<String> {
    let line = |line: &str| {
        let Some((name, value)) = line.split_once(": ").filter(|(_, value)| !value.is_empty())
        else {
            return line.trim_end().to_owned();
        };
        let general = match name.split('-').collect::<Vec<_>>()[..] {
            ["Feed", _, "StatusTime"] => "Feed-N-StatusTime",
            _ => name,
        };
        match name == "WWW-Authenticate" {
            true => format!("{name}: {}", without_drawn(value.trim_end())),
            false if DRAWN.contains(&general) => format!("{name}: *"),
            false => line.trim_end().to_owned(),
        }
    };
    text.lines().map(line).collect()
}

/// A challenge without its nonce and its opaque value.
fn without_drawn(challenge: &str) -> String {
    let drawn = |part: &&str| !part.starts_with("nonce=") && !part.starts_with("opaque=");
    challenge.split(", ").filter(drawn).collect::<Vec<_>>().join(", ")
}

/// Of all answers on the way the last.
fn last(said: &str) -> &str {
    said.rfind("HTTP/1.1 ").map_or(said, |at| &said[at..])
}

#[test]
fn the_page_shows_what_is_printed() {
    let blocks = blocks(include_str!("../../../docs/send.md"));
    let reader = Reader::new(1);
    let (up, rest): (Vec<&Block>, Vec<&Block>) =
        blocks.iter().partition(|block| block.command.contains("cluster up"));
    let clusters: Vec<_> = up.iter().map(|block| reader.terminal(&block.command)).collect();
    assert_eq!(clusters.len(), 2, "main and dr");
    for cluster in &clusters {
        cluster.until_ready();
    }
    let mut challenge = None;
    let mut compared = 0;
    for Block { under, command, printed } in rest {
        if printed.starts_with("HTTP/1.1 401") {
            // What every request without credentials gets; shown before the first that has it.
            challenge = Some(shape(printed));
            reader.runs(command);
            continue;
        }
        let wanted = shape(printed);
        if printed.is_empty() {
            reader.runs(command);
            continue;
        }
        // The feed takes a moment to bring an object over by itself; what is asked for by these commands is the same each time.
        let is_head = printed.contains("Feed-0-Status") && !printed.contains("Trailer: Feed-0");
        let is_right = |said: &str| shape(last(said)) == wanted || !is_head;
        let said = reader.sees(command, is_right);
        assert_eq!(shape(last(&said)), wanted, "{under}: {command}{said}");
        compared += 1;
        if let Some(challenge) = challenge.take() {
            let said = shape(&said);
            assert!(said.windows(challenge.len()).any(|lines| lines == challenge), "{said:?}");
        }
    }
    assert!(challenge.is_none() && compared == 7, "{compared} answers of the page compared");
}
