//! Header blocks, line by line.

use swarm_node::api::{Nonce, ReplicaAt};
use swarm_types::{Etag, HeaderList, ObjectKind, StreamId, Uuid, Version, VolumeId};

use super::*;
use crate::testing::fields;

fn names(block: &FieldBlock) -> Vec<(&str, String)> {
    block.iter().map(|(name, value)| (name, String::from_utf8_lossy(value).into_owned())).collect()
}

fn check(block: &FieldBlock, expected: &[(&str, &str)]) {
    let expected: Vec<_> =
        expected.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    assert_eq!(names(block), expected);
}

fn stamp() -> Stamp {
    Stamp { version: Version(1_760_434_200_412), etag: Etag::from_bytes([0x0b; 16]) }
}

fn meta(headers: &[(&str, &str)]) -> ObjectMeta {
    let mut list = HeaderList::default();
    headers.iter().for_each(|(name, value)| list.push(*name, value.as_bytes().to_vec()));
    ObjectMeta {
        kind: ObjectKind::Named,
        alias: None,
        cid: Some(Uuid::from_bytes([0x2b; 16])),
        name: Some("2025/c\u{e4}t 1.txt".into()),
        cluster: "cluster.example.com".into(),
        owner: None,
        headers: list,
        length: 12,
        digest: [0xe6; 16],
    }
}

/// Content-MD5 Checksums: stored headers sorted without regard to case in the client's spelling, then what is known now.
#[test]
fn an_object_is_described_in_the_documented_order() {
    let reply = ReadReply {
        id: StreamId::from_bytes([1; 16]),
        meta: meta(&[
            ("x-acme-meta-color", "blue"),
            ("X-Acme-META-color", "red"),
            ("content-TYPE", "text/plain"),
            ("Content-MD5", "KnJaKj3+S4Dgehm7s3BsWw=="),
        ]),
        stamp: stamp(),
        volume: VolumeId::from_bytes([0x4d; 16]),
        volume_hint: Some(VolumeId::from_bytes([0x99; 16])),
        domain: Some("acme.example.com".into()),
        path: Some("/acme.example.com/photos/2025/c\u{e4}t 1.txt".into()),
        body: None,
    };
    check(
        &object(&reply, &Report::new()),
        &[
            ("Castor-System-CID", "2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b"),
            ("Castor-System-Cluster", "cluster.example.com"),
            ("Castor-System-Created", "Tue, 14 Oct 2025 09:30:00 GMT"),
            ("Castor-System-Name", "2025/c%C3%A4t 1.txt"),
            ("Castor-System-Version", "1760434200.412"),
            ("content-TYPE", "text/plain"),
            ("Last-Modified", "Tue, 14 Oct 2025 09:30:00 GMT"),
            ("x-acme-meta-color", "blue"),
            ("X-Acme-META-color", "red"),
            ("ETag", "\"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b\""),
            ("Castor-System-Path", "/acme.example.com/photos/2025/c%C3%A4t 1.txt"),
            ("Castor-System-Domain", "acme.example.com"),
            ("Volume", "4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d"),
            ("Volume-Hint", "99999999999999999999999999999999"),
            ("Content-MD5", "KnJaKj3+S4Dgehm7s3BsWw=="),
        ],
    );
}

/// Versioning Examples: cluster, location and volume in groups, one per replica; WRITE with Replicate ROW: the count.
#[test]
fn a_write_tells_where_its_replicas_are() {
    let replica = |last, byte| ReplicaAt {
        node: NodeId([192, 168, 10, last].into()),
        volume: VolumeId::from_bytes([byte; 16]),
    };
    let uuid = Uuid::from_bytes([0x70; 16]);
    let mut reply = WriteReply {
        replicas: vec![replica(11, 0x99), replica(13, 0x4d)],
        stamp: stamp(),
        uuid: Some(uuid),
        alias: Some(uuid),
        replaced: false,
        domain: Some("acme.example.com".into()),
        stored_digest: [0xe6; 16],
    };
    let here = Here { cluster: "cluster.example.com", port: 80 };
    let id = "70707070707070707070707070707070";
    let location = |node: &str| format!("http://192.168.10.{node}:80/{id}?domain=acme.example.com");
    let block = written(&reply, &path(&Place::Root, Some(uuid)), here);
    check(
        &block,
        &[
            ("Castor-System-Cluster", "cluster.example.com"),
            ("Location", &location("11")),
            ("Volume", "99999999999999999999999999999999"),
            ("Castor-System-Cluster", "cluster.example.com"),
            ("Location", &location("13")),
            ("Volume", "4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d"),
            ("Stored-Digest", "e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6"),
            ("Last-Modified", "Tue, 14 Oct 2025 09:30:00 GMT"),
            ("Content-UUID", id),
            ("Entity-MD5", "5ubm5ubm5ubm5ubm5ubm5g=="),
            ("Castor-System-Version", "1760434200.412"),
            ("Etag", "\"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b\""),
            ("Castor-System-Alias", id),
            ("Replica-Count", "2"),
        ],
    );
    reply.replicas.truncate(1);
    assert_eq!(written(&reply, "/x", here).text("replica-count"), None, "not where there is one");
}

/// Normal DELETE Responses: what was deleted.
#[test]
fn a_delete_tells_what_it_deleted() {
    let reply = DeleteReply {
        meta: meta(&[("Content-type", "text/plain"), ("X-A-Meta", "1")]),
        stamp: stamp(),
    };
    check(
        &deleted(&reply),
        &[
            ("Castor-System-Cluster", "cluster.example.com"),
            ("Castor-System-Created", "Tue, 14 Oct 2025 09:30:00 GMT"),
            ("Content-type", "text/plain"),
            ("Last-Modified", "Tue, 14 Oct 2025 09:30:00 GMT"),
            ("Etag", "\"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b\""),
        ],
    );
}

/// Normal Responses to WRITE: `auth` of 32 upper-case digits; every argument kept; the domain of a Host given by name.
#[test]
fn a_redirect_keeps_every_argument() {
    let redirect = |domain: Option<&str>| Redirect {
        node: NodeId([192, 168, 10, 13].into()),
        nonce: Nonce(0x2f7e),
        permanent: false,
        domain: domain.map(str::to_owned),
    };
    let to = |target: &str, domain| {
        let fields = fields(&[("Host", "acme.example.com")]);
        let target = RequestTarget::parse(target, &fields).expect("legal");
        redirect_location(&redirect(domain), &target, 80)
    };
    let auth = "auth=00000000000000000000000000002F7E";
    assert_eq!(to("/p/a%20b", None), format!("http://192.168.10.13:80/p/a%20b?{auth}"));
    assert_eq!(
        to("/p/x?replicate=full&Auth=0123&y", Some("acme.example.com")),
        format!("http://192.168.10.13:80/p/x?replicate=full&y&domain=acme.example.com&{auth}")
    );
    assert_eq!(
        to("/?DOMAIN=Beta", Some("beta")),
        format!("http://192.168.10.13:80/?DOMAIN=Beta&{auth}"),
        "a domain that was given stays as it was given"
    );
}
