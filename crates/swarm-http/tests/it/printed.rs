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
    /// Whether another node has a replica.
    pub(crate) hinted: bool,
}

/// The answer to a SEND that nobody has signed, as SCSP SEND - Legacy prints it, and the page behind it, which is not printed.
#[track_caller]
pub(crate) fn check_challenge(text: &str) {
    let (head, page) = text.split_once("\r\n\r\n").expect("a whole head");
    let all = [
        "HTTP/1.1 401 Unauthorized",
        "WWW-Authenticate: Digest realm=\"CAStor administrator\", nonce=\"<hex>\", opaque=\"<hex>\", stale=false, qop=\"auth\", \
         algorithm=MD5",
        "WWW-Authenticate: Basic realm=\"CAStor administrator\"",
        "Content-Length: 53",
        "Content-Type: text/html",
        "Date: <date>",
        "Server: CAStor Cluster/15.0.1",
        "Allow: HEAD, HOLD, GET, SEND, PUT, RELEASE, POST, COPY, GEN, APPEND, DELETE",
    ];
    check_lines(head, &all);
    assert_eq!(page.len(), 53, "{page}");
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
    let hint: &[&str] = if head.hinted { &["Volume-Hint: <hex>"] } else { &[] };
    let below = ["Date: <date>", "Server: CAStor Cluster/15.0.1", ""];
    let volume = ["Volume: <hex>"];
    let all =
        [&above[..], head.framing, &between, head.feeds, &volume, hint, &below, behind].concat();
    check_lines(text, &all);
}

/// Lines of a template, in which `<…>` stands for what differs from run to run.
#[track_caller]
fn check_lines(text: &str, template: &[&str]) {
    let lines: Vec<&str> = text.split("\r\n").collect();
    for (line, expected) in lines.iter().zip(template) {
        assert!(fits(line, expected), "{expected} is {line} in {text}");
    }
    assert_eq!(lines.len(), template.len(), "{text}");
}

fn fits(line: &str, template: &str) -> bool {
    let Some((fixed, rest)) = template.split_once('<') else { return line == template };
    let (kind, template) = rest.split_once('>').expect("a kind");
    let length = match kind {
        "date" => 29,
        "hex" => 32,
        "etag" => 34,
        "version" => 14,
        other => panic!("{other} is no kind"),
    };
    let value = line.strip_prefix(fixed).and_then(|line| line.split_at_checked(length));
    let Some((value, line)) = value else { return false };
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_kind = match kind {
        "date" => is_date(value),
        "hex" => is_hex(value),
        "etag" => value.starts_with('"') && value.ends_with('"') && is_hex(&value[1..33]),
        _ => value.split('.').map(str::len).collect::<Vec<_>>() == [10, 3],
    };
    is_kind && fits(line, template)
}
