//! Replicate on Write: how many replicas exist when a write is answered (WRITE with Replicate ROW).

use swarm_cluster::Action;

use crate::talk::{Heard, told, told_with};

fn replicas(written: &Heard) -> usize {
    assert_eq!(written.status, 201, "{written:?}");
    let groups = written.all("location").len();
    assert_eq!(written.all("volume").len(), groups);
    let count = written.field("replica-count").map(|count| count.parse().expect("a number"));
    assert_eq!(count, (groups > 1).then_some(groups), "told only where there is more than one");
    groups
}

/// WRITE with Replicate ROW: a number, `immediate` for two, `full` for what the policy asks for; never more.
#[test]
fn replicate_says_how_many_replicas_are_made() {
    told_with(5, &[("policy.replicas", "min:2 max:5 default:3")], |wire| async move {
        wire.make_bucket().await;
        for (query, lifepoint, copies) in [
            ("", "", 2),
            ("&replicate=1", "", 1),
            ("&replicate=2", "", 2),
            ("&replicate=3", "", 3),
            ("&replicate=immediate", "", 2),
            ("&Replicate=IMMEDIATE", "", 2),
            ("&replicate=full", "", 3),
            ("&replicate=5", "", 3),
            ("&replicate=full", "[] reps=4", 4),
            ("&replicate=4", "[] reps=4", 4),
            ("&replicate=full", "[] reps=2", 2),
        ] {
            let lifepoint = format!("Lifepoint: {lifepoint}");
            let headers = if lifepoint.ends_with(' ') { vec![] } else { vec![&*lifepoint] };
            for verb in ["POST", "PUT"] {
                let line = format!("{verb} /scans/x?domain=acme.example{query}");
                let written = wire.ask(1, &line, &headers, "x").await;
                assert_eq!(replicas(&written), copies, "{verb} {query} {lifepoint}");
            }
        }
    });
}

/// Our choice: a value that is none of these is refused and nothing stored.
#[test]
fn a_senseless_number_of_replicas_is_400() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        for value in ["0", "-1", "many", "1.5", "+2", ""] {
            let line = format!("POST /scans/x?domain=acme.example&replicate={value}");
            let refused = wire.ask(1, &line, &[], "x").await;
            assert_eq!(refused.error(), (400, "InvalidQueryArgument"), "{value}");
        }
        wire.assert_nothing_at(2, "/scans/x?domain=acme.example").await;
    });
}

/// Configuring ROW Replicate On Write: `scsp.defaultROWAction` counts where the request says nothing;
/// `scsp.replicateOnWrite` switches it off.
#[test]
fn the_settings_say_what_a_plain_write_does() {
    for (settings, copies) in [
        (vec![("scsp.defaultROWAction", "3"), ("policy.replicas", "min:2 max:5 default:3")], 3),
        (vec![("scsp.defaultROWAction", "full"), ("policy.replicas", "min:2 max:5 default:4")], 4),
        (vec![("scsp.replicateOnWrite", "False")], 1),
    ] {
        told_with(4, &settings, move |wire| async move {
            wire.make_bucket().await;
            let line = "POST /scans/x?domain=acme.example";
            assert_eq!(replicas(&wire.ask(1, line, &[], "x").await), copies);
            let line = format!("{line}&replicate=immediate");
            assert_eq!(replicas(&wire.ask(1, &line, &[], "x").await), 2, "the argument wins");
        });
    }
}

/// WRITE with Replicate ROW: with fewer than two nodes a write is refused up front and nothing is written.
#[test]
fn a_write_that_finds_one_node_only_is_412() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        wire.apply(Action::Kill(wire.node(2))).await;
        wire.env().sleep(std::time::Duration::from_secs(1)).await;
        for target in ["/scans/x?domain=acme.example", "/", "/?alias", "/new?domain=acme.example"] {
            for expect in [&[][..], &["Expect: 100-continue"]] {
                let refused = wire.ask(1, &format!("POST {target}"), expect, "x").await;
                assert_eq!(refused.error(), (412, "ReplicateTargets"), "{target}");
            }
        }
        wire.assert_nothing_at(1, "/scans/x?domain=acme.example").await;
        let line = "POST /scans/x?domain=acme.example&replicate=1";
        assert_eq!(replicas(&wire.ask(1, line, &[], "x").await), 1, "one was asked for");
        let read = wire.ask(1, "GET /scans/x?domain=acme.example", &[], "").await;
        assert_eq!((read.text().as_str(), read.field("volume-hint")), ("x", None));
    });
}

/// WRITE with Replicate ROW: two nodes are enough for a write that asks for three.
#[test]
fn a_write_that_finds_two_nodes_proceeds_with_two() {
    told_with(3, &[("policy.replicas", "min:2 max:5 default:3")], |wire| async move {
        wire.make_bucket().await;
        wire.apply(Action::Kill(wire.node(3))).await;
        wire.env().sleep(std::time::Duration::from_secs(1)).await;
        let line = "POST /scans/x?domain=acme.example&replicate=full";
        assert_eq!(replicas(&wire.ask(1, line, &[], "x").await), 2);
    });
}

/// WRITE with Replicate ROW: what was answered is on as many nodes as it says.
#[test]
fn every_replica_that_was_told_of_can_serve() {
    told_with(3, &[("policy.replicas", "min:2 max:5 default:3")], |wire| async move {
        // Nothing can be found whose domain and bucket nobody knows any more.
        wire.make_bucket_on(3).await;
        let line = "POST /scans/x?domain=acme.example&replicate=3";
        assert_eq!(replicas(&wire.ask(1, line, &[], "meow").await), 3);
        wire.apply(Action::Kill(wire.node(1))).await;
        wire.apply(Action::Kill(wire.node(2))).await;
        let read = wire.ask(3, "GET /scans/x?domain=acme.example", &[], "").await;
        assert_eq!((read.status, read.text().as_str()), (200, "meow"), "{read:?}");
    });
}

/// Error Response Headers: a body that no volume has room for is 507 before any of it is sent.
#[test]
fn a_write_without_room_is_507() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let line = "POST /scans/x?domain=acme.example";
        for expect in [&[][..], &["Expect: 100-continue"]] {
            let headers = [&["Content-Length: 1073741824"], expect].concat();
            let refused = wire.once(1, line, &headers, "").await;
            assert_eq!(refused.error(), (507, "ClusterOutOfSpace3"));
            assert_eq!(refused.why(), "Not enough space in cluster.");
        }
        wire.assert_nothing_at(2, "/scans/x?domain=acme.example").await;
        assert_eq!(replicas(&wire.ask(1, line, &[], "x").await), 2, "a short one has room");
    });
}
