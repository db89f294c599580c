//! What is sent arrives, whatever clients, hyper and proxies do to it on the way; and nothing else is taken for it.

use proptest::prelude::*;
use swarm_plan::feeds::Held;
use swarm_types::{NodeId, ObjectKind, ObjectMeta, StreamId, Timestamp, Uuid};

use super::*;
use crate::blockade::TargetTrouble;
use crate::definition::Mode;

/// A ticket that is easily found where it should not be.
const TICKET: Ticket = Ticket(0xfeed_face_cafe_beef_0123_4567_89ab_cdef);

fn route() -> Route {
    Route { from: "east".into(), to: "west & more".into() }
}

fn uuid(byte: u8) -> Uuid {
    Uuid::from_bytes([byte; 16])
}

fn stamp(millis: u64, etag: u8) -> Stamp {
    Stamp { version: Version(millis), etag: Etag::from_bytes([etag; 16]) }
}

fn list(fields: &[(&str, &str)]) -> HeaderList {
    let mut list = HeaderList::default();
    for (name, value) in fields {
        list.push(*name, value.to_string());
    }
    list
}

fn place(domain: Option<&str>, bucket: Option<&str>) -> Place {
    Place { domain: domain.map(str::to_owned), bucket: bucket.map(str::to_owned) }
}

/// `p1.tif` in `scans` of `acme.example`, with these stored fields.
fn picture(headers: HeaderList) -> Import {
    let meta = ObjectMeta {
        kind: ObjectKind::Named,
        alias: None,
        cid: Some(uuid(0x0b)),
        name: Some("p1.tif".into()),
        cluster: "east".into(),
        owner: None,
        headers,
        length: 1_048_576,
        digest: [0xe6; 16],
    };
    let place = place(Some("acme.example"), Some("scans"));
    let identity = Identity::of(StreamId::from_bytes([9; 16]), &meta, place);
    Import { identity, stamp: stamp(1_710_405_003_007, 0x16), meta }
}

fn encode(import: &Import) -> (String, HeaderList) {
    encode_import(&import.identity, &import.meta, import.stamp, &route())
}

/// Path and query.
fn split(target: &str) -> (&str, &str) {
    target.split_once('?').expect("every target has arguments")
}

fn read(target: &str, headers: &HeaderList) -> Result<(Route, Import), WireError> {
    let (path, query) = split(target);
    read_import(path, query, headers)
}

/// What hyper and a proxy make of fields: repeats side by side, names in one case, values trimmed, others' fields among them.
fn carried(headers: &HeaderList, title_case: bool) -> HeaderList {
    let mut map = http::HeaderMap::new();
    map.append("host", "10.2.0.11".parse().expect("a value"));
    map.append("cache-control", "no-cache".parse().expect("a value"));
    for header in headers.iter() {
        let name = http::HeaderName::from_bytes(header.name.as_bytes()).expect("a name");
        let value = http::HeaderValue::from_bytes(&header.value).expect("a value");
        map.append(name, value);
    }
    map.append("via", "1.1 proxy".parse().expect("a value"));
    let mut carried = HeaderList::default();
    for (name, value) in &map {
        let mut start = true;
        let letter = |letter: char| {
            let upper = std::mem::replace(&mut start, letter == '-') && title_case;
            if upper { letter.to_ascii_uppercase() } else { letter }
        };
        let name: String = name.as_str().chars().map(letter).collect();
        carried.push(name, bytes::Bytes::copy_from_slice(value.as_bytes().trim_ascii()));
    }
    carried
}

/// Our choice, as the module describes it: a version on the wire.
#[test]
fn a_version_travels_as_a_post_with_its_fields_and_their_names() {
    let stored = list(&[
        ("content-type", "image/tiff"),
        ("x-ACME-meta-Page", "1"),
        ("Lifepoint", "[] reps=2"),
        ("X-acme-Meta-page", "2"),
        ("Cache-Control", "max-age=60"),
    ]);
    let (target, headers) = encode(&picture(stored));
    assert_eq!(
        target,
        "/scans/p1.tif?domain=acme.example&admin&replicate-from=east&replicate-to=west%20%26%20more"
    );
    let expected = list(&[
        ("Castor-System-Kind", "named"),
        ("Castor-System-CID", &"0b".repeat(16)),
        ("Castor-System-Name", "p1.tif"),
        ("Castor-System-Version", "1710405003.007"),
        ("ETag", &format!("\"{}\"", "16".repeat(16))),
        ("Castor-System-Created", "Thu, 14 Mar 2024 08:30:03 GMT"),
        ("Castor-System-Cluster", "east"),
        ("Castor-System-Length", "1048576"),
        ("Stored-Digest", &"e6".repeat(16)),
        ("content-type", "image/tiff"),
        ("x-ACME-meta-Page", "1"),
        ("Lifepoint", "[] reps=2"),
        ("X-acme-Meta-page", "2"),
        ("Castor-System-Value", "max-age=60"),
        (
            "Castor-System-Names",
            "content-type,x-ACME-meta-Page,Lifepoint,X-acme-Meta-page,=Cache-Control",
        ),
    ]);
    assert_eq!(headers, expected);
}

#[test]
fn every_class_has_its_path() {
    let root = Some(Uuid::ROOT);
    let of = |kind, uuid, cid, name: Option<&str>, place| {
        let name = name.map(str::to_owned);
        let identity = Identity { kind, uuid, cid, name, place };
        encode_probe(&identity, &route()).0.split("&admin").next().expect("a part").to_owned()
    };
    let tenant = || place(Some("a.b"), None);
    let (one, two) = (Some(uuid(0x11)), Some(uuid(0x22)));
    let id = "11".repeat(16);
    let cases = [
        (of(ObjectKind::Immutable, one, None, None, Place::default()), format!("/{id}?domain=")),
        (of(ObjectKind::Immutable, one, two, None, tenant()), format!("/{id}?domain=a.b")),
        (of(ObjectKind::Alias, one, two, None, tenant()), format!("/{id}?domain=a.b&alias")),
        (
            of(ObjectKind::Bucket, one, two, Some("ä +"), tenant()),
            "/%C3%A4%20%2B?domain=a.b".into(),
        ),
        (of(ObjectKind::Domain, one, root, Some("a.b"), Place::default()), "/?domain=a.b".into()),
        (
            of(ObjectKind::Named, None, two, Some("/x/../y?"), place(Some("a.b"), Some("s"))),
            "/s//x/../y%3F?domain=a.b".into(),
        ),
        // Nobody told what the bucket is called.
        (of(ObjectKind::Named, None, two, Some("x"), tenant()), "/?domain=a.b".into()),
    ];
    for (target, expected) in cases {
        assert_eq!(target, expected);
    }
}

/// SCSP Headers: 500 headers. SDK meta.py: receivers take 500 names, the request's own among them, and lines of 32 KB.
#[test]
fn five_hundred_names_fit_through_a_receiver_that_takes_five_hundred() {
    let mut stored = HeaderList::default();
    for number in 0..500 {
        stored.push(format!("X-Acme-Meta-number-Of-field-{number}"), format!("{number}"));
    }
    let mut import = picture(stored);
    import.identity.name = Some("ä ".repeat(15_000));
    import.meta.name = import.identity.name.clone();
    let (target, headers) = encode(&import);
    let (path, _) = split(&target);
    assert_eq!(path, "/", "too long for a line");
    let names: std::collections::BTreeSet<_> =
        headers.iter().map(|header| header.name.to_ascii_lowercase()).collect();
    assert!(names.len() < 450, "{}", names.len());
    assert!(headers.iter().all(|header| header.name.len() + header.value.len() < 30_000));
    // A client of ours takes 600 fields.
    assert!(headers.0.len() < 550, "{}", headers.0.len());
    import.identity.place.bucket = None;
    assert_eq!(read(&target, &carried(&headers, true)), Ok((route(), import)));
}

#[test]
fn fields_that_somebody_meddled_with_are_refused() {
    let names = "X-A-Meta,Content-Type,x-a-meta,=Expires";
    let good = list(&[
        ("x-a-meta", "1"),
        ("x-a-meta", "2"),
        ("content-type", "t"),
        ("castor-system-value", "0"),
        ("expires", "of the answer itself"),
    ]);
    let stored =
        list(&[("X-A-Meta", "1"), ("Content-Type", "t"), ("x-a-meta", "2"), ("Expires", "0")]);
    assert_eq!(restore_headers(&good, names), Some(stored));
    assert_eq!(restore_headers(&good, ""), None, "a value of nobody");
    assert_eq!(restore_headers(&list(&[("host", "h")]), ""), Some(HeaderList::default()));
    let without = |nth: usize| {
        let mut less = good.clone();
        less.0.remove(nth);
        less
    };
    for nth in 0..4 {
        assert_eq!(restore_headers(&without(nth), names), None, "without {nth}");
    }
    for name in ["x-A-Meta", "Content-type", VALUE] {
        let mut more = good.clone();
        more.push(name, "added");
        assert_eq!(restore_headers(&more, names), None, "one more {name}");
    }
    for odd in ["=", "X A", "ä", "=a b", "==a"] {
        assert_eq!(restore_headers(&good, &format!("{names},{odd}")), None, "{odd}");
    }
}

#[test]
fn what_is_missing_doubled_or_contradicts_itself_is_refused() {
    let (target, headers) = encode(&picture(list(&[("Content-Type", "t")])));
    let optional = [CREATED];
    for nth in 0..headers.0.len() {
        let (mut less, mut more) = (headers.clone(), headers.clone());
        let field = less.0.remove(nth);
        more.0.push(field.clone());
        if optional.contains(&&*field.name) {
            continue;
        }
        assert!(read(&target, &less).is_err(), "without {field:?}");
        let pieces = [NAME, CLUSTER, NAMES];
        if !pieces.contains(&&*field.name) {
            assert!(read(&target, &more).is_err(), "twice {field:?}");
        }
    }
    let refused = |target: &str| read(target, &headers).expect_err(target).field;
    assert_eq!(refused("/scans/p2.tif?replicate-from=a&replicate-to=b"), "path");
    assert_eq!(refused("/scans?replicate-from=a&replicate-to=b"), "path");
    assert_eq!(refused("/scans/p1.tif?replicate-from=a"), "replicate-to");
    assert_eq!(refused("/scans/p1.tif?replicate-from=&replicate-to=b"), "replicate-from");
    assert_eq!(
        refused("/scans/p1.tif?replicate-to=a&replicate-from=b&replicate-to=c"),
        "replicate-to"
    );
    assert_eq!(refused("/scans/p1.tif?domain=%ff&replicate-from=a&replicate-to=b"), "query");
    // What a redirect adds is no matter.
    assert!(read(&format!("{target}&auth=00112233445566778899AABBCCDDEEFF"), &headers).is_ok());
}

#[test]
fn values_out_of_their_grammar_are_refused() {
    let (target, headers) = encode(&picture(HeaderList::default()));
    let with = |name: &str, value: &str| {
        let mut changed = headers.clone();
        let field = changed.0.iter_mut().find(|header| header.is(name)).expect("it is there");
        field.value = value.to_owned().into();
        read(&target, &changed).map(|(_, import)| import.stamp.version)
    };
    for version in ["1", "1.", ".1", "1.00", "1.0000", "+1.000", "1.+00", "18446744073709551.616"] {
        assert!(with(VERSION, version).is_err(), "{version}");
    }
    assert_eq!(with(VERSION, "18446744073709551.615"), Ok(Version(u64::MAX)));
    let bare = "16".repeat(16);
    for etag in ["", "\"\"", "\"16\"", &bare, &format!("W/\"{bare}\"")] {
        assert!(with(ETAG, etag).is_err(), "{etag}");
    }
    for (name, value) in [
        (LENGTH, "+1"),
        (LENGTH, ""),
        (LENGTH, "18446744073709551616"),
        (DIGEST, "e6"),
        (KIND, "Named"),
        (CID, "0b"),
        (NAME, ""),
        (NAME, "p1.tif%"),
        (NAME, "p1.tif%ff"),
        (CID, "ffffffffffffffffffffffffffffffff"),
    ] {
        assert!(with(name, value).is_err(), "{name}: {value}");
    }
    let too_many = list(&[("X-A-Meta", "1"); 501]);
    let (target, headers) = encode(&picture(too_many));
    assert_eq!(read(&target, &headers).expect_err("SCSP Headers: 500").field, NAMES);
}

#[test]
fn an_immutable_object_is_named_by_its_etag() {
    let mut import = picture(HeaderList::default());
    import.meta.kind = ObjectKind::Immutable;
    (import.meta.name, import.meta.cid) = (None, None);
    import.identity =
        Identity::of(StreamId::from_bytes([0x16; 16]), &import.meta, Place::default());
    let (target, headers) = encode(&import);
    assert_eq!(read(&target, &headers), Ok((route(), import.clone())));
    import.stamp.etag = Etag::from_bytes([0x17; 16]);
    let (target, headers) = encode(&import);
    assert_eq!(read(&target, &headers).expect_err("another version").field, ETAG);
}

#[test]
fn a_probe_asks_by_identity_and_only_a_node_answers_it() {
    let identity = picture(HeaderList::default()).identity;
    let (target, headers) = encode_probe(&identity, &route());
    let (path, query) = split(&target);
    let read = read_probe(path, query, &carried(&headers, true));
    assert_eq!(read, Ok((route(), identity)));
    let now = stamp(1, 2);
    for held in [
        Held::Nothing,
        Held::Version { stamp: now, intact: true },
        Held::Version { stamp: now, intact: false },
        Held::Tombstone(now),
    ] {
        let answer = encode_held(held);
        assert_eq!(read_held(&carried(&answer, false)), Some(held));
    }
    // The 404 of a proxy, and an object's own fields.
    assert_eq!(read_held(&list(&[("content-length", "0")])), None);
    let (_, object) = encode(&picture(HeaderList::default()));
    assert_eq!(read_held(&object), None);
    assert_eq!(read_held(&list(&[(HELD, "intact")])), None);
}

#[test]
fn a_delete_is_addressed_by_its_stream() {
    let deletion = Deletion {
        stream: StreamId::from_bytes([0xab; 16]),
        kind: ObjectKind::Domain,
        stamp: stamp(1_710_405_009_400, 7),
        alias: Some(uuid(3)),
        cid: Some(Uuid::ROOT),
        name: Some("acme.example".into()),
    };
    let (target, headers) = encode_delete(&deletion, &route());
    let expected = format!(
        "/?admin&replicate-from=east&replicate-to=west%20%26%20more&stream={}",
        "ab".repeat(16)
    );
    assert_eq!(target, expected);
    let (_, query) = split(&target);
    assert_eq!(read_delete(query, &carried(&headers, true)), Ok((route(), deletion.clone())));
    let bare = Deletion { kind: ObjectKind::Named, alias: None, cid: None, name: None, ..deletion };
    let (target, headers) = encode_delete(&bare, &route());
    assert_eq!(read_delete(split(&target).1, &headers), Ok((route(), bare)));
    for query in ["replicate-from=a&replicate-to=b", "stream=1&replicate-from=a&replicate-to=b"] {
        assert_eq!(read_delete(query, &headers).expect_err(query).field, "stream");
    }
}

/// Replicating Domains to Other Clusters: the source must learn the target's name and version. Swarm 9 Highlights: direct
/// POST came with 9.6.
#[test]
fn a_target_must_say_that_it_is_the_one_meant() {
    let west = ClusterName::from("west");
    let of = |cluster: &str, server: &str, mode| {
        let answer = list(&[(CLUSTER, cluster), ("Server", server)]);
        greet(&answer, &west, mode).map(|greeting| greeting.version)
    };
    assert_eq!(of("west", "CAStor Cluster/11.2.0", Mode::Post), Ok(Some((11, 2, 0))));
    assert_eq!(of("West", "CAStor Cluster/9.6", Mode::Post), Ok(Some((9, 6, 0))));
    assert_eq!(of("west", "CAStor Cluster/9.5.4", Mode::Post), Err(TargetTrouble::TooOld));
    assert_eq!(of("west", "CAStor Cluster/9.5.4", Mode::Get), Ok(Some((9, 5, 4))));
    assert_eq!(of("west", "Gateway", Mode::Post), Ok(None));
    assert_eq!(of("west", "CAStor Cluster/x.1", Mode::Post), Ok(None));
    assert_eq!(of("east", "CAStor Cluster/11.2.0", Mode::Post), Err(TargetTrouble::WrongCluster));
    let nobody = greet(&list(&[("Server", "nginx")]), &west, Mode::Get);
    assert_eq!(nobody, Err(TargetTrouble::WrongCluster));
}

#[test]
fn answers_tell_another_cluster_and_how_long_to_wait() {
    let west = ClusterName::from("west");
    let now = Timestamp::from_secs(1_710_405_003);
    let of = |status, fields: &[(&str, &str)]| read_answer(status, &list(fields), &west, now);
    assert!(of(412, &[(CLUSTER, "north")]).wrong_cluster);
    assert!(!of(412, &[(CLUSTER, "west")]).wrong_cluster && !of(412, &[]).wrong_cluster);
    assert!(!of(200, &[(CLUSTER, "east")]).wrong_cluster, "the origin of an object");
    let wait = |text| of(503, &[("retry-after", text)]).retry_after.map(|wait| wait.as_secs());
    assert_eq!(wait("120"), Some(120));
    assert_eq!(wait("Thu, 14 Mar 2024 08:31:03 GMT"), Some(60));
    assert_eq!(wait("Thu, 14 Mar 2024 08:29:03 GMT"), Some(0));
    assert_eq!((wait("soon"), wait(""), wait("-1")), (None, None, None));
}

fn version(name: &str) -> Item {
    let mut identity = picture(HeaderList::default()).identity;
    identity.name = Some(name.to_owned());
    Item::Version { identity, stamp: stamp(5, 5), ticket: TICKET }
}

/// Managing and Optimizing Feeds: a batch holds at most 200 items.
#[test]
fn a_batch_is_full_at_200_items_or_256_kib() {
    let mut batch = Batch::default();
    for _ in 0..BATCH_ITEMS {
        assert_eq!(batch.push(&version("x")), Pushed::Taken);
    }
    assert_eq!(batch.push(&version("x")), Pushed::Full);
    assert_eq!(batch.len(), BATCH_ITEMS);
    let body = batch.into_body();
    assert_eq!(read_items(&body).map(|items| items.len()), Ok(BATCH_ITEMS));
    let more = [&body[..], b"{}\n"].concat();
    assert_eq!(read_items(&more), Err(BadBatch::TooMany));
    let mut batch = Batch::default();
    let long = version(&"\u{1}".repeat(30_000));
    assert_eq!(batch.push(&long), Pushed::Taken);
    assert_eq!(batch.push(&long), Pushed::Full);
    assert_eq!(batch.push(&version(&"x".repeat(BATCH_BYTES))), Pushed::TooLong);
    assert_eq!(read_items(&vec![b' '; BATCH_BYTES + 1]), Err(BadBatch::TooLong));
    assert_eq!((read_items(b""), read_items(b"\n")), (Ok(vec![]), Ok(vec![])));
}

#[test]
fn a_bad_line_fails_nothing_but_itself() {
    let mut batch = Batch::default();
    batch.push(&version("a"));
    let good = batch.into_body();
    let text = std::str::from_utf8(&good).expect("JSON").trim_end().to_owned();
    let bad = [
        String::new(),
        "{}".into(),
        "[".repeat(500),
        text.replace("\"named\"", "\"domain\""),
        text.replace("\"version\"", "\"Version\""),
        text.replace("\"ticket\"", "\"delete\":true,\"ticket\""),
        text.replace("feedface", "feedfac"),
        text.replace("{", "{\"delete\":true,"),
        text.replace("{", "{\"stream\":\"0\","),
        text.replace("{", "{\"kind\":\"named\","),
    ];
    for line in bad {
        let body = format!("{text}\n{line}\n{text}");
        let items = read_items(body.as_bytes()).expect("small enough");
        let told = format!("{items:?}");
        assert!(items[0].is_ok() && items[2].is_ok() && items.len() == 3, "{line}");
        let error = items[1].clone().expect_err(&line);
        assert_eq!(error.line, 1, "{line}");
        assert!(!told.contains("cafebeef"), "{told}");
    }
}

#[test]
fn results_arrive_in_pieces_and_what_is_missing_is_known() {
    let result = |item, status| ItemResult { item, status, node: None };
    let other = NodeId([10, 2, 0, 12].into());
    let elsewhere = ItemResult { item: 3, status: 307, node: Some(other) };
    assert_eq!(result(0, 201).line(), "{\"i\":0,\"status\":201}\n");
    assert_eq!(elsewhere.line(), "{\"i\":3,\"status\":307,\"node\":\"10.2.0.12\"}\n");
    let long = " ".repeat(2000);
    let text = format!(
        "\n\r\n{}\n{}{}{}nonsense\n{long}\n{{\"i\":9,\"status\":200}}\n{{\"i\":2,\"status\":42}}\n{{\"i\":2,",
        result(0, 201).line(),
        elsewhere.line(),
        result(1, 409).line(),
        result(1, 500).line(),
    );
    let expected = vec![Ok(result(0, 201)), Ok(elsewhere), Ok(result(1, 409))];
    for size in [1, 7, 1000, 100_000] {
        let mut results = Results::of(5);
        let told: Vec<_> =
            text.as_bytes().chunks(size).flat_map(|piece| results.push(piece)).collect();
        let good: Vec<_> = told.iter().filter(|told| told.is_ok()).copied().collect();
        assert_eq!(good, expected);
        let lines = told.iter().filter_map(|told| told.err().map(|bad| bad.line));
        assert_eq!(lines.collect::<Vec<_>>(), [6, 7, 8, 9, 10]);
        assert_eq!(results.missing().collect::<Vec<_>>(), [2, 4]);
    }
}

#[test]
fn a_batch_is_handed_over_and_its_objects_are_fetched_by_ticket() {
    let source = ([10, 1, 0, 11], 80).into();
    let batch = |stay| Retrieve { route: route(), source, stay };
    assert_eq!(read_retrieve(split(&encode_retrieve(&batch(true)).0).1), Ok(Some(batch(true))));
    let (target, headers) = encode_retrieve(&batch(false));
    assert_eq!(headers.text("content-type"), Some("application/x-ndjson"));
    assert_eq!(read_retrieve(split(&target).1), Ok(Some(batch(false))));
    assert_eq!(read_retrieve("domain=a"), Ok(None));
    assert!(read_retrieve("retrieve&source=a&replicate-from=a&replicate-to=b").is_err());

    let import = picture(list(&[("content-TYPE", "t")]));
    let (target, headers) = encode_fetch(&import.identity, TICKET, &route());
    let (path, query) = split(&target);
    let asked = read_fetch(path, query, &carried(&headers, true));
    assert_eq!(asked, Ok((route(), import.identity.clone(), TICKET)));
    let shown = format!("{target} {headers:?} {asked:?} {:?}", version("x"));
    assert!(!shown.to_ascii_lowercase().contains("feedface"), "{shown}");

    let answer = carried(&encode_fetched(&import.identity, &import.meta, import.stamp), false);
    assert_eq!(read_fetched(&import.identity, &answer), Ok(import.clone()));
    let mut other = import.identity;
    other.cid = Some(uuid(1));
    assert_eq!(read_fetched(&other, &answer).expect_err("another").field, "answer");
}

#[test]
fn a_request_of_a_client_has_no_route() {
    assert_eq!(Route::read("domain=a&admin"), Ok(None));
    assert_eq!(Route::read(""), Ok(None));
    assert_eq!(Route::read("Replicate-From=east&replicate-to=west+%26%20more"), Ok(Some(route())));
    assert!(Route::read("replicate-to=b").is_err() && Route::read("replicate-from=a").is_err());
}

/// Names that objects have, in any spelling, and some that no client could store.
fn header_name() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "content-type",
        "content-md5",
        "lifepoint",
        "x-a-meta",
        "x-acme-meta-b_1",
        "policy-replicas",
        "castor-stream-type",
        "cache-control",
        "expires",
        "allow",
        "host",
        "etag",
        "content-length",
        "castor-system-names",
        "castor-system-value",
    ]);
    let spelt = (known, any::<u32>()).prop_map(|(name, upper)| {
        let letter = |(nth, letter): (usize, char)| match upper >> (nth % 32) & 1 {
            0 => letter,
            _ => letter.to_ascii_uppercase(),
        };
        name.chars().enumerate().map(letter).collect::<String>()
    });
    prop_oneof![3 => spelt, 1 => "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}", 1 => "[xX]-[a-z]{1,4}-Meta"]
}

/// Values as they are stored: trimmed, and not necessarily UTF-8.
fn header_value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![0x20..0x7fu8, 0x80..=0xffu8, Just(b'\t'), Just(b','), Just(b'%')];
    prop::collection::vec(byte, 0..30).prop_map(|value| value.trim_ascii().to_vec())
}

fn headers(most: usize) -> impl Strategy<Value = HeaderList> {
    prop::collection::vec((header_name(), header_value()), 0..=most).prop_map(|fields| {
        let mut list = HeaderList::default();
        for (name, value) in fields {
            list.push(name, value);
        }
        list
    })
}

fn any_name() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec!["..", " ", "%", "+", "a b ", "/", "//a//", "\r\nX: y"]);
    prop_oneof![4 => any::<String>(), 1 => odd.prop_map(str::to_owned), 1 => "[ %]{1,9000}"]
        .prop_filter("names are not empty", |name| !name.is_empty())
}

fn any_import(most: usize) -> impl Strategy<Value = Import> {
    let kinds = prop::sample::select(vec![
        ObjectKind::Immutable,
        ObjectKind::Alias,
        ObjectKind::Named,
        ObjectKind::Bucket,
        ObjectKind::Domain,
    ]);
    let ids = (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 16]>(), any::<bool>());
    let texts = (any_name(), any_name(), any::<String>(), any::<Option<String>>());
    let rest = (any::<u64>(), any::<u64>(), any::<[u8; 16]>(), headers(most));
    (kinds, ids, texts, rest).prop_map(|(kind, ids, texts, rest)| {
        let (id, alias, cid, tenanted) = ids;
        let (name, bucket, cluster, owner) = texts;
        let (version, length, digest, headers) = rest;
        let named = kind == ObjectKind::Named || kind.is_context();
        let name = if kind.is_context() { name.replace('/', "|") } else { name };
        let cid = match kind {
            ObjectKind::Domain => Some(Uuid::ROOT),
            _ if named || tenanted => Some(Uuid::from_bytes(cid)),
            _ => None,
        };
        let has_alias = kind.is_mutable() && kind != ObjectKind::Named;
        let meta = ObjectMeta {
            kind,
            alias: has_alias.then_some(Uuid::from_bytes(alias)),
            cid,
            name: named.then_some(name),
            cluster,
            owner,
            headers,
            length,
            digest,
        };
        let in_domain = cid.is_some() && kind != ObjectKind::Domain;
        let place = Place {
            domain: in_domain.then(|| "acme.example".to_owned()),
            bucket: (kind == ObjectKind::Named).then(|| bucket.replace('/', "|")),
        };
        let identity = Identity::of(StreamId::from_bytes(id), &meta, place);
        let stamp = Stamp { version: Version(version), etag: Etag::from_bytes(id) };
        Import { identity, stamp, meta }
    })
}

/// A field of ours with anything in it, or anything at all.
fn garbage() -> impl Strategy<Value = HeaderList> {
    let ours = prop::sample::select(vec![
        KIND,
        CID,
        NAME,
        ALIAS,
        UUID,
        VERSION,
        ETAG,
        CLUSTER,
        OWNER,
        LENGTH,
        DIGEST,
        HELD,
        NAMES,
        VALUE,
        AUTH,
        "Server",
        "Retry-After",
    ]);
    let name = prop_oneof![4 => ours.prop_map(str::to_owned), 1 => any::<String>()];
    let likely =
        prop::sample::select(vec!["named", "domain", "intact", "1.000", "=a,b,=", "%", "\""]);
    let value = prop_oneof![
        any::<Vec<u8>>(),
        likely.prop_map(|text| text.as_bytes().to_vec()),
        "[0-9a-f]{32}".prop_map(String::into_bytes),
    ];
    prop::collection::vec((name, value), 0..20).prop_map(|fields| {
        let mut list = HeaderList::default();
        for (name, value) in fields {
            list.push(name, value);
        }
        list
    })
}

fn reads_without_panic(path: &str, query: &str, headers: &HeaderList) {
    let _ = Route::read(query);
    let _ = read_import(path, query, headers);
    let _ = read_probe(path, query, headers);
    let _ = read_fetch(path, query, headers);
    let _ = read_delete(query, headers);
    let _ = read_retrieve(query);
    let _ = read_held(headers);
    let _ = read_fetched(&picture(HeaderList::default()).identity, headers);
    let _ = greet(headers, &"west".into(), Mode::Post);
    let _ = read_answer(412, headers, &"west".into(), Timestamp::from_secs(0));
    let _ = restore_headers(headers, query);
}

proptest! {
    /// Setting Remote Synchronous Write: the copy has the same UUID and metadata as the original in every cluster.
    #[test]
    fn whatever_is_stored_arrives_as_it_is(import in any_import(60), title_case: bool) {
        let (target, sent) = encode(&import);
        let got = carried(&sent, title_case);
        let mut expected = import.clone();
        if split(&target).0 == "/" {
            // Too long for a line; for the others it was none anyway.
            expected.identity.place.bucket = None;
        }
        prop_assert_eq!(read(&target, &got), Ok((route(), expected)));
        prop_assert!(target.parse::<http::Uri>().is_ok(), "{}", target);
        let answer = carried(&encode_fetched(&import.identity, &import.meta, import.stamp), false);
        prop_assert_eq!(read_fetched(&import.identity, &answer), Ok(import.clone()));
        let (target, probe) = encode_probe(&import.identity, &route());
        let (path, query) = split(&target);
        let (_, asked) = read_probe(path, query, &carried(&probe, title_case)).expect("a probe");
        prop_assert_eq!(asked.uuid, import.identity.uuid);
        prop_assert_eq!(asked.name, import.identity.name);
    }

    /// It would persist: a copy must not have a header that the original has not.
    #[test]
    fn a_digest_of_the_body_is_never_added(import in any_import(20)) {
        let count = |list: &HeaderList| list.all("content-md5").count();
        prop_assert_eq!(count(&encode(&import).1), count(&import.meta.headers));
    }

    #[test]
    fn items_come_out_as_they_went_in(imports in prop::collection::vec(any_import(0), 0..8)) {
        let mut batch = Batch::default();
        let mut items = Vec::new();
        for import in imports {
            let deletion = Deletion {
                stream: StreamId::from_bytes(import.meta.digest),
                kind: import.meta.kind,
                stamp: import.stamp,
                alias: import.meta.alias,
                cid: import.meta.cid,
                name: import.meta.name.clone(),
            };
            let Import { identity, stamp, .. } = import;
            let version = Item::Version { identity, stamp, ticket: TICKET };
            for item in [version, Item::Delete(deletion)] {
                if batch.push(&item) == Pushed::Taken {
                    items.push(Ok(item));
                }
            }
        }
        let shown = format!("{batch:?} {items:?}");
        prop_assert!(!shown.contains("cafebeef"));
        prop_assert_eq!(batch.len(), items.len());
        prop_assert_eq!(read_items(&batch.into_body()), Ok(items));
    }

    #[test]
    fn nothing_panics_on_garbage(
        path in any::<String>(),
        query in "(&?(replicate-from|replicate-to|domain|stream|source|retrieve|%)=?[^&]{0,5}){0,6}",
        headers in garbage(),
        lines in any::<Vec<u8>>(),
    ) {
        reads_without_panic(&path, &query, &headers);
        let _ = read_items(&lines);
        Results::of(3).push(&lines);
    }

    /// As one byte of it is changed, or a field is lost.
    #[test]
    fn nothing_panics_on_what_is_nearly_right(
        import in any_import(5),
        field: prop::sample::Index,
        at: prop::sample::Index,
        byte: Option<u8>,
    ) {
        let (target, mut headers) = encode(&import);
        let nth = field.index(headers.0.len());
        match byte {
            None => drop(headers.0.remove(nth)),
            Some(byte) => {
                let mut value = headers.0[nth].value.to_vec();
                if !value.is_empty() {
                    let at = at.index(value.len());
                    value[at] = byte;
                }
                headers.0[nth].value = value.into();
            }
        }
        let (path, query) = split(&target);
        reads_without_panic(path, query, &headers);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// SCSP Headers: 500 headers.
    #[test]
    fn five_hundred_of_them_arrive_too(stored in headers(500), title_case: bool) {
        let import = picture(stored);
        let (target, sent) = encode(&import);
        prop_assert_eq!(read(&target, &carried(&sent, title_case)), Ok((route(), import)));
    }
}
