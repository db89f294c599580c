//! Feeds: what carries objects from one cluster to another.

use std::time::Duration;

use super::super::domains::Domains;

/// A feed of replication.
#[derive(Debug, Clone)]
pub struct Feed {
    /// Its name, in the file and in the cluster.
    pub name: String,
    /// The cluster whose objects it carries.
    pub from: String,
    /// The cluster that they go to; `None` for one that is not of this file.
    pub to: Option<String>,
    /// What the file says of it.
    pub fields: FeedFields,
    /// A step creates it; otherwise it is there when the clock starts.
    pub by_step: bool,
}

impl Feed {
    /// The domains that it selects as it is first defined.
    #[must_use]
    pub fn domains(&self) -> Domains {
        self.fields.domains.clone().unwrap_or_default()
    }

    /// Whether deletes are carried over as it is first defined.
    #[must_use]
    pub fn propagates(&self) -> bool {
        self.fields.propagate_deletes.unwrap_or(true)
    }
}

/// What can be said of a feed, and changed; what is left out is as Swarm has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedFields {
    /// Addresses of the target, in place of those of the nodes of `to`.
    pub hosts: Option<Vec<String>>,
    /// The port there.
    pub port: Option<u16>,
    /// The name of the target, in place of `to`.
    pub cluster_name: Option<String>,
    /// How objects travel.
    pub mode: Option<FeedMode>,
    /// Which objects.
    pub domains: Option<Domains>,
    /// Whether deletes are carried over.
    pub propagate_deletes: Option<bool>,
    /// Most transfers of one node at once.
    pub threads: Option<u32>,
    /// From a failure to the next try.
    pub retry_wait: Option<Duration>,
    /// An administrator of the target, as `user:password`.
    pub remote_auth: Option<String>,
    /// Whether it rests.
    pub paused: Option<bool>,
}

/// How objects travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedMode {
    /// The source sends.
    Post,
    /// The target is told, and fetches.
    Get,
}

impl FeedMode {
    /// As the language writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Get => "get",
        }
    }
}

/// What is done to a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedVerb {
    /// Defined as the file says.
    Create,
    /// Some of its fields are changed.
    Edit(Box<FeedFields>),
    /// It rests.
    Pause,
    /// It goes on.
    Resume,
    /// Everything is evaluated anew.
    Restart,
    /// Its definition is gone.
    Delete,
}

impl FeedVerb {
    /// As the language writes it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Create => "create-feed",
            Self::Edit(_) => "edit-feed",
            Self::Pause => "pause-feed",
            Self::Resume => "resume-feed",
            Self::Restart => "restart-feed",
            Self::Delete => "delete-feed",
        }
    }
}
