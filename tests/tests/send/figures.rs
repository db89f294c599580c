//! How long a SEND takes.

use std::time::Duration;

use serde_json::json;

use super::kit::told_over;

/// One way between the clusters.
const WAN: Duration = Duration::from_millis(50);

/// What the nodes of a cluster take among themselves, and their disks.
const HERE: Duration = Duration::from_millis(25);

/// Over connections that are open and signed on, a new object of 4 KiB takes at most a question, a redirect and the body.
#[test]
fn a_send_takes_three_round_trips() {
    told_over(1, WAN, 1_000_000_000, |pair| async move {
        let feed = pair.feed("dr", &json!({})).await;
        let body = "x".repeat(4096);
        for nth in 0..12 {
            let name = format!("x{nth}");
            pair.write(&name, &body).await;
            let sent = pair.send(&name, &format!("feedid={feed}")).await;
            assert_eq!(sent.code(feed), 0, "{sent:?}");
            // The first ones open the connections.
            assert!(nth < 6 || sent.took <= 6 * WAN + HERE, "{nth}: {:?}", sent.took);
        }
    });
}
