//! The layers, asked as services, without a port.

use std::collections::BTreeMap;

use tower::{ServiceBuilder, ServiceExt as _};

use super::*;
use crate::auth::digest::hex;
use crate::auth::{AuthenticateLayer, Gate};
use crate::codec::RequestBody;
use crate::scsp;
use crate::testing::{self, Hand};

/// The password of the tests' administrator is `secret`.
const ADMIN: (&str, &str) = ("Authorization", "Basic YWRtaW46c2VjcmV0");

fn request(line: &str, fields: &[(&str, &str)]) -> Request {
    let peer = ([127, 0, 0, 1], 1).into();
    Request { head: testing::head(line, fields), body: RequestBody::empty(), peer }
}

/// Understands and authenticates, then refuses what is not built; what passes is answered 200 with what it is about.
async fn ask(line: &str, fields: &[(&str, &str)]) -> Response {
    let (env, _) = testing::env();
    ask_at(&env, &gate(&env), line, fields).await
}

fn gate(env: &Env) -> Arc<Gate> {
    Arc::new(Gate::new(env, BTreeMap::from([("admin".to_owned(), "secret".to_owned())])))
}

async fn ask_at(env: &Env, gate: &Arc<Gate>, line: &str, fields: &[(&str, &str)]) -> Response {
    let clock = env.clone();
    let service = ServiceBuilder::new()
        .layer(UnderstandLayer(env.clone()))
        .layer(AuthenticateLayer { gate: Arc::clone(gate), env: env.clone() })
        .service(tower::service_fn(move |call: Call| {
            let answer = scsp::describe(&call);
            let now = clock.wall();
            async move {
                Ok::<_, Infallible>(match answer {
                    Ok(text) => {
                        let mut response = Response::new(200, "OK");
                        response.fields.push("X-About", text);
                        response
                    }
                    Err(fault) => status::fault(&fault, now),
                })
            }
        }));
    let Ok(response) = service.oneshot(request(line, fields)).await;
    response
}

/// Asks with a `Host` and a length, and returns the status and what the answer names.
async fn check(line: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let all = [&[("Host", "acme.example"), ("Content-Length", "0")], fields].concat();
    let response = ask(line, &all).await;
    let about = response.fields.text("x-about");
    let text = about.or_else(|| response.fields.text("castor-system-error-text"));
    (response.status, text.unwrap_or_default().to_owned())
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_in_order() {
    let status = |line: &'static str, fields: &'static [(&str, &str)]| async move {
        ask(line, fields).await.status
    };
    // SCSP Methods; Undefined Responses.
    for verb in ["PATCH", "OPTIONS", "TRACE", "CONNECT", "get"] {
        assert_eq!(ask(&format!("{verb} /"), &[]).await.status, 501, "{verb}");
    }
    // Error Responses to READ, WRITE and DELETE.
    let no_host = ask("GET /", &[]).await;
    assert_eq!((no_host.status, no_host.close), (400, true));
    assert_eq!(no_host.fields.text("castor-system-error-text"), Some("Host header is required."));
    // Error Responses to WRITE.
    for verb in ["POST", "PUT", "APPEND", "HOLD"] {
        assert_eq!(ask(&format!("{verb} /a/b"), &[("Host", "h")]).await.status, 411, "{verb}");
    }
    assert_eq!(status("GET /a/b", &[("Host", "h"), ("Expect", "teapot")]).await, 417);
    assert_eq!(status("COPY /a/b", &[("Host", "h"), ("Content-Length", "1")]).await, 400);
    assert_eq!(status("GET /%ff", &[("Host", "h")]).await, 400);
    assert_eq!(status("GET /a?alias=maybe", &[("Host", "h")]).await, 400);
}

/// Defining Swarm Admins, Swarm Users, and Swarm Passwords: what needs an administrator; 401 with one challenge.
#[tokio::test]
async fn administrators_are_asked_for_where_their_rights_are_used() {
    const CONTEXT: (&str, &str) = ("Content-Type", "Application/CastorContext; x=y");
    let wrong = ("Authorization", "Basic YWRtaW46d3Jvbmc=");
    for (line, fields) in [
        ("GET /a/b?admin", vec![]),
        ("DELETE /a/b?ADMIN=yes", vec![]),
        ("POST /?domain=acme.example", vec![CONTEXT]),
        ("POST /?domain=acme.example&createdomain", vec![]),
        ("DELETE /?domain=acme.example&recursive", vec![]),
        ("SEND /a/b?admin", vec![]),
    ] {
        assert_eq!(check(line, &fields).await.0, 401, "{line}");
        assert_eq!(check(line, &[&fields[..], &[wrong]].concat()).await.0, 401, "{line}");
        assert_ne!(check(line, &[&fields[..], &[ADMIN]].concat()).await.0, 401, "{line}");
    }
    // Our choice: SEND is for those who say that they are administrators.
    assert_eq!(check("SEND /a/b?feedid=1", &[ADMIN]).await.0, 401);
    for (line, fields) in [
        ("GET /a/b?admin=no", vec![wrong]),
        ("POST /?domain=acme.example", vec![]),
        ("PUT /?domain=acme.example", vec![]),
        ("POST /bucket", vec![CONTEXT]),
        ("DELETE /bucket?recursive", vec![]),
        ("GET /?domain=acme.example", vec![]),
    ] {
        assert_eq!(check(line, &fields).await.0, 200, "{line} is open to everybody");
    }
}

/// A parameter of the Digest challenge, which stands first.
fn challenged(response: &Response, name: &str) -> String {
    let challenge = response.fields.text("www-authenticate").expect("a challenge");
    let challenge = challenge.strip_prefix("Digest ").expect("Digest first");
    let part = challenge.split(", ").find_map(|part| part.strip_prefix(&format!("{name}=")));
    part.unwrap_or_else(|| panic!("no {name} in {challenge}")).trim_matches('"').to_owned()
}

/// What a client sends that knows this password, for this verb and target.
fn signed(nonce: &str, password: &str, verb: &str, target: &str) -> String {
    let ha1 = hex(&format!("admin:CAStor administrator:{password}"));
    let ha2 = hex(&format!("{verb}:{target}"));
    let response = hex(&format!("{ha1}:{nonce}:00000001:0a4f113b:auth:{ha2}"));
    format!(
        "Digest username=\"admin\", realm=\"CAStor administrator\", nonce=\"{nonce}\", nc=00000001, \
         cnonce=\"0a4f113b\", uri=\"{target}\", response=\"{response}\", qop=\"auth\""
    )
}

/// SCSP SEND - Legacy shows the exchange: challenged, signed, let pass.
#[tokio::test]
async fn an_administrator_signs_what_it_is_challenged_with() {
    let (env, hand) = testing::env();
    let here = gate(&env);
    let target = "/97f7149dec6cbc0aa1e9425688158969?alias&admin";
    let try_with = |signed: String| {
        let (env, here) = (env.clone(), Arc::clone(&here));
        async move {
            let line = format!("GET {target}");
            let fields = [("Host", "h"), ("Authorization", signed.as_str())];
            ask_at(&env, &here, &line, &fields).await
        }
    };
    let first = try_with("Digest".to_owned()).await;
    assert_eq!((first.status, challenged(&first, "stale")), (401, "false".to_owned()));
    let nonce = challenged(&first, "nonce");
    assert_eq!((nonce.len(), challenged(&first, "opaque").len()), (32, 32));
    assert_eq!(try_with(signed(&nonce, "secret", "GET", target)).await.status, 200);
    // After a redirect the old arguments are still signed.
    let before = "/97f7149dec6cbc0aa1e9425688158969?alias&admin=yes";
    assert_eq!(try_with(signed(&nonce, "secret", "GET", before)).await.status, 200);
    for (why, wrong) in [
        ("password", signed(&nonce, "Secret", "GET", target)),
        ("verb", signed(&nonce, "secret", "HEAD", target)),
        (
            "object",
            signed(&nonce, "secret", "GET", "/07f7149dec6cbc0aa1e9425688158969?alias&admin"),
        ),
        ("user", signed(&nonce, "secret", "GET", target).replace("\"admin\"", "\"root\"")),
    ] {
        let refused = try_with(wrong).await;
        assert_eq!((refused.status, challenged(&refused, "stale")), (401, "false".into()), "{why}");
    }
    // The right password for the challenge of another node, or for one that is too old: the user is not asked again.
    let foreign = "0c6da76911cbf5cd495afbb0c66e6d9a".to_owned();
    hand.push(Duration::from_secs(299));
    assert_eq!(try_with(signed(&nonce, "secret", "GET", target)).await.status, 200);
    hand.push(Duration::from_secs(2));
    for old in [&nonce, &foreign, &"x".repeat(32), &"1".to_owned()] {
        let refused = try_with(signed(old, "secret", "GET", target)).await;
        assert_eq!((refused.status, challenged(&refused, "stale")), (401, "true".into()), "{old}");
        let fresh = challenged(&refused, "nonce");
        assert_eq!(try_with(signed(&fresh, "secret", "GET", target)).await.status, 200);
    }
}

/// DX Admin Guide: what an administrator writes under override is the administrator's.
#[tokio::test]
async fn an_administrator_owns_what_it_writes() {
    let (status, about) = check("POST /a/b?admin", &[ADMIN]).await;
    assert_eq!(status, 200);
    assert!(about.ends_with("by admin@CAStor administrator"), "{about}");
    let (_, about) = check("POST /a/b", &[ADMIN]).await;
    assert!(about.ends_with("by nobody"), "credentials that nobody asked for: {about}");
}

#[tokio::test]
async fn what_is_not_built_is_refused_by_name() {
    for (line, fields, named) in [
        ("COPY /a/b?newname=c&preserve", vec![], "argument 'newname'"),
        ("COPY /a/b?version=0b7d5c1e9f2a4d38861c3e5f7a90b2c4", vec![], "argument 'version'"),
        ("COPY /a/b?gencontentmd5", vec![], "argument 'gencontentmd5'"),
        ("APPEND /a/b?uploads", vec![], "argument 'uploads'"),
        ("APPEND /a/b?erasurecoded", vec![], "argument 'erasurecoded'"),
        ("APPEND /a/b", vec![("If-None-Match", "*")], "header 'if-none-match'"),
        ("POST /a/b", vec![("If-Match", "*")], "header 'if-match'"),
        ("HOLD /a/b", vec![], "method HOLD"),
        ("RELEASE /a/b", vec![], "method RELEASE"),
        ("GEN /a/b", vec![], "method GEN"),
        ("SEND /a/b?admin&feedid=1&version=1", vec![ADMIN], "argument 'version'"),
        ("HEAD /a/b?countreps=yes", vec![], "argument 'countreps'"),
        ("GET /a/b?CountReps", vec![], "argument 'countreps'"),
        ("GET /a/b?version=0b7d5c1e9f2a4d38861c3e5f7a90b2c4", vec![], "argument 'version'"),
        ("PUT /a/b?newname=c", vec![], "argument 'newname'"),
        ("POST /a/b?uploads", vec![], "argument 'uploads'"),
        ("POST /a/b?uploadid=1&partNumber=2", vec![], "argument 'partnumber'"),
        ("POST /a/b?encoding=5:2", vec![], "argument 'encoding'"),
        ("POST /a/b?erasurecoded", vec![], "argument 'erasurecoded'"),
        ("POST /a/b?hashtype=sha256", vec![], "argument 'hashtype'"),
        ("GET /a/b?hash=12", vec![], "argument 'hash'"),
        ("GET /a/b?newhashtype=md5", vec![], "argument 'newhashtype'"),
        ("PUT /a/b?gencontentmd5", vec![], "argument 'gencontentmd5'"),
        ("PUT /a/b?preserve", vec![], "argument 'preserve'"),
        ("GET /a/b?validate=yes", vec![], "argument 'validate'"),
        ("GET /a?format=json", vec![], "argument 'format'"),
        ("GET /?format=json", vec![], "argument 'format'"),
        ("POST /a?admin&recreatecid=1", vec![ADMIN], "argument 'recreatecid'"),
        ("DELETE /?aliasuuid=1&admin", vec![ADMIN], "argument 'aliasuuid'"),
        ("GET /a/b?cid=1", vec![], "argument 'cid'"),
        ("GET /70ef3152c831c2c80bbce6505dfb7d0a?etag", vec![], "argument 'etag'"),
        ("POST /a/b?decorates=1", vec![], "argument 'decorates'"),
        ("GET /a/b", vec![("If-Match", "*")], "header 'if-match'"),
        ("GET /a/b", vec![("If-None-Match", "*")], "header 'if-none-match'"),
        ("PUT /a/b", vec![("If-None-Match", "*")], "header 'if-none-match'"),
        ("POST /a/b", vec![("If-None-Match", "\"x\"")], "header 'if-none-match'"),
        ("POST /", vec![("If-None-Match", "*")], "header 'if-none-match'"),
        ("HEAD /a/b", vec![("If-Modified-Since", "x")], "header 'if-modified-since'"),
        ("DELETE /a/b", vec![("If-Unmodified-Since", "x")], "header 'if-unmodified-since'"),
        ("GET /a/b", vec![("If-Range", "x")], "header 'if-range'"),
        ("GET /a/b", vec![("Range", "bytes=0-1")], "header 'range'"),
        ("POST /a/b", vec![("Castor-Authorization", "x")], "header 'castor-authorization'"),
        ("POST /", vec![("Allow", "GET")], "header 'Allow' on an unnamed object"),
        ("POST /a/b", vec![("Expect", "Content-MD5")], "expectation 'Content-MD5'"),
        ("POST /70ef3152c831c2c80bbce6505dfb7d0a?admin", vec![ADMIN], "POST to a chosen UUID"),
        ("DELETE /a?recursive=now", vec![], "argument 'recursive=now'"),
    ] {
        let expected = (501, format!("Not implemented: {named}."));
        assert_eq!(check(line, &fields).await, expected, "{line} {fields:?}");
    }
}

/// SCSP Query Arguments: unknown arguments, and known ones that say no or mean nothing on this verb, change nothing.
#[tokio::test]
async fn arguments_without_effect_are_no_reason_to_refuse() {
    for (line, fields) in [
        ("GET /a/b?unheard=of&size=7", vec![]),
        ("GET /a/b?verbose=no&countreps=false", vec![]),
        ("DELETE /a/b?verbose", vec![]),
        ("POST /a/b?validate", vec![]),
        ("POST /a/b", vec![("If-None-Match", "*"), ("Allow", "GET")]),
        ("POST /a/b", vec![("Range", "bytes=0-1")]),
        ("HEAD /a/b", vec![("Range", "bytes=0-1")]),
        ("COPY /a/b?preserve&uploads", vec![("If-Match", "*")]),
        ("APPEND /a/b?replace", vec![("If-Match", "\"x\""), ("Range", "bytes=0-1")]),
    ] {
        assert_eq!(check(line, &fields).await.0, 200, "{line}");
    }
}

/// SCSP WRITE: POST on `/?domain=` makes a domain only if it says so; else an unnamed object in it.
#[tokio::test]
async fn addresses_depend_on_verb_and_content_type() {
    let context = ("Content-Type", "application/castorcontext");
    let about = |line: &'static str, fields: Vec<(&'static str, &'static str)>| async move {
        let (status, about) = check(line, &fields).await;
        (status, about.split(" by ").next().unwrap_or_default().to_owned())
    };
    let ok = |text: &str| (200, text.to_owned());
    assert_eq!(about("POST /", vec![]).await, ok("NewUnnamed"));
    assert_eq!(about("POST /?domain=d.example", vec![]).await, ok("NewUnnamed"));
    assert_eq!(about("POST /?domain=d.example", vec![context, ADMIN]).await, ok("Domain"));
    assert_eq!(about("PUT /?domain=d.example", vec![]).await, ok("Domain"));
    assert_eq!(about("POST /photos", vec![context]).await, ok("Bucket(\"photos\")"));
    assert_eq!(about("GET /", vec![]).await, ok("node status"));
    assert_eq!(about("HEAD /?domain=", vec![]).await, ok("node status"));
    assert_eq!(about("GET /?domain=d.example", vec![]).await, ok("Domain"));
    assert_eq!(about("DELETE /", vec![]).await.0, 400);
    assert_eq!(about("PUT /", vec![]).await.0, 400);
}

/// A request whose service never answers, under a layer that gives it up.
fn stuck(env: &Env) -> BoxFuture<'static, Result<Response, Infallible>> {
    let service = ServiceBuilder::new()
        .layer(DeadlineLayer { env: env.clone(), stuck_after: STUCK_AFTER })
        .service(tower::service_fn(|_: Request| {
            std::future::pending::<Result<Response, Infallible>>()
        }));
    Box::pin(service.oneshot(request("GET /", &[])))
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut cx) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[test]
fn a_stuck_request_is_given_up() {
    let (env, hand): (Env, Hand) = testing::env();
    let mut answer = stuck(&env);
    assert!(poll_once(&mut answer).is_none());
    hand.push(STUCK_AFTER - Duration::from_secs(1));
    assert!(poll_once(&mut answer).is_none());
    hand.push(Duration::from_secs(1));
    let Some(Ok(response)) = poll_once(&mut answer) else { panic!("given up by now") };
    assert_eq!((response.status, response.close), (503, true));
}

#[tokio::test]
async fn beyond_the_limit_requests_are_refused_at_once() {
    let (env, _) = testing::env();
    let service = ServiceBuilder::new()
        .layer(TraceLayer(env.clone()))
        .layer(LimitLayer::new(env.clone(), Arc::new(Semaphore::new(1))))
        .service(tower::service_fn(|request: Request| async move {
            if request.head.target() == "/wait" {
                std::future::pending::<()>().await;
            }
            Ok::<_, Infallible>(Response::new(200, "OK"))
        }));
    let mut waiting = Box::pin(service.clone().oneshot(request("GET /wait", &[])));
    assert!(poll_once(&mut waiting).is_none());
    let Ok(refused) = service.clone().oneshot(request("GET /", &[])).await;
    assert_eq!(refused.status, 503);
    drop(waiting);
    let Ok(served) = service.oneshot(request("GET /", &[])).await;
    assert_eq!(served.status, 200, "a request that was given up frees its place");
}
