//! The arguments of SEND: which feeds, how long to wait, whether to do again what was done (SCSP SEND).

use std::collections::BTreeSet;
use std::time::Duration;

use swarm_feeds::table::Table;
use swarm_types::FeedId;

use crate::scsp::query::Query;
use crate::status::Fault;

/// What a SEND asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SendArguments {
    ids: BTreeSet<u32>,
    /// `all`, as an id or as a type.
    all: bool,
    /// Replication feeds. There are no others yet; a type of which there is no feed selects nothing.
    replication: bool,
    pub(crate) wait: Wait,
    /// `force`: also what a feed has done already.
    pub(crate) force: bool,
}

/// How long a SEND waits for the feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing was said: as `Default`, but for the SEND of old, which has a limit of its own.
    NotSaid,
    /// As long as `scsp.defaultFeedSendTimeout` says.
    Default,
    /// So long.
    For(Duration),
    /// Until every feed has come to something.
    Unbounded,
}

impl Wait {
    /// The longest time that this is; none is without limit.
    pub(crate) const fn limit(self, not_said: Duration, default: Duration) -> Option<Duration> {
        match self {
            Self::NotSaid => Some(not_said),
            Self::Default => Some(default),
            Self::For(time) => Some(time),
            Self::Unbounded => None,
        }
    }
}

/// Longest time that a SEND may ask for: a year, which no connection lives.
const WAIT_SECS_MAX: u64 = 366 * 24 * 3600;

impl SendArguments {
    /// Reads them. `None` where neither `feedid` nor `feedtype` is given: the SEND before 11.2 (SCSP SEND - Legacy).
    ///
    /// # Errors
    /// A value that makes no sense.
    pub(crate) fn read(query: &Query) -> Result<Option<Self>, Fault> {
        if !query.has("feedid") && !query.has("feedtype") {
            return Ok(None);
        }
        let mut arguments = Self {
            ids: BTreeSet::new(),
            all: false,
            replication: false,
            wait: wait(query)?,
            force: query.flag("force")?,
        };
        for value in query.all("feedid") {
            arguments.take_id(value)?;
        }
        for value in query.all("feedtype") {
            arguments.take_type(value)?;
        }
        Ok(Some(arguments))
    }

    fn take_id(&mut self, value: &str) -> Result<(), Fault> {
        if value.eq_ignore_ascii_case("all") {
            self.all = true;
            return Ok(());
        }
        if !is_number(value) {
            let text = "Argument 'feedid' takes 'all' or the ID of a feed.";
            return Err(Fault::InvalidArgument(text.to_owned()));
        }
        // No feed ever has a number that is too large to be one.
        let id = value.parse().map_err(|_| Fault::UnknownFeed(value.to_owned()))?;
        self.ids.insert(id);
        Ok(())
    }

    fn take_type(&mut self, value: &str) -> Result<(), Fault> {
        match value.to_ascii_lowercase().as_str() {
            "all" => self.all = true,
            "replication" => self.replication = true,
            "search" | "indexing" | "s3backup" => {}
            _ => {
                let text = "Argument 'feedtype' takes 'all', 'search', 'indexing', 'replication' or 's3backup'.";
                return Err(Fault::InvalidArgument(text.to_owned()));
            }
        }
        Ok(())
    }

    /// The feeds that are meant, by number: the union of all arguments.
    ///
    /// # Errors
    /// A feed that does not exist.
    pub(crate) fn select(&self, table: &Table) -> Result<Vec<FeedId>, Fault> {
        let known: BTreeSet<u32> = table.working().map(|feed| feed.id.0).collect();
        if let Some(unknown) = self.ids.difference(&known).next() {
            return Err(Fault::UnknownFeed(unknown.to_string()));
        }
        let selected = if self.all || self.replication { known } else { self.ids.clone() };
        Ok(selected.into_iter().map(FeedId).collect())
    }
}

/// `timeout`: absent is as `true` where feeds are named (our choice); `false` is no limit (our choice: the vendor says that it
/// disables it).
///
/// # Errors
/// Neither that nor a time.
pub(crate) fn wait(query: &Query) -> Result<Wait, Fault> {
    let Some(value) = query.one("timeout")? else { return Ok(Wait::NotSaid) };
    match value.to_ascii_lowercase().as_str() {
        "" | "true" | "yes" => Ok(Wait::Default),
        "false" | "no" => Ok(Wait::Unbounded),
        number => seconds(number).map(Wait::For).ok_or_else(|| {
            let text = "Argument 'timeout' takes 'true', 'false' or a number of seconds.";
            Fault::InvalidArgument(text.to_owned())
        }),
    }
}

/// Seconds with at most three decimals, more than none.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if !is_number(whole) || !is_number(decimals) || decimals.len() > 3 {
        return None;
    }
    let secs = whole.parse().unwrap_or(u64::MAX).min(WAIT_SECS_MAX);
    let millis = format!("{decimals:0<3}").parse().ok()?;
    let time = Duration::from_secs(secs) + Duration::from_millis(millis);
    (!time.is_zero()).then_some(time)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use swarm_feeds::definition::{RawFeed, check};
    use swarm_feeds::table::Author;
    use swarm_types::{NodeId, Timestamp};

    use super::*;

    /// Feeds 0 and 2; 1 was deleted.
    fn table() -> Table {
        let mut table = Table::default();
        let by = Author { node: NodeId([10, 1, 0, 1].into()), now: Timestamp::from_secs(1) };
        for name in ["zero", "one", "two"] {
            let raw = RawFeed {
                name: Some(name.to_owned()),
                kind: Some("replication".to_owned()),
                hosts: Some(vec!["10.2.0.1".to_owned()]),
                cluster_name: Some("dr".to_owned()),
                ..RawFeed::default()
            };
            let definition = check(raw, &"main".into()).expect("good");
            table.create(definition, by).expect("room");
        }
        table.delete(FeedId(1), by).expect("there");
        table
    }

    fn read(query: &str) -> Result<Option<SendArguments>, Fault> {
        SendArguments::read(&Query::parse(query).expect("well formed"))
    }

    fn selected(query: &str) -> Result<Vec<u32>, Fault> {
        let arguments = read(query)?.expect("new SEND");
        Ok(arguments.select(&table())?.into_iter().map(|id| id.0).collect())
    }

    /// SCSP SEND: "the Swarm object to be sent to one or more feeds": `feedid` and `feedtype`, repeated or together, select the union;
    /// `all` is no error where there is none.
    #[test]
    fn the_feeds_are_the_union_of_all_arguments() {
        for (query, expected) in [
            ("feedid=0", &[0][..]),
            ("feedid=2&feedid=0&feedid=2", &[0, 2]),
            ("FeedID=ALL", &[0, 2]),
            ("feedtype=replication", &[0, 2]),
            ("feedtype=all&feedid=0", &[0, 2]),
            ("feedtype=search", &[]),
            ("feedtype=indexing&feedtype=s3backup", &[]),
            ("feedtype=Search&feedid=2", &[2]),
        ] {
            assert_eq!(selected(query), Ok(expected.to_vec()), "{query}");
        }
        let none = read("feedid=all&feedtype=all").expect("good").expect("new SEND");
        assert_eq!(none.select(&Table::default()), Ok(vec![]));
    }

    /// SCSP SEND: a feed that does not exist, also among others, and an unknown type are errors.
    #[test]
    fn what_is_no_feed_is_refused() {
        for (query, id) in [
            ("feedid=9", "9"),
            ("feedid=0&feedid=1", "1"),
            ("feedid=all&feedid=7", "7"),
            ("feedid=99999999999", "99999999999"),
        ] {
            assert_eq!(selected(query), Err(Fault::UnknownFeed(id.to_owned())), "{query}");
        }
        for query in ["feedid=", "feedid", "feedid=-1", "feedid=%2B1", "feedid=1.0", "feedid=x"] {
            assert!(matches!(selected(query), Err(Fault::InvalidArgument(_))), "{query}");
        }
        for query in ["feedtype", "feedtype=", "feedtype=replicate", "feedtype=0"] {
            assert!(matches!(selected(query), Err(Fault::InvalidArgument(_))), "{query}");
        }
    }

    /// SCSP SEND - Legacy: "If a SEND request is missing the new required query arguments, then the behavior described here is in
    /// force."
    #[test]
    fn without_feeds_it_is_the_send_of_old() {
        assert_eq!(read("admin&timeout=5"), Ok(None));
        assert_eq!(read(""), Ok(None));
    }

    /// SCSP SEND: `timeout` is `true`, positive seconds or `false`.
    #[test]
    fn the_wait_is_bounded_unless_it_is_said_not_to_be() {
        let wait =
            |query: &str| read(&format!("feedid=0&{query}")).map(|read| read.map(|a| a.wait));
        let millis = |millis| Ok(Some(Wait::For(Duration::from_millis(millis))));
        for (query, expected) in [
            ("", Ok(Some(Wait::NotSaid))),
            ("timeout", Ok(Some(Wait::Default))),
            ("timeout=True", Ok(Some(Wait::Default))),
            ("timeout=false", Ok(Some(Wait::Unbounded))),
            ("timeout=5", millis(5_000)),
            ("timeout=5&timeout=5", millis(5_000)),
            ("timeout=0.25", millis(250)),
            ("timeout=99999999999999999999999", millis(WAIT_SECS_MAX * 1_000)),
        ] {
            assert_eq!(wait(query), expected, "{query}");
        }
        for query in [
            "timeout=0",
            "timeout=0.000",
            "timeout=-1",
            "timeout=x",
            "timeout=1e3",
            "timeout=.5",
            "timeout=5.",
            "timeout=inf",
            "timeout=5&timeout=6",
        ] {
            assert!(matches!(wait(query), Err(Fault::InvalidArgument(_))), "{query}");
        }
    }

    #[test]
    fn force_is_a_flag() {
        let force =
            |query: &str| read(&format!("feedid=0&{query}")).map(|read| read.map(|a| a.force));
        assert_eq!(force(""), Ok(Some(false)));
        assert_eq!(force("force=no"), Ok(Some(false)));
        assert_eq!(force("force=yes"), Ok(Some(true)));
        assert_eq!(force("force"), Ok(Some(true)));
        assert!(force("force=2").is_err());
    }
}
