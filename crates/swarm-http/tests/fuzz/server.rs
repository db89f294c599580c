//! The server role: one input, two servers, the same requests.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use swarm_env::{Duplex, Env, Stream, hyper_rt};
use swarm_http::codec::{Body, Limits, Request, Response, serve_connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A request as a server's service saw it. Names in lower case and sorted, values of one name in order: hyper keeps no more.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    method: String,
    target: String,
    fields: Fields,
    /// `None` where the body did not arrive whole.
    body: Option<(Vec<u8>, Fields)>,
}

type Fields = BTreeMap<String, Vec<Vec<u8>>>;
type Log = Arc<Mutex<Vec<Seen>>>;

/// How often which rule explained a difference.
#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) agreed: u64,
    by_rule: BTreeMap<&'static str, u64>,
}

impl Rules {
    pub(crate) fn add(&mut self, rule: Option<&'static str>) {
        match rule {
            None => self.agreed += 1,
            Some(rule) => *self.by_rule.entry(rule).or_default() += 1,
        }
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} agreed, differences explained: {:?}", self.agreed, self.by_rule)
    }
}

/// Gives `input` to both servers in pieces of `step` bytes. Returns the rule that explains a difference, if there is one.
///
/// # Panics
/// If they differ and no rule says why, or if our side stalls.
pub(crate) fn check(env: &Env, input: &[u8], step: usize) -> Option<&'static str> {
    let (ours, answers) = run_ours(env, input, step);
    let (theirs, their_error) = run_hyper(input, step);
    for number in 0..ours.len().max(theirs.len()) {
        let (our, their) = (ours.get(number), theirs.get(number));
        let rule = match (our, their) {
            (Some(our), Some(their)) if our == their => {
                if their.method == "CONNECT" {
                    return Some("hyper makes a tunnel of CONNECT");
                }
                continue;
            }
            (Some(our), Some(their)) => differing(our, their, input),
            (None, Some(their)) => ours_refused(their, ours.last(), &answers),
            (Some(our), None) => hyper_refused(our, ours[..number].last(), input),
            (None, None) => None,
        };
        if rule.is_none() {
            panic!(
                "request {number} differs\ninput: {}\nours: {our:?}\nhyper: {their:?} ({their_error:?})\nanswers: {}",
                input.escape_ascii(),
                answers.escape_ascii(),
            );
        }
        return rule;
    }
    None
}

/// Both saw a request, and not the same. Only the ends of chunked bodies may differ.
fn differing(our: &Seen, their: &Seen, input: &[u8]) -> Option<&'static str> {
    let same_head =
        (&our.method, &our.target, &our.fields) == (&their.method, &their.target, &their.fields);
    if !same_head {
        return None;
    }
    match (&our.body, &their.body) {
        (None, Some((_, trailers))) if trailers.keys().any(|name| is_illegal_trailer(name)) => {
            Some("SDK client.py: framing fields are no trailers")
        }
        (None, Some(_)) => lax_chunks(input),
        (Some((_, trailers)), None) if !trailers.is_empty() && has_fold(input) => {
            Some("SDK meta.py: continued lines are joined, in trailers too")
        }
        _ => None,
    }
}

fn is_illegal_trailer(name: &str) -> bool {
    ["transfer-encoding", "content-length", "trailer", "host"].contains(&name)
}

/// What hyper overlooks between chunks.
fn lax_chunks(input: &[u8]) -> Option<&'static str> {
    let bare = input
        .iter()
        .enumerate()
        .any(|(at, byte)| *byte == b'\n' && (at == 0 || input[at - 1] != b'\r'));
    if bare {
        return Some("our choice: a bare LF ends no line, in trailers neither");
    }
    // Leading zeros make a size longer and not larger; who needs them may be hiding something.
    let digits = input.split(|byte| !byte.is_ascii_hexdigit()).map(<[u8]>::len);
    if digits.max().unwrap_or(0) > 16 {
        return Some("our choice: sixteen digits are enough for the size of a chunk");
    }
    let control = |byte: &u8| byte.is_ascii_control() && !b"\t\r\n".contains(byte);
    input.iter().any(control).then_some("our choice: no control characters in chunk extensions")
}

fn has_fold(input: &[u8]) -> bool {
    input.windows(2).any(|pair| pair[0] == b'\n' && matches!(pair[1], b' ' | b'\t'))
}

/// hyper took a request that we did not. Our answer's text says why.
fn ours_refused(their: &Seen, previous: Option<&Seen>, answers: &[u8]) -> Option<&'static str> {
    let texts = [
        ("Version is not HTTP/1.1.", "SCSP Methods: only HTTP/1.1"),
        ("Line ends without CR.", "our choice: a bare LF ends no line"),
        ("Both Content-Length and Transfer-Encoding.", "our choice: one length is enough"),
        ("Bad Transfer-Encoding.", "our choice: chunked is the only coding"),
    ];
    if let Some((_, rule)) = texts.iter().find(|(text, _)| says(answers, text)) {
        return Some(rule);
    }
    if says(answers, "Bad Content-Length.") && their.fields.contains_key("transfer-encoding") {
        return Some("hyper overlooks any Content-Length beside chunks");
    }
    // Whoever has given up a body cannot find the request behind it.
    let given_up = previous.is_some_and(|previous| previous.body.is_none());
    given_up.then_some("a body that we gave up was the last of its connection")
}

/// We took a request that hyper did not.
fn hyper_refused(our: &Seen, previous: Option<&Seen>, input: &[u8]) -> Option<&'static str> {
    let body = previous.and_then(|previous| previous.body.as_ref());
    if body.is_some_and(|(_, trailers)| !trailers.is_empty()) {
        return Some("hyper ends the connection behind trailers");
    }
    if has_fold(input) {
        return Some("SDK meta.py: continued lines are joined");
    }
    let unlike_a_uri = our.target.parse::<hyper::Uri>().is_err();
    unlike_a_uri.then_some("hyper wants a URI, the service judges our targets")
}

fn says(answers: &[u8], text: &str) -> bool {
    answers.windows(text.len()).any(|part| part == text.as_bytes())
}

fn run_ours(env: &Env, input: &[u8], step: usize) -> (Vec<Seen>, Vec<u8>) {
    let (log, out) = (Log::default(), Output::default());
    let seen = Arc::clone(&log);
    let service =
        tower::service_fn(move |request: Request| our_service(request, Arc::clone(&seen)));
    let stream: Stream = Box::new(Script::new(input, step, &out));
    drive(pin!(serve_connection(stream, env.clone(), service, Limits::default())), input);
    (taken(&log), taken(&out))
}

async fn our_service(mut request: Request, log: Log) -> Result<Response, Infallible> {
    let mut body = Some(Vec::new());
    loop {
        match request.body.next().await {
            Ok(Some(piece)) => body.get_or_insert_default().extend_from_slice(&piece),
            Ok(None) => break,
            Err(_) => {
                body = None;
                break;
            }
        }
    }
    let failed = body.is_none();
    let trailers = request.body.trailers().map(|all| sorted(all.iter())).unwrap_or_default();
    let seen = Seen {
        method: request.head.method().to_owned(),
        target: as_hyper_keeps_it(request.head.target()),
        fields: sorted(request.head.fields().iter()),
        body: body.map(|body| (body, trailers)),
    };
    log.lock().expect("no panic while it is held").push(seen);
    if failed {
        return Ok(Response { close: true, ..Response::new(400, "Bad Request") });
    }
    let mut response = Response::new(200, "OK");
    response.body = Body::Full(Bytes::from_static(b"ok"));
    Ok(response)
}

/// hyper parses targets, drops fragments and gives a missing path its slash; ours are left as sent.
fn as_hyper_keeps_it(target: &str) -> String {
    target.parse::<hyper::Uri>().map_or_else(|_| target.to_owned(), |uri| uri.to_string())
}

fn sorted<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Fields {
    let mut sorted = Fields::new();
    for (name, value) in fields {
        sorted.entry(name.to_ascii_lowercase()).or_default().push(value.to_vec());
    }
    // Both take a length that is repeated with the same digits; hyper forgets the repetition.
    if let Some(lengths) = sorted.get_mut("content-length") {
        lengths.truncate(1);
    }
    sorted
}

fn run_hyper(input: &[u8], step: usize) -> (Vec<Seen>, Option<String>) {
    let (log, out) = (Log::default(), Output::default());
    let seen = Arc::clone(&log);
    let service =
        hyper::service::service_fn(move |request| hyper_service(request, Arc::clone(&seen)));
    let stream: Stream = Box::new(Script::new(input, step, &out));
    let connection = hyper::server::conn::http1::Builder::new()
        .auto_date_header(false)
        .header_read_timeout(None)
        // The script closes its sending side at once, and goes on listening.
        .half_close(true)
        // As many as our limit, so that this is no difference.
        .max_headers(4000)
        .serve_connection(hyper_rt::io(stream), service);
    let ended = drive(pin!(connection), input);
    (taken(&log), ended.err().map(|error| error.to_string()))
}

async fn hyper_service(
    request: hyper::Request<Incoming>,
    log: Log,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let of = |map: &hyper::HeaderMap| {
        sorted(map.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
    };
    let body = body.collect().await.ok().map(|body| {
        let trailers = body.trailers().map(of).unwrap_or_default();
        (body.to_bytes().to_vec(), trailers)
    });
    let failed = body.is_none();
    let seen = Seen {
        method: head.method.as_str().to_owned(),
        target: head.uri.to_string(),
        fields: of(&head.headers),
        body,
    };
    log.lock().expect("no panic while it is held").push(seen);
    let mut response = hyper::Response::new(Full::new(Bytes::from_static(b"ok")));
    if failed {
        *response.status_mut() = hyper::StatusCode::BAD_REQUEST;
    }
    Ok(response)
}

fn taken<T: Default>(shared: &Arc<Mutex<T>>) -> T {
    std::mem::take(&mut shared.lock().expect("no panic while it is held"))
}

type Output = Arc<Mutex<Vec<u8>>>;

/// A stream whose peer has said everything at once and then closed; it is always ready.
struct Script {
    rest: Bytes,
    step: usize,
    out: Output,
}

impl Script {
    fn new(input: &[u8], step: usize, out: &Output) -> Self {
        Self { rest: Bytes::copy_from_slice(input), step: step.max(1), out: Arc::clone(out) }
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = self.rest.len().min(self.step).min(buf.remaining());
        buf.put_slice(&self.rest.split_to(len));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut out = self.out.lock().expect("no panic while it is held");
        out.extend_from_slice(bytes);
        assert!(out.len() < 4 * 1024 * 1024, "the server runs away");
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Duplex for Script {
    fn peer_addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], 1).into()
    }

    fn local_addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], 80).into()
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Polls as long as somebody wakes. The stream never waits, so who waits for more than that has stalled.
fn drive<F: Future>(mut future: Pin<&mut F>, input: &[u8]) -> F::Output {
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut cx = Context::from_waker(&waker);
    for _ in 0..200_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        assert!(flag.0.swap(false, Ordering::Relaxed), "stalled on {}", input.escape_ascii());
    }
    panic!("never ends on {}", input.escape_ascii());
}
