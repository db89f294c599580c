//! Answers as the documents print them, line by line.

pub(crate) fn is_date(text: &str) -> bool {
    text.len() == 29 && text.ends_with(" GMT")
}

/// What differs between the heads of SENDs of an alias object.
pub(crate) struct Head<'a> {
    pub(crate) alias: &'a str,
    /// Before `transfer-encoding`.
    pub(crate) framing: &'a [&'a str],
    /// Of feeds that are done.
    pub(crate) feeds: &'a [&'a str],
}

/// The answer to a SEND of an alias object: its head as SCSP SEND - Legacy prints it, and these lines behind it.
#[track_caller]
pub(crate) fn check_send(text: &str, head: &Head<'_>, behind: &[&str]) {
    let alias = format!("Castor-System-Alias: {}", head.alias);
    let above = [
        "HTTP/1.1 200 OK",
        &alias,
        "Castor-System-Cluster: main",
        "Castor-System-Created: <date>",
        "Castor-System-Version: <version>",
        "Content-type: text/xml",
        "Last-Modified: <date>",
    ];
    let between = ["transfer-encoding: chunked", "Etag: <etag>"];
    let below = ["Volume: <hex>", "Date: <date>", "Server: CAStor Cluster/15.0.1", ""];
    let all = [&above[..], head.framing, &between, head.feeds, &below, behind].concat();
    check_lines(text, &all);
}

/// A line of a template: `<` stands for what differs from run to run.
#[track_caller]
fn check_lines(text: &str, template: &[&str]) {
    let lines: Vec<&str> = text.split("\r\n").collect();
    for (line, expected) in lines.iter().zip(template) {
        match expected.split_once('<') {
            None => assert_eq!(line, expected, "{text}"),
            Some((fixed, kind)) => {
                let rest = line.strip_prefix(fixed);
                let rest = rest.unwrap_or_else(|| panic!("{expected} is {line} in {text}"));
                let fits = match kind {
                    "date>" => is_date(rest),
                    "hex>" => rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()),
                    "etag>" => rest.len() == 34 && rest.starts_with('"') && rest.ends_with('"'),
                    "version>" => rest.split('.').map(str::len).collect::<Vec<_>>() == [10, 3],
                    other => panic!("{other} is no kind"),
                };
                assert!(fits, "{expected} is {line} in {text}");
            }
        }
    }
    assert_eq!(lines.len(), template.len(), "{text}");
}
