//! One word of the language: how it is written, what may stand behind it, what it means.

/// A key, verb or other word of the language.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// As it is written.
    pub word: &'static str,
    /// False for a word of the language that this version refuses as "not yet".
    pub built: bool,
    /// What may stand behind it.
    pub takes: Takes,
    /// What it means, as a part of a sentence; empty for a word that is not built.
    pub says: &'static str,
    /// What holds where it is left out; empty where that needs no words.
    pub default: &'static str,
}

/// What may stand behind a key.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// Nothing: the word is a value itself.
    Nothing,
    /// A text.
    Text,
    /// A list of texts, or one.
    Texts,
    /// A whole number.
    Number,
    /// A whole number from 1.
    Count,
    /// A whole number of either sign.
    Whole,
    /// `true` or `false`.
    Flag,
    /// `90s`, `1h30m`.
    Duration,
    /// A duration, or a range `2m..5m` to draw one from.
    Span,
    /// Two times from the start: `5m..9m`.
    Times,
    /// A name of a step or workload, or two times.
    Window,
    /// `end`, or a time from the start.
    Moment,
    /// A span, or a table of percentiles.
    Latency,
    /// `64KiB`.
    Size,
    /// `20/s`.
    Rate,
    /// `0.1%`.
    Share,
    /// `10Gbit`, `80MiB/s`.
    Bandwidth,
    /// `+10m`, `-30s`.
    Offset,
    /// Something that happens.
    Event,
    /// Which nodes.
    Nodes,
    /// Which disks.
    Disks,
    /// Groups of nodes.
    Groups,
    /// A cluster.
    Cluster,
    /// A cluster or a node of it.
    Place,
    /// Which node is asked.
    Via,
    /// An object: a path, or the name of a request.
    Object,
    /// The name of something in this file.
    Name,
    /// `Name: value`.
    Header,
    /// `= 3`, `<= 250ms`, `/a pattern/`.
    Is,
    /// Names and values of headers.
    Headers,
    /// Names and values of settings.
    Settings,
    /// The value of a setting.
    Setting,
    /// Names and lists of node numbers.
    Subclusters,
    /// Numbers of nodes and how far their clocks are off.
    Clocks,
    /// Sizes and weights.
    Sizes,
    /// Some of these words and weights.
    Weights(&'static [Word]),
    /// One of these words.
    OneOf(&'static [Word]),
    /// A table with these keys.
    Table(&'static [Word]),
    /// A list of such tables.
    Tables(&'static [Word]),
    /// Such tables by names that the file chooses.
    Named(&'static [Word]),
    /// A list of steps.
    Steps,
    /// A list of expectations.
    Expects,
}

impl Word {
    /// With what holds where it is left out.
    pub(super) const fn or(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }
}

/// A key that works.
pub(super) const fn word(word: &'static str, takes: Takes, says: &'static str) -> Word {
    Word { word, built: true, takes, says, default: "" }
}

/// A value that works.
pub(super) const fn choice(name: &'static str, says: &'static str) -> Word {
    word(name, Takes::Nothing, says)
}

/// A word of the language that is refused as "not yet".
pub(super) const fn later(word: &'static str) -> Word {
    Word { word, built: false, takes: Takes::Nothing, says: "", default: "" }
}
