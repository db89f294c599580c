//! Metrics: what operations and clusters measure, and how it compares.

use std::sync::Arc;
use std::time::Duration;

use swarm_types::Instant;

use super::drive::FeedResult;
use super::look::Verdict;
use super::operate::Ended;
use super::{Run, carried, lock, watch, workload};
use crate::language::model::{
    ClusterMetric, Comparison, Feed, FeedMetric, Metric, Percentile, Subject, WorkloadMetric,
};

/// A percentile over fewer operations says nothing, so it fails.
const PERCENTILE_OF_MIN: usize = 20;

/// Stands for the value of what has not come.
pub(crate) const NOT_YET: u64 = u64::MAX;

/// Compares a metric as it is now; operations are those of the whole run until now.
pub(crate) async fn now(run: &Arc<Run>, metric: &Metric, is: Comparison, value: u64) -> Verdict {
    match metric {
        Metric::Workload(of, of_workload) => {
            over_operations(run, metric, of, *of_workload, is, value, None)
        }
        Metric::Cluster(cluster, of_cluster_) => {
            let seen = of_cluster(run, cluster, *of_cluster_).await?;
            compare(metric, is, value, seen, "now")
        }
        Metric::Feed(feed, of_feed_) => {
            carried::look(run);
            let seen = of_feed(run, feed, *of_feed_, None)?;
            compare(metric, is, value, seen, "now")
        }
        Metric::Bytes(link) => compare(metric, is, value, bytes(run, link)?, "now"),
    }
}

/// The value of a metric that has one at every moment.
///
/// # Errors
/// Why it cannot be told.
pub(crate) async fn gauge(run: &Arc<Run>, metric: &Metric) -> Result<u64, String> {
    match metric {
        Metric::Workload(..) => Err("no such metric".to_owned()),
        Metric::Cluster(cluster, metric) => of_cluster(run, cluster, *metric).await,
        Metric::Feed(feed, metric) => {
            carried::look(run);
            of_feed(run, feed, *metric, None)
        }
        Metric::Bytes(link) => bytes(run, link),
    }
}

/// Bytes that the clusters at the ends of a link have sent each other.
fn bytes(run: &Run, link: &str) -> Result<u64, String> {
    let (one, other) = &run.scenario.links[link].between;
    let both = run.world.carried(one, other).zip(run.world.carried(other, one));
    both.map(|(there, back)| there + back).ok_or_else(|| "nobody counts them here".to_owned())
}

/// What a feed has carried of what was acknowledged in a window; [`NOT_YET`] where that has not come.
///
/// # Errors
/// Why it says nothing.
pub(crate) fn of_feed(
    run: &Run,
    feed: &str,
    metric: FeedMetric,
    bounds: Option<(Duration, Duration)>,
) -> Result<u64, String> {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(NOT_YET);
    let last_fault = last_fault(run);
    let carried = lock(&run.carried);
    match metric {
        FeedMetric::Backlog => Ok(carried.backlog(feed) as u64),
        FeedMetric::OldestPending => {
            Ok(carried.oldest(feed).map_or(0, |oldest| nanoseconds(run.now().since(oldest))))
        }
        FeedMetric::DrainTime => {
            let drained = carried.drained_after(feed, last_fault);
            Ok(drained.map_or(NOT_YET, nanoseconds))
        }
        FeedMetric::Rpo(percentile) => {
            let inside = |at| {
                let at = run.since_start(at);
                bounds.is_none_or(|(from, to)| from <= at && at < to)
            };
            let delays = carried.delays(feed, inside);
            if delays.len() < PERCENTILE_OF_MIN {
                return Err(format!(
                    "only {} acknowledged changes: too few for a percentile",
                    delays.len()
                ));
            }
            Ok(delays.point(percentile).map_or(NOT_YET, nanoseconds))
        }
    }
}

/// When the last fault ended; the start, if there was none.
fn last_fault(run: &Run) -> Instant {
    let ends = lock(&run.steps).faults.lines.iter().filter_map(|line| line.until).max();
    run.started() + ends.unwrap_or_default()
}

/// What all feeds of a run carried.
pub(crate) fn of_feeds(run: &Run) -> Vec<FeedResult> {
    let last_fault = last_fault(run);
    let carried = lock(&run.carried);
    let of = |feed: &Feed| {
        let to = feed.to.as_ref()?;
        let delays = carried.delays(&feed.name, |at| at >= run.started());
        let rpo = [Percentile::P50, Percentile::P99, Percentile::Max];
        Some(FeedResult {
            name: feed.name.clone(),
            changes: delays.len(),
            rpo: rpo.map(|percentile| delays.point(percentile)),
            drain: carried.drained_after(&feed.name, last_fault),
            bytes: run.world.carried(&feed.from, to),
        })
    };
    run.scenario.feeds.iter().filter_map(of).collect()
}

/// Compares a metric over the operations that became due in a window.
pub(crate) fn of_window(
    run: &Run,
    subject: &Subject,
    bounds: Option<(Duration, Duration)>,
) -> Verdict {
    let Subject::Metric { metric, is, value } = subject else {
        return Err("no metric".to_owned());
    };
    let Metric::Workload(of, of_workload) = metric else {
        return Err("no metric of operations".to_owned());
    };
    over_operations(run, metric, of, *of_workload, *is, *value, bounds)
}

/// What a cluster measures now.
///
/// # Errors
/// Why it cannot be told.
pub(crate) async fn of_cluster(
    run: &Arc<Run>,
    cluster: &str,
    metric: ClusterMetric,
) -> Result<u64, String> {
    match metric {
        ClusterMetric::UsedSpace => {
            let mut used = 0;
            for node in run.world.nodes(cluster) {
                // What a node holds that is off, nobody can tell; it counts again when it is back.
                let Ok(status) = watch::status(run, &node).await else { continue };
                used += status.volumes.iter().map(|volume| volume.used).sum::<u64>();
            }
            Ok(used)
        }
        ClusterMetric::RecoveryTime => recovery(run, cluster, None),
        ClusterMetric::CopiesMoved => {
            for node in run.world.nodes(cluster) {
                // The tally hears what is told; what a node that is off told last counts.
                drop(watch::status(run, &node).await);
            }
            Ok(lock(&run.tally).copies(Some(cluster)))
        }
    }
}

/// The longest recovery of the volumes that were lost in a window, in nanoseconds; [`NOT_YET`] while one is under way.
///
/// # Errors
/// Nothing was lost.
pub(crate) fn recovery(
    run: &Run,
    cluster: &str,
    bounds: Option<(Duration, Duration)>,
) -> Result<u64, String> {
    let inside = |at| {
        let at = run.since_start(at);
        // A step that does it and nothing else ends when it begins.
        bounds.is_none_or(|(from, to)| from <= at && at <= to)
    };
    let Some(recovery) = lock(&run.tally).recovery(Some(cluster), inside) else {
        return Err("no volume was lost".to_owned());
    };
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(NOT_YET);
    Ok(recovery.longest.map_or(NOT_YET, nanoseconds))
}

/// The verdict on one value.
pub(crate) fn compare(
    metric: &Metric,
    is: Comparison,
    value: u64,
    seen: u64,
    when: &str,
) -> Verdict {
    if seen == NOT_YET {
        // It is no length of time, so that it compares with none.
        let what = match metric {
            Metric::Feed(..) => "not all has arrived",
            _ => "not fully protected yet",
        };
        return Err(what.to_owned());
    }
    let detail = format!("{} {when}", metric.shown(seen));
    if is.holds(seen, value) { Ok(detail) } else { Err(detail) }
}

fn over_operations(
    run: &Run,
    metric: &Metric,
    of: &str,
    of_workload: WorkloadMetric,
    is: Comparison,
    value: u64,
    bounds: Option<(Duration, Duration)>,
) -> Verdict {
    let counted = match of_workload {
        WorkloadMetric::Latency(counted, _)
        | WorkloadMetric::FailedShare(counted)
        | WorkloadMetric::AcknowledgedCount(counted) => counted,
    };
    let records = lock(&run.workloads[of].records);
    let inside = |due: Duration| bounds.is_none_or(|(from, to)| from <= due && due < to);
    let chosen: Vec<&workload::Record> =
        records.iter().filter(|record| inside(record.due) && record.counts_as(counted)).collect();
    let measured = match of_workload {
        WorkloadMetric::AcknowledgedCount(_) => {
            chosen.iter().filter(|record| record.ended == Ended::Acknowledged).count() as u64
        }
        WorkloadMetric::FailedShare(_) if chosen.is_empty() => {
            return Err(format!("no {} at all", counted.word()));
        }
        WorkloadMetric::FailedShare(_) => {
            let failed = chosen.iter().filter(|record| record.ended.is_failure()).count() as u64;
            failed * 1_000_000 / chosen.len() as u64
        }
        WorkloadMetric::Latency(_, percentile) => {
            let mut latencies: Vec<u64> = chosen
                .iter()
                .map(|record| u64::try_from(record.latency.as_nanos()).unwrap_or(u64::MAX))
                .collect();
            if latencies.len() < PERCENTILE_OF_MIN {
                return Err(format!(
                    "only {} {} operations: too few for a percentile",
                    latencies.len(),
                    counted.word()
                ));
            }
            latencies.sort_unstable();
            point(&latencies, percentile)
        }
    };
    compare(metric, is, value, measured, &format!("over {} operations", chosen.len()))
}

/// The smallest value that so many of the sorted values do not exceed.
fn point(sorted: &[u64], percentile: Percentile) -> u64 {
    let rank = match percentile {
        Percentile::P50 => sorted.len().div_ceil(2),
        Percentile::P99 => (sorted.len() * 99).div_ceil(100),
        Percentile::Max => sorted.len(),
    };
    sorted[rank.max(1) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_by_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(point(&hundred, Percentile::P50), 50);
        assert_eq!(point(&hundred, Percentile::P99), 99);
        assert_eq!(point(&hundred, Percentile::Max), 100);
        assert_eq!(point(&[7], Percentile::P50), 7);
    }

    #[test]
    fn comparisons_read_as_they_are_written() {
        assert!(Comparison::AtMost.holds(3, 3) && !Comparison::Less.holds(3, 3));
        assert!(Comparison::AtLeast.holds(3, 3) && !Comparison::More.holds(3, 3));
        assert!(Comparison::Equal.holds(3, 3) && !Comparison::Equal.holds(3, 4));
    }
}
