//! Redirects: any node takes any request and may send the client on (HTTP Response Codes; Normal Responses to WRITE).

use crate::talk::{Heard, Wire, request, told};

/// Asks for a name that every node is asked for in turn, until one of them redirects.
async fn redirected(wire: &Wire, nodes: u32, line: &str, headers: &[&str]) -> Heard {
    for node in 1..=nodes {
        let heard = wire.once(node, line, headers, "").await;
        if heard.status == 307 {
            return heard;
        }
    }
    panic!("nobody redirects {line}");
}

/// Writes under new names until a node redirects: the target, and the answer.
async fn redirected_write(wire: &Wire, query: &str, headers: &[&str]) -> (String, Heard) {
    for number in 0..50 {
        let target = format!("/scans/a%20b/{number}{query}");
        let heard = wire.once(1, &format!("POST {target}"), headers, "meow").await;
        if heard.status == 307 {
            return (target, heard);
        }
    }
    panic!("nobody redirects");
}

fn token(location: &str) -> &str {
    let (_, token) = location.rsplit_once("&auth=").expect("a token, behind other arguments");
    assert_eq!(token.len(), 32, "{location}");
    let legal = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    assert!(token.bytes().all(legal), "{location}");
    token
}

/// Normal Responses to WRITE: 307 to an absolute URI, all arguments and a token, no body.
#[test]
fn a_location_repeats_path_and_arguments_and_adds_a_token() {
    told(4, |wire| async move {
        wire.make_bucket().await;
        let query = "?domain=acme.example&unheard=of%20it&Alias=no";
        let (target, heard) = redirected_write(&wire, query, &[]).await;
        assert_eq!(heard.line, "307 Temporary Redirect");
        assert!(heard.body.is_empty() && heard.field("content-type").is_none(), "{heard:?}");
        let (node, led) = wire.led(&heard);
        assert_ne!(node, 1);
        let token = token(heard.must("location"));
        assert_eq!(led, format!("{target}&auth={token}"));
    });
}

/// Versioning Examples: a domain that came from `Host` is in the Location, because clients rewrite `Host`.
#[test]
fn a_location_names_the_domain_that_host_named() {
    told(4, |wire| async move {
        wire.make_bucket().await;
        let (target, heard) = redirected_write(&wire, "", &["Host: Acme.Example:80"]).await;
        let (node, led) = wire.led(&heard);
        let token = token(heard.must("location"));
        assert_eq!(led, format!("{target}?domain=acme.example&auth={token}"));
        let host = format!("Host: {}", wire.address(node));
        let stored = wire.once(node, &format!("POST {led}"), &[&host], "meow").await;
        assert_eq!(stored.status, 201, "{stored:?}");
        let read = wire.ask(1, &format!("GET {target}"), &["Host: acme.example"], "").await;
        assert_eq!(read.text(), "meow");
    });
}

/// Normal Responses to WRITE: the node that issued the token takes the request; the body is sent again.
#[test]
fn a_followed_post_is_stored_at_the_next_node() {
    told(4, |wire| async move {
        wire.make_bucket().await;
        for _ in 0..5 {
            let (target, heard) = redirected_write(&wire, "?domain=acme.example", &[]).await;
            let (node, led) = wire.led(&heard);
            let stored = wire.once(node, &format!("POST {led}"), &[], "meow").await;
            assert_eq!(stored.status, 201, "no second hop: {stored:?}");
            assert!(
                stored.all("location").iter().all(|location| !location.contains("auth")),
                "{stored:?}"
            );
            let at = format!("http://{}", wire.address(node));
            assert!(stored.all("location")[0].starts_with(&at), "itself first: {stored:?}");
            let read = wire.ask(1, &format!("GET {target}"), &[], "").await;
            assert_eq!(read.text(), "meow");
            assert_eq!(wire.ask(1, &format!("DELETE {target}"), &[], "").await.status, 200);
        }
    });
}

/// Normal Responses to READ and DELETE: a node without the object sends the client to one that has it.
#[test]
fn reads_updates_and_deletes_are_redirected_too() {
    told(5, |wire| async move {
        wire.make_bucket().await;
        let target = "/scans/x?domain=acme.example";
        assert_eq!(wire.ask(1, &format!("POST {target}"), &[], "one").await.status, 201);
        for verb in ["GET", "HEAD", "DELETE"] {
            let line = format!("{verb} {target}");
            let heard = redirected(&wire, 5, &line, &[]).await;
            let (node, led) = wire.led(&heard);
            assert_eq!(led, format!("{target}&auth={}", token(heard.must("location"))));
            let heard = wire.once(node, &format!("{verb} {led}"), &[], "").await;
            assert_eq!(heard.status, 200, "{verb}: {heard:?}");
        }
        wire.assert_nothing_at(5, target).await;
    });
}

/// Our choice: a token is opaque, and one that is none of ours means no more than none at all.
#[test]
fn a_foreign_token_does_no_harm() {
    told(4, |wire| async move {
        wire.make_bucket().await;
        for (number, auth) in
            ["1", "", "zzz", "00000000000000000000000000000000"].iter().enumerate()
        {
            let target = format!("/scans/{number}?auth={auth}&domain=acme.example");
            let stored = wire.ask(2, &format!("POST {target}"), &[], "x").await;
            assert_eq!(stored.status, 201, "{auth}: {stored:?}");
            assert_eq!(wire.ask(3, &format!("GET {target}"), &[], "").await.text(), "x");
        }
        let heard = {
            let query = "?auth=00000000000000000000000000000000&domain=acme.example";
            redirected_write(&wire, query, &[]).await.1
        };
        let location = heard.must("location");
        assert_eq!(location.matches("auth=").count(), 1, "{location}");
        assert_ne!(token(location), "0".repeat(32));
    });
}

/// SDK client.py: a kept connection is used again after a redirect, without `Expect`.
#[test]
fn a_redirected_client_goes_on_with_its_connections() {
    told(4, |wire| async move {
        wire.make_bucket().await;
        let mut kept = Vec::new();
        for node in 1..=4 {
            kept.push(wire.dial(node).await);
        }
        let mut hops = 0;
        for number in 0..10 {
            let (mut node, mut target) = (1, format!("/scans/{number}?domain=acme.example"));
            loop {
                let talk = &mut kept[node as usize - 1];
                talk.say(request(&format!("POST {target}"), &[], vec![b'z'; 50_000])).await;
                let heard = talk.hear("POST ").await;
                assert!(!heard.closes(), "{heard:?}");
                if heard.status == 201 {
                    break;
                }
                assert_eq!(heard.status, 307, "{heard:?}");
                (node, target) = wire.led(&heard);
                hops += 1;
            }
        }
        assert!(hops > 0);
    });
}
