//! Lifepoints at the visit: deletes, and numbers of copies that change by date.

use std::time::Duration;

use swarm_types::{ObjectKind, httpdate};

use crate::kit::{DOMAIN, Object, PLAIN, Plan, domain_of, stamp, stream};

const FOUR: &[&str] = &["", "", "", ""];
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn an_ended_object_is_buried_everywhere_at_the_first_visit() {
    Plan::of(FOUR).run(|town| async move {
        let ends = httpdate::format(town.env().wall() + HOUR);
        let dated = format!("[{ends}] reps=2");
        let lifepoints = [dated.as_str(), "[] delete"];
        for nth in 0..5 {
            let ending = Object { lifepoints: &lifepoints, ..PLAIN };
            town.protect(&[1, 2], stream(nth), stamp(5), ending).await;
        }
        town.wait(HOUR - Duration::from_secs(2)).await;
        assert_eq!(town.counted("objects ended by lifepoint"), 0);
        town.wait(Duration::from_secs(602)).await;
        for nth in 0..5 {
            let filed = town.filed(stream(nth));
            assert_eq!(filed.len(), 2);
            assert!(filed.iter().all(|(.., record)| domain_of(record).as_deref() == Some(DOMAIN)));
            assert_eq!(filed[0].2.stamp, filed[1].2.stamp, "the same tombstone on both");
            assert!(filed[0].2.stamp > stamp(5));
        }
    });
}

#[test]
fn contexts_and_protected_objects_do_not_end() {
    Plan::of(FOUR).run(|town| async move {
        let bucket =
            Object { kind: ObjectKind::Bucket, lifepoints: &["[] reps=2", "[] delete"], ..PLAIN };
        town.protect(&[1, 2], stream(1), stamp(5), bucket).await;
        let bucket = Object { kind: ObjectKind::Bucket, lifepoints: &["[] delete"], ..PLAIN };
        town.protect(&[1, 2, 3], stream(2), stamp(5), bucket).await;
        let kept = Object { lifepoints: &["[] delete, deletable=no"], ..PLAIN };
        town.protect(&[1, 2], stream(3), stamp(5), kept).await;
        let unread = Object {
            lifepoints: &["[Mon, 99 Mar 2027 00:00:00 GMT] reps=3", "[] delete"],
            ..PLAIN
        };
        town.protect(&[1, 2], stream(4), stamp(5), unread).await;
        town.rest(HOUR).await;
        assert_eq!(town.counted("objects ended by lifepoint"), 0);
        for (nth, copies) in [(1, 2), (2, 3), (3, 2), (4, 2)] {
            assert_eq!(town.holders(stream(nth), stamp(5)).len(), copies, "{nth}");
        }
    });
}

#[test]
fn copies_come_and_go_when_their_date_comes() {
    Plan::of(FOUR).run(|town| async move {
        let ends = httpdate::format(town.env().wall() + 2 * HOUR);
        let dated = format!("[{ends}] reps=4");
        let lifepoints = [dated.as_str(), "[] reps=3"];
        town.protect(&[1, 2], stream(1), stamp(5), Object { lifepoints: &lifepoints, ..PLAIN })
            .await;
        town.wait(HOUR).await;
        assert_eq!(town.holders(stream(1), stamp(5)).len(), 4);
        town.guard(stream(1), 3);
        town.wait(2 * HOUR).await;
        assert_eq!(town.holders(stream(1), stamp(5)).len(), 3);
    });
}

#[test]
fn what_cannot_be_read_is_complained_about_once_by_each_holder() {
    Plan::of(FOUR).run(|town| async move {
        let unread = Object { lifepoints: &["[Mon, 99 Mar 2027 00:00:00 GMT] reps=3"], ..PLAIN };
        town.protect(&[1, 2], stream(1), stamp(5), unread).await;
        town.wait(HOUR).await;
        assert!(town.counted("visits") > 4);
        assert_eq!(town.counted("lifepoint complaints"), 2);
    });
}

/// Lifepoint Metadata Headers: `reps=k:p` asks for erasure coding. It is kept as p + 1 replicas (our choice), and each
/// holder says so once.
#[test]
fn an_encoding_is_kept_as_replicas_with_one_warning_by_each_holder() {
    Plan::of(FOUR).run(|town| async move {
        let coded = Object { lifepoints: &["[] reps=5:2"], ..PLAIN };
        town.protect(&[1, 2], stream(1), stamp(5), coded).await;
        town.wait(HOUR).await;
        assert_eq!(town.holders(stream(1), stamp(5)).len(), 3);
        assert_eq!(town.counted("lifepoint complaints"), 3);
        town.guard(stream(1), 3);
        town.rest(HOUR).await;
        town.wait(HOUR).await;
        let cycles = town.counted("visits") / 3;
        assert!(cycles >= 12, "each of them has come by often enough to say it again: {cycles}");
        assert_eq!(town.holders(stream(1), stamp(5)).len(), 3);
        assert_eq!(town.counted("lifepoint complaints"), 3);
        for nth in 1..=4 {
            let counters = town.health(nth).status().counters;
            let own = counters.get("lifepoint complaints").copied().unwrap_or(0);
            let holds = town.holders(stream(1), stamp(5)).contains(&nth);
            assert_eq!(own, u64::from(holds), "node {nth}");
        }
    });
}

#[test]
fn an_update_at_the_last_moment_is_not_buried_with_the_old_version() {
    Plan::of(FOUR).run(|town| async move {
        let ended = Object { lifepoints: &["[] delete"], ..PLAIN };
        town.protect(&[1, 2], stream(1), stamp(5), ended).await;
        town.put((3, 0), stream(1), stamp(6), PLAIN).await;
        town.put((4, 0), stream(1), stamp(6), PLAIN).await;
        town.rest(HOUR).await;
        assert_eq!(town.holders(stream(1), stamp(6)), [3, 4]);
    });
}
