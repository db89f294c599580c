//! The sentences of SCSP SEND - Legacy: what a SEND does that names a cluster, and no feeds.

use serde_json::json;

use super::kit::{Pair, SECOND, Sent, told, told_with, told_with_administrator_of_dr};

/// What the body says behind its line ends.
fn returned(sent: &Sent) -> &str {
    assert_eq!(sent.status, 200, "{sent:?}");
    let text = sent.body.trim_start_matches('\n');
    text.strip_prefix("Remote cluster returned: ").unwrap_or_else(|| panic!("{sent:?}"))
}

/// SENDs an unnamed object to a node of `dr`.
async fn send(pair: &Pair, uuid: &str, more: &[(&str, &str)]) -> Sent {
    let target = pair.dr_address();
    let named = [("Castor-System-Cluster", "dr"), ("Castor-System-Target", target.as_str())];
    pair.ask("main", &format!("SEND /{uuid}?admin"), &[&named[..], more].concat()).await
}

/// "SCSP SEND has been expanded to support all feed types and to use the new replication (PUSH) method. For backwards
/// compatibility, the following legacy behavior of SEND is still supported. If a SEND request is missing the new required
/// query arguments, then the behavior described here is in force."
#[test]
fn without_the_new_arguments_the_old_behaviour_is_in_force() {
    told(1, |pair| async move {
        let feed = pair.feed("dr", &json!({ "paused": true })).await;
        let uuid = pair.post("x").await;
        let sent = send(&pair, &uuid, &[]).await;
        assert_eq!((returned(&sent), sent.in_head(), sent.in_trailers()), ("201", vec![], vec![]));
        let new =
            pair.ask("main", &format!("SEND /{uuid}?admin&feedid={feed}&timeout=1"), &[]).await;
        assert_eq!(new.code(feed), 1, "no feed has noted it");
        assert!(!new.body.contains("Remote cluster"), "{new:?}");
        // With them the feed brings it, by its own method.
        let pushing = pair.feed("push", &json!({})).await;
        let uuid = pair.post("y").await;
        let new = pair.ask("main", &format!("SEND /{uuid}?admin&feedid={pushing}"), &[]).await;
        assert_eq!(new.code(pushing), 0, "{new:?}");
        assert!(!new.body.contains("Remote cluster"), "{new:?}");
        assert_eq!(pair.unnamed_at_dr(&uuid).await.as_deref(), Some("y"));
    });
}

/// "The SCSP SEND method applies to both named and unnamed objects."
#[test]
fn named_and_unnamed_objects() {
    told(2, |pair| async move {
        // Its domain and its bucket go before it.
        pair.write("x", "named").await;
        let target = pair.dr_address();
        let headers = [("Castor-System-Cluster", "dr"), ("Castor-System-Target", target.as_str())];
        let sent = pair.ask("main", "SEND /scans/x?domain=acme.example&admin", &headers).await;
        assert_eq!(returned(&sent), "201");
        assert_eq!(pair.at_dr("x").await.as_deref(), Some("named"));
        let uuid = pair.post("unnamed").await;
        assert_eq!(returned(&send(&pair, &uuid, &[]).await), "201");
        assert_eq!(pair.unnamed_at_dr(&uuid).await.as_deref(), Some("unnamed"));
    });
}

/// "The SEND request allows explicit transmission of a single object from a source cluster to a remote one, such as for
/// keeping two clusters immediately synchronized."
#[test]
fn a_single_object_is_transmitted() {
    told(3, |pair| async move {
        let (one, other) = (pair.post("one").await, pair.post("other").await);
        assert_eq!(returned(&send(&pair, &one, &[]).await), "201");
        assert_eq!(pair.unnamed_at_dr(&one).await.as_deref(), Some("one"));
        assert_eq!(pair.unnamed_at_dr(&other).await, None);
    });
}

/// "This feature is best used with a replication feed, which acts as a catch-up mechanism if the intracluster network is down
/// or the SEND command should fail."
#[test]
fn a_feed_catches_up() {
    told(4, |pair| async move {
        pair.feed("dr", &json!({})).await;
        let cut = pair.cut().await;
        let uuid = pair.post("x").await;
        assert_eq!(returned(&send(&pair, &uuid, &[]).await), "503");
        pair.heal(cut).await;
        pair.wait(300 * SECOND).await;
        assert_eq!(pair.unnamed_at_dr(&uuid).await.as_deref(), Some("x"));
    });
}

/// "SEND can only be used by an admin user."
#[test]
fn only_by_an_admin_user() {
    told(5, |pair| async move {
        let uuid = pair.post("x").await;
        let target = pair.dr_address();
        let headers = [("Castor-System-Cluster", "dr"), ("Castor-System-Target", target.as_str())];
        let line = format!("SEND /{uuid}?admin");
        assert_eq!(pair.ask_as("nobody", "main", &line, &headers).await.status, 401);
        assert_eq!(pair.ask("main", &format!("SEND /{uuid}"), &headers).await.status, 401);
        assert_eq!(pair.unnamed_at_dr(&uuid).await, None);
        assert_eq!(returned(&pair.ask("main", &line, &headers).await), "201");
    });
}

/// "With a SEND request, Swarm performs the appropriate GET/retrieve in the destination cluster to verify whether the object
/// already exists there." and "The most common response codes are these:" "201 - the object has been transferred successfully",
/// "409 - the object already exists in the destination cluster"
#[test]
fn what_exists_there_is_409() {
    told(6, |pair| async move {
        let uuid = pair.post("x").await;
        assert_eq!(returned(&send(&pair, &uuid, &[]).await), "201");
        assert_eq!(returned(&send(&pair, &uuid, &[]).await), "409");
        assert_eq!(pair.unnamed_at_dr(&uuid).await.as_deref(), Some("x"));
    });
}

/// "You issue SEND directly on a Swarm node in the source cluster, to transfer a single object to a destination cluster."
#[test]
fn any_node_of_the_source_takes_it() {
    told(7, |pair| async move {
        let target = pair.dr_address();
        let headers = [("Castor-System-Cluster", "dr"), ("Castor-System-Target", target.as_str())];
        for node in 1..=2 {
            let uuid = pair.post("x").await;
            let line = format!("SEND /{uuid}?admin");
            assert_eq!(returned(&pair.ask_node("main", node, &line, &headers).await), "201");
        }
    });
}

/// "Do not send the request to a Gateway or other proxy." Through one that reads answers to their end the object arrives, but
/// nothing is heard meanwhile that would keep the connection open.
#[test]
fn through_a_proxy_nothing_keeps_the_connection_open() {
    told_with(13, &[("scsp.keepAliveInterval", "3")], |pair| async move {
        let proxy = pair.proxy_of("main", &[1]).await;
        let target = pair.dr_address();
        let headers = [("Castor-System-Cluster", "dr"), ("Castor-System-Target", target.as_str())];
        let uuid = pair.post("x").await;
        let line = format!("SEND /{uuid}?admin");
        let through = pair.ask_proxy(&proxy, &line, &headers).await;
        assert_eq!(returned(&through), "201");
        assert_eq!(through.header("transfer-encoding"), None, "it is another answer");
        assert_eq!(pair.unnamed_at_dr(&uuid).await.as_deref(), Some("x"));
        let cut = pair.cut().await;
        let line = format!("SEND /{}?admin", pair.post("y").await);
        let direct = pair.ask("main", &line, &headers).await;
        assert!(direct.head_after < SECOND && direct.took > 3 * SECOND, "{direct:?}");
        let through = pair.ask_proxy(&proxy, &line, &headers).await;
        assert!(through.head_after > 3 * SECOND, "nothing until the end: {through:?}");
        assert_eq!((returned(&direct), returned(&through)), ("503", "503"));
        pair.heal(cut).await;
    });
}

/// "You use the following headers with SEND requests:" "Castor-System-Cluster — required — The value of the cluster.name setting
/// of the destination cluster." and "Castor-System-Target — required"
#[test]
fn cluster_and_target_are_required() {
    told(8, |pair| async move {
        let uuid = pair.post("x").await;
        let (line, target) = (format!("SEND /{uuid}?admin"), pair.dr_address());
        let (cluster, target) =
            (("Castor-System-Cluster", "dr"), ("Castor-System-Target", target.as_str()));
        assert_eq!(pair.ask("main", &line, &[cluster]).await.status, 400);
        assert_eq!(pair.ask("main", &line, &[target]).await.status, 400);
        let wrong = pair.ask("main", &line, &[("Castor-System-Cluster", "west"), target]).await;
        assert_eq!(returned(&wrong), "412", "another cluster");
        assert_eq!(pair.unnamed_at_dr(&uuid).await, None);
    });
}

/// "The IP:port of a node or reverse proxy of the destination cluster."
#[test]
fn the_target_may_be_a_reverse_proxy() {
    told(12, |pair| async move {
        let proxy = pair.proxy_of_dr().await;
        let target = proxy.at.to_string();
        let headers = [("Castor-System-Cluster", "dr"), ("Castor-System-Target", target.as_str())];
        let uuid = pair.post("x").await;
        for code in ["201", "409"] {
            let sent = pair.ask("main", &format!("SEND /{uuid}?admin"), &headers).await;
            assert_eq!(returned(&sent), code);
        }
        assert!(proxy.passed() >= 2, "{} requests", proxy.passed());
        assert_eq!(pair.unnamed_at_dr(&uuid).await.as_deref(), Some("x"));
    });
}

/// "The IP:port of a node or reverse proxy of the destination cluster." The node that a proxy turns to may have no room, and name
/// another, which only the proxy reaches under that port.
#[test]
fn a_reverse_proxy_leads_past_a_node_without_room() {
    told(14, |pair| async move {
        let proxy = pair.proxy_of("dr", &[1, 2]).await;
        pair.fill_dr(1).await;
        let target = proxy.at.to_string();
        let headers = [("Castor-System-Cluster", "dr"), ("Castor-System-Target", target.as_str())];
        let uuid = pair.post("x").await;
        let sent = pair.ask("main", &format!("SEND /{uuid}?admin"), &headers).await;
        assert_eq!(returned(&sent), "201");
        assert_eq!(pair.unnamed_at_dr(&uuid).await.as_deref(), Some("x"));
        assert_eq!(proxy.turned(), 1, "the full node has named the other");
    });
}

/// The same for a feed whose host is a proxy: where a node redirects, it is the proxy that follows.
#[test]
fn a_reverse_proxy_follows_the_redirects_of_the_target() {
    told(15, |pair| async move {
        let proxy = pair.proxy_of_dr().await;
        pair.fill_dr(1).await;
        let at = json!({ "hosts": [proxy.at.ip().to_string()], "port": proxy.at.port() });
        let feed = pair.feed("by way of a proxy", &at).await;
        let uuid = pair.post("x").await;
        let sent = pair.ask("main", &format!("SEND /{uuid}?admin&feedid={feed}"), &[]).await;
        assert_eq!((sent.status, sent.code(feed)), (200, 0), "{sent:?}");
        assert!(proxy.followed() > 0, "of {} requests", proxy.passed());
        assert_eq!(pair.unnamed_at_dr(&uuid).await.as_deref(), Some("x"));
    });
}

/// Replication Feeds: the target may be a reverse proxy, and a feed may have credentials of its own. What the target asks for and
/// what the feed signs pass the proxy as they are, in both modes; wrong ones are refused.
#[test]
fn credentials_of_a_feed_pass_a_reverse_proxy() {
    // The proxy itself is the administrator where it follows.
    let administrators = "{'admin': 'ourpwdofchoicehere', 'keeper': 'of the other site'}";
    for (seed, mode) in [(16, "post"), (17, "get")] {
        told_with_administrator_of_dr(seed, administrators, move |pair| async move {
            let proxy = pair.proxy_of_dr().await;
            let by_way_of = json!({
                "hosts": [proxy.at.ip().to_string()],
                "port": proxy.at.port(),
                "mode": mode,
                "remoteAuth": { "user": "keeper", "password": "wrong" },
            });
            let feed = pair.feed("by way of a proxy", &by_way_of).await;
            let uuid = pair.post("x").await;
            let line = format!("SEND /{uuid}?admin&feedid={feed}&timeout=20");
            assert_eq!(pair.ask("main", &line, &[]).await.code(feed), 401, "{mode}");
            assert_eq!(pair.unnamed_at_dr(&uuid).await, None, "{mode}");
            let right = r#"{"remoteAuth": {"user": "keeper", "password": "of the other site"}}"#;
            pair.change(feed, right).await;
            let before = proxy.passed();
            let uuid = pair.post("y").await;
            let line = format!("SEND /{uuid}?admin&feedid={feed}&timeout=20");
            assert_eq!(pair.ask("main", &line, &[]).await.code(feed), 0, "{mode}");
            assert_eq!(pair.unnamed_at_dr(&uuid).await.as_deref(), Some("y"), "{mode}");
            assert!(proxy.passed() > before, "{mode}");
        });
    }
}

/// "Castor-System-Auth — optional — The username:password for an administrative account on the remote cluster, only if it
/// differs from the source cluster."
#[test]
fn the_sources_own_credentials_are_used_where_none_are_given() {
    told(9, |pair| async move {
        let uuid = pair.post("x").await;
        let wrong = [("Castor-System-Auth", "admin:wrong")];
        assert_eq!(returned(&send(&pair, &uuid, &wrong).await), "401");
        assert_eq!(returned(&send(&pair, &uuid, &[]).await), "201");
    });
    told_with_administrator_of_dr(9, "{'keeper': 'of the other site'}", |pair| async move {
        let uuid = pair.post("x").await;
        assert_eq!(returned(&send(&pair, &uuid, &[]).await), "401", "nobody knows `admin` there");
        assert_eq!(pair.unnamed_at_dr(&uuid).await, None);
        let its_own = [("Castor-System-Auth", "keeper:of the other site")];
        assert_eq!(returned(&send(&pair, &uuid, &its_own).await), "201");
        assert_eq!(pair.unnamed_at_dr(&uuid).await.as_deref(), Some("x"));
    });
}

/// "The request returns information about that request in the body of the response. SEND behaves like a HEAD request, with
/// the headers of the response resembling that of a HEAD request."
#[test]
fn the_headers_resemble_those_of_a_head() {
    told(10, |pair| async move {
        let uuid = pair.post("x").await;
        let sent = send(&pair, &uuid, &[]).await;
        let head = pair.ask("main", &format!("HEAD /{uuid}"), &[]).await;
        for name in [
            "castor-system-cluster",
            "castor-system-created",
            "castor-system-version",
            "last-modified",
            "etag",
            "server",
        ] {
            assert!(head.header(name).is_some(), "{name} in {head:?}");
            assert_eq!(sent.header(name), head.header(name), "{name}");
        }
        assert_eq!(returned(&sent), "201", "the information is in the body");
    });
}

/// "The SEND response is chunked transfer encoded, so the client of the SEND request must be prepared for chunked transfer
/// encoding. The response body may contain additional leading newlines sent incrementally, which keeps the connection open in
/// long requests."
#[test]
fn it_is_chunked_and_newlines_keep_it_open() {
    told_with(11, &[("scsp.keepAliveInterval", "3")], |pair| async move {
        let uuid = pair.post("x").await;
        let cut = pair.cut().await;
        let sent = send(&pair, &uuid, &[]).await;
        assert_eq!(sent.header("transfer-encoding"), Some("chunked"));
        assert!(sent.took > 3 * SECOND, "nobody answers: {:?}", sent.took);
        assert!(sent.body.starts_with('\n'), "{sent:?}");
        assert_eq!(returned(&sent), "503");
        pair.heal(cut).await;
    });
}
