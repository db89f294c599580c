//! Which object is meant, alike in all clusters; and where it is found by name.

use swarm_types::{HeaderList, ObjectKind, ObjectMeta, StreamId, Uuid};

use super::text::{Args, escape, push_text, read_text, unescape};
use super::{ALIAS, CID, KIND, NAME, UUID, WireError, bad, id, needed};

/// Longest path, escaped; its object is found by its identity alone. A line of a request has 32 KB for all it says.
const PATH: usize = 16 * 1024;

/// What an object is in every cluster. A context keeps its id when it is replicated (Replicating Domains to Other Clusters), so
/// that these four tell its members apart too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The class.
    pub kind: ObjectKind,
    /// UUID of an unnamed object, alias UUID of a context; none for a named object.
    pub uuid: Option<Uuid>,
    /// Alias UUID of the parent; none for an untenanted object.
    pub cid: Option<Uuid>,
    /// Name within the parent; none for an unnamed object.
    pub name: Option<String>,
    /// What its parents are called. Not a part of what it is: it may be unknown, or no longer true.
    pub place: Place,
}

/// Names of an object's parents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Its domain; none for untenanted objects and for a domain itself.
    pub domain: Option<String>,
    /// Its bucket, if it is a named object.
    pub bucket: Option<String>,
}

impl Identity {
    /// The identity of what is filed under this id with this metadata.
    #[must_use]
    pub fn of(id: StreamId, meta: &ObjectMeta, place: Place) -> Self {
        let uuid = match meta.kind {
            ObjectKind::Immutable => Some(Uuid::from_bytes(*id.as_bytes())),
            ObjectKind::Named => None,
            ObjectKind::Alias | ObjectKind::Bucket | ObjectKind::Domain => meta.alias,
        };
        Self { kind: meta.kind, uuid, cid: meta.cid, name: meta.name.clone(), place }
    }

    /// `Castor-System-Alias`: the UUID of whatever has versions and is found by one.
    pub(super) fn alias(&self) -> Option<Uuid> {
        self.uuid.filter(|_| self.kind.is_mutable())
    }

    /// The path and the first argument; more may be added behind.
    pub(super) fn target(&self) -> String {
        let mut target = self.path().filter(|path| path.len() <= PATH).unwrap_or("/".to_owned());
        // Said even where there is none, or the receiver would take it from `Host`.
        target.push_str("?domain=");
        let domain = match self.kind {
            ObjectKind::Domain => self.name.as_deref(),
            _ => self.place.domain.as_deref(),
        };
        escape(domain.unwrap_or_default(), &mut target);
        if self.kind == ObjectKind::Alias {
            target.push_str("&alias");
        }
        target
    }

    fn path(&self) -> Option<String> {
        let mut path = String::from("/");
        match self.kind {
            ObjectKind::Immutable | ObjectKind::Alias => path.push_str(&self.uuid?.to_string()),
            ObjectKind::Bucket => escape(self.name.as_deref()?, &mut path),
            ObjectKind::Domain => {}
            ObjectKind::Named => {
                escape(self.place.bucket.as_deref()?, &mut path);
                path.push('/');
                escape(self.name.as_deref()?, &mut path);
            }
        }
        Some(path)
    }

    pub(super) fn push(&self, headers: &mut HeaderList) {
        headers.push(KIND, kind_word(self.kind));
        if let Some(cid) = self.cid {
            headers.push(CID, cid.to_string());
        }
        if let Some(name) = &self.name {
            push_text(NAME, name, headers);
        }
        if let Some(uuid) = self.uuid {
            let field = if self.kind.is_mutable() { ALIAS } else { UUID };
            headers.push(field, uuid.to_string());
        }
    }

    /// The identity that fields tell, its place still unknown.
    pub(super) fn read(headers: &HeaderList) -> Result<Self, WireError> {
        let kind = kind_of(needed(headers, KIND)?).ok_or(bad(KIND, "is no kind of object"))?;
        let uuid = match kind {
            ObjectKind::Named => None,
            ObjectKind::Immutable => id(headers, UUID)?,
            ObjectKind::Alias | ObjectKind::Bucket | ObjectKind::Domain => id(headers, ALIAS)?,
        };
        let (cid, name) = (id(headers, CID)?, read_text(headers, NAME)?);
        let identity = Self { kind, uuid, cid, name, place: Place::default() };
        identity.check()?;
        Ok(identity)
    }

    /// The same with what the path and the arguments tell of its place.
    pub(super) fn found_at(mut self, path: &str, args: &Args) -> Result<Self, WireError> {
        let said = args.one("domain")?.filter(|domain| !domain.is_empty()).map(str::to_owned);
        if self.kind == ObjectKind::Domain {
            if said != self.name {
                return Err(bad("domain", "is not the name of the domain"));
            }
        } else {
            self.place.domain = said;
        }
        let path = path.trim_start_matches('/');
        if path.is_empty() {
            return Ok(self);
        }
        if self.kind == ObjectKind::Named {
            let bucket = path.split('/').next().and_then(unescape);
            self.place.bucket = bucket.filter(|bucket| !bucket.is_empty());
        }
        let agrees = match self.kind {
            ObjectKind::Immutable | ObjectKind::Alias => path.parse().ok() == self.uuid,
            ObjectKind::Domain => false,
            ObjectKind::Bucket => unescape(path) == self.name,
            ObjectKind::Named => {
                path.split_once('/').and_then(|(_, name)| unescape(name)) == self.name
            }
        };
        if agrees { Ok(self) } else { Err(bad("path", "names another object than the fields")) }
    }

    /// Whether it has what its kind needs, and nothing else.
    pub(super) fn check(&self) -> Result<(), WireError> {
        let named = matches!(self.kind, ObjectKind::Named) || self.kind.is_context();
        let uuid = if self.kind.is_mutable() { ALIAS } else { UUID };
        if self.uuid.is_none() && self.kind != ObjectKind::Named {
            return Err(bad(uuid, "is missing"));
        }
        if self.cid.is_none() && named {
            return Err(bad(CID, "is missing"));
        }
        match self.name.as_deref() {
            None | Some("") if named => return Err(bad(NAME, "is missing")),
            Some(_) if !named => return Err(bad(NAME, "is of an object that has none")),
            Some(name) if self.kind.is_context() && name.contains('/') => {
                return Err(bad(NAME, "is no name of a context"));
            }
            _ => {}
        }
        let root = self.cid == Some(Uuid::ROOT);
        if root != (self.kind == ObjectKind::Domain) {
            return Err(bad(CID, "is the root's, or should be"));
        }
        Ok(())
    }
}

/// A class as the wire has it.
pub(super) const fn kind_word(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Immutable => "immutable",
        ObjectKind::Alias => "alias",
        ObjectKind::Named => "named",
        ObjectKind::Bucket => "bucket",
        ObjectKind::Domain => "domain",
    }
}

pub(super) fn kind_of(word: &str) -> Option<ObjectKind> {
    let kinds = [
        ObjectKind::Immutable,
        ObjectKind::Alias,
        ObjectKind::Named,
        ObjectKind::Bucket,
        ObjectKind::Domain,
    ];
    kinds.into_iter().find(|kind| kind_word(*kind) == word)
}
