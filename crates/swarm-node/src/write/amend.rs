//! COPY and APPEND: a new version that takes over the bytes of the one before (SCSP COPY, SCSP APPEND).
//!
//! Owns where those bytes come from, which headers the new version has, and that of two that take over the same version one is
//! told to be stored at most: or what was appended first would be gone. It is written like any other; but nothing may have come
//! after the version that it takes over, by what the node finds before the commit, by what each holder files
//! ([`Publish::follows`](swarm_store::Publish)), and by what the node finds when all is done. Of two that find each other then,
//! the earlier stays. `If-Match` demands a version in the same way.

use bytes::Bytes;
use swarm_env::Bug;
use swarm_health::Pull;
use swarm_plan::lookup::Answers;
use swarm_plan::outcome::Made;
use swarm_types::{HEADERS_MAX, HEADERS_MAX_BYTES, HeaderList, ObjectMeta, Stamp, StreamId};

use super::{Draft, WriteSession};
use crate::Node;
use crate::api::{Amended, Refusal, ReplicaAt, WriteRequest};
use crate::read::Body;

/// Tells of the bytes, and so says something only of all of them (Content-MD5 Checksums).
const CONTENT_MD5: &str = "content-md5";

/// The version that another one takes over.
pub(crate) struct Base {
    pub(crate) stamp: Stamp,
    pub(crate) meta: ObjectMeta,
    pub(crate) body: BaseBody,
}

/// Its bytes.
pub(crate) enum BaseBody {
    /// On a volume of this node.
    Here(Box<Body>),
    /// On their way from another node.
    There(Box<dyn Pull>),
}

impl BaseBody {
    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        let piece = match self {
            Self::Here(body) => body.next().await.map_err(drop),
            Self::There(body) => body.next().await.map_err(drop),
        };
        piece.map_err(|()| UNREADABLE)
    }
}

const UNREADABLE: Refusal = Refusal::Unavailable { why: "the version before cannot be read" };

impl Base {
    /// Refuses where another version has come since.
    pub(crate) fn is_what_is_there(&self, answers: &Answers) -> Result<(), Refusal> {
        check_base(Some(self.stamp), answers)
    }
}

/// Refuses where another version has come since the one that is taken over, if one is.
pub(super) fn check_base(base: Option<Stamp>, answers: &Answers) -> Result<(), Refusal> {
    let newest = answers.newest().map(|newest| newest.stamp);
    if base.is_none() || newest == base { Ok(()) } else { Err(Refusal::Conflict) }
}

impl Node {
    /// Opens the newest version: the replica that is here, else one that another node gives out.
    pub(crate) async fn open_base(&self, id: StreamId, answers: &Answers) -> Result<Base, Refusal> {
        let stamp = answers.existing().ok_or(Refusal::NotFound)?.stamp;
        if self.env().planted(Bug::AppendToOld)
            && let Some(found) = self.inner.volumes.find(id)
            && let Some(meta) = found.record.meta().cloned()
            && let Some(body) = self.open(&found).await
        {
            return Ok(Base { stamp, meta, body: BaseBody::Here(Box::new(body)) });
        }
        if let Some((found, meta)) = self.inner.volumes.find_intact(id, stamp)
            && let Some(body) = self.open(&found).await
        {
            return Ok(Base { stamp, meta, body: BaseBody::Here(Box::new(body)) });
        }
        for source in answers.sources(stamp) {
            if source.node != self.inner.id
                && let Ok(incoming) = self.fetch(source.node, id, stamp).await
            {
                let body = BaseBody::There(incoming.body);
                return Ok(Base { stamp, meta: incoming.meta, body });
            }
        }
        Err(Refusal::Unavailable { why: "no intact replica can be reached" })
    }

    /// Looks at what else has come of the version that was taken over, or of one that a request demanded. Of two the one with the
    /// lower stamp stays: the other one is taken back, which no feed has begun with. What is below another one, and is not told
    /// to be stored, is left where it is: if that one is taken back, there is nothing else.
    ///
    /// # Errors
    /// [`Refusal::Unknown`] if there is another.
    pub(super) async fn give_way_to_rival(
        &self,
        draft: &Draft,
        stamp: Stamp,
        answers: &Answers,
        (places, made): (&[ReplicaAt], &[Made]),
    ) -> Result<(), Refusal> {
        let Some(base) = draft.base.filter(|_| !draft.meta.kind.is_context()) else {
            return Ok(());
        };
        let existing = answers.iter().filter_map(|answer| answer.holding);
        let others = existing.filter(|held| held.form.exists()).map(|held| held.stamp);
        let rivals: Vec<Stamp> = others.filter(|it| *it > base && *it != stamp).collect();
        let was_refused = made.contains(&Made::Superseded);
        if rivals.iter().any(|rival| *rival < stamp && !answers.sources(*rival).is_empty()) {
            self.take_back(draft.id, stamp, places, made).await;
        } else if rivals.is_empty() && !was_refused {
            return Ok(());
        }
        self.inner.count("rivals of a version");
        Err(Refusal::Unknown { why: "another version was stored meanwhile" })
    }
}

impl WriteRequest {
    /// Makes of a request that amends a version the request to write what comes of it.
    ///
    /// # Errors
    /// [`Refusal::TooManyHeaders`] where those of both together are more than an object has.
    pub(super) fn amend(&mut self, base: &ObjectMeta, headers: Amended) -> Result<(), Refusal> {
        let sent = std::mem::take(&mut self.headers);
        self.headers = amended(&base.headers, sent, headers, self.length > 0);
        let bytes: usize =
            self.headers.iter().map(|header| header.name.len() + header.value.len()).sum();
        if self.headers.0.len() > HEADERS_MAX || bytes > HEADERS_MAX_BYTES {
            return Err(Refusal::TooManyHeaders);
        }
        self.length += base.length;
        self.owner = base.owner.clone().or_else(|| self.owner.take());
        Ok(())
    }
}

/// The headers of a version that follows one with these `old`, in the client's order.
fn amended(old: &HeaderList, sent: HeaderList, headers: Amended, longer: bool) -> HeaderList {
    let keeps = |name: &str| match headers {
        Amended::Old => true,
        Amended::Merged => sent.get(name).is_none(),
        Amended::New => name.eq_ignore_ascii_case(CONTENT_MD5) && sent.get(name).is_none(),
    };
    let mut kept = HeaderList::default();
    for header in old.iter().filter(|header| keeps(&header.name)) {
        kept.push(header.name.clone(), header.value.clone());
    }
    if headers != Amended::Old {
        kept.0.extend(sent.0);
    }
    if longer {
        kept.0.retain(|header| !header.is(CONTENT_MD5));
    }
    kept
}

impl WriteSession {
    /// Takes over the next piece of the version before, and returns it; `None` when all of it is taken over, or nothing is to be.
    /// Comes before the first [`WriteSession::write`].
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where its bytes cannot be read to the end, or as [`WriteSession::write`]; the write is over then,
    /// with nothing stored.
    pub async fn take_over(&mut self) -> Result<Option<Bytes>, Refusal> {
        let Some(base) = &mut self.base else { return Ok(None) };
        let Some(piece) = base.next().await? else {
            self.base = None;
            return Ok(None);
        };
        self.write(piece.clone()).await?;
        Ok(Some(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(fields: &[(&str, &'static str)]) -> HeaderList {
        let mut list = HeaderList::default();
        for (name, value) in fields {
            list.push(*name, value.as_bytes());
        }
        list
    }

    fn shown(list: &HeaderList) -> String {
        let fields = list
            .iter()
            .map(|header| format!("{}={}", header.name, header.text().expect("a test's value")));
        fields.collect::<Vec<_>>().join(" ")
    }

    /// SCSP APPEND, SCSP COPY: old headers stay, those of the request come over them by name, or replace them all.
    #[test]
    fn the_headers_are_the_old_ones_the_new_ones_or_both() {
        let old = [("Content-Type", "text/plain"), ("x-a-meta-b", "1"), ("X-A-Meta-C", "2")];
        let sent = [("x-a-meta-c", "3"), ("x-a-meta-c", "4"), ("x-a-meta-d", "5")];
        for (headers, expected) in [
            (Amended::Old, "Content-Type=text/plain x-a-meta-b=1 X-A-Meta-C=2"),
            (
                Amended::Merged,
                "Content-Type=text/plain x-a-meta-b=1 x-a-meta-c=3 x-a-meta-c=4 x-a-meta-d=5",
            ),
            (Amended::New, "x-a-meta-c=3 x-a-meta-c=4 x-a-meta-d=5"),
        ] {
            let kept = amended(&list(&old), list(&sent), headers, true);
            assert_eq!(shown(&kept), expected, "{headers:?}");
        }
    }

    /// Content-MD5 Checksums: it is stored with the bytes that it was given for.
    #[test]
    fn an_md5_stays_with_its_bytes() {
        let (old, sent) = ([("Content-MD5", "old")], [("content-md5", "sent")]);
        for (headers, sent, longer, expected) in [
            (Amended::Old, &sent[..], false, "Content-MD5=old"),
            (Amended::Old, &[], true, ""),
            (Amended::Merged, &[], false, "Content-MD5=old"),
            (Amended::Merged, &sent, false, "content-md5=sent"),
            (Amended::New, &[], false, "Content-MD5=old"),
            (Amended::New, &sent, false, "content-md5=sent"),
            (Amended::New, &sent, true, ""),
        ] {
            let kept = amended(&list(&old), list(sent), headers, longer);
            assert_eq!(shown(&kept), expected, "{headers:?} {sent:?} {longer}");
        }
    }
}
