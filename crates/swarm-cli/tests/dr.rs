//! docs/dr.md as its reader pastes it: two processes, each with a cluster, and every command of the page in its order.
#![expect(
    clippy::disallowed_methods,
    reason = "the reader of the page is outside every world, on a machine of their own"
)]

mod paste;

use paste::{Reader, blocks};

/// Commands of the set-up: the page promises fewer than ten.
const SETUP_MAX: usize = 9;

/// Whether the one feed of a list has nothing left to do.
fn is_drained(list: &str) -> bool {
    let words: Vec<&str> = list.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    let from_the_right = |nth: usize| words.iter().rev().nth(nth).copied();
    words.contains(&"OK") || from_the_right(2) == Some("0")
}

/// The names of the fields that the page shows of an answer; those of feeds come before or behind the body.
fn fields(printed: &str) -> impl Iterator<Item = &str> {
    let fields = printed.lines().filter_map(|line| line.split_once(": "));
    fields.map(|(name, _)| name).filter(|name| !name.starts_with("Feed-") && *name != "Trailer")
}

#[test]
fn the_page_does_what_it_says() {
    let page = include_str!("../../../docs/dr.md");
    let excerpt = include_str!("../../../docs/dr.toml").split_once("[cluster.main]").expect("it").1;
    assert!(page.contains(excerpt.trim_end()), "the page shows docs/dr.toml as it is");
    let blocks = blocks(page);
    let setup =
        |block: &&paste::Block| block.under.chars().next().is_some_and(|c| c.is_ascii_digit());
    assert!(blocks.iter().filter(setup).count() <= SETUP_MAX, "more commands than promised");
    let reader = Reader::new(0);
    let mut at = 0;
    let mut next = |begins: &str| {
        let block = blocks.get(at).unwrap_or_else(|| panic!("{begins}: the page has ended"));
        assert!(block.command.starts_with(begins), "not {begins}: {}", block.command);
        at += 1;
        block
    };

    let mut main = reader.terminal(&next("cargo xtask cluster up").command);
    let said = main.until_ready();
    assert!(said.contains("feed 0 'to-dr' to dr at") && said.contains("created"), "{said}");
    let dr = reader.terminal(&next("cargo xtask cluster up").command);
    dr.until_ready();
    // A cluster says that it is ready once it is; the domain may take a moment to the other.
    assert!(reader.runs(&next("curl").command).contains("New stream created"));
    let send = next("curl");
    assert!(send.command.contains("--raw") && send.command.contains("--digest"));
    let said = reader.runs(&send.command);
    assert!(said.contains("HTTP/1.1 401") && said.contains("HTTP/1.1 200 OK"), "{said}");
    assert!(said.contains("Feed-0-Status: 0"), "{said}");
    for field in fields(&send.printed) {
        assert!(said.contains(&format!("{field}: ")), "no {field} in {said}");
    }
    let read = next("curl");
    assert!(reader.runs(&read.command).contains(read.printed.trim_end()));

    reader.runs(&next("kill -9").command);
    main.child.wait().expect("it is gone");
    assert!(reader.runs(&next("curl").command).contains("New stream created"));
    let command = &next("cargo xtask cluster up").command;
    main = reader.terminal(command);
    let said = main.until_ready();
    assert!(said.contains("as it was"), "a second start changes nothing: {said}");
    let read = next("until");
    assert!(reader.runs(&read.command).contains(read.printed.trim_end()));

    let list = next("cargo xtask cluster feed list");
    let said = reader.sees(&list.command, is_drained);
    let head = |text: &str| text.lines().next().map(|line| line.split_whitespace().count());
    assert_eq!(head(&said), head(&list.printed), "the columns of the page");
    for wrong in ["the target does not take the credentials", "the target is another cluster"] {
        reader.runs(&next("curl").command);
        let list = next("cargo xtask cluster feed list");
        assert!(list.printed.contains(wrong), "{}", list.printed);
        reader.sees(&list.command, |said| said.contains(wrong));
    }
    let back = next("cargo xtask cluster feed create");
    assert!(reader.runs(&back.command).contains("changed"), "{}", back.command);
    reader.sees(&list.command, is_drained);
    assert!(blocks.get(at).is_none(), "the page goes on: {}", blocks[at].command);
}
