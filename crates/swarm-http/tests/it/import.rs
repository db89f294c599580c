//! What another cluster's feeds ask of a node, in bytes.

use std::net::SocketAddr;
use std::time::Duration;

use md5::{Digest as _, Md5};
use swarm_feeds::result::{Delivery, Op, of_answer};
use swarm_feeds::wire::{
    Batch, Deletion, Identity, Import, Item, ItemResult, Place, Results, Retrieve, Route,
    encode_delete, encode_import, encode_probe, encode_retrieve, read_answer, read_held,
};
use swarm_node::api::Reply;
use swarm_node::names::stream_of;
use swarm_node::{ImportRequest, Stay};
use swarm_plan::feeds::Held;
use swarm_types::{Etag, HeaderList, ObjectKind, ObjectMeta, Stamp, Timestamp, Uuid, Version};

use crate::cluster::{ADMIN, Answer, Cluster, East, request};

/// A version of the cluster `east`, with its body.
#[derive(Clone)]
struct Thing {
    import: Import,
    body: Vec<u8>,
}

/// An unnamed object with these headers.
fn thing(byte: u8, headers: &[(&str, &str)], body: &[u8]) -> Thing {
    let mut list = HeaderList::default();
    headers.iter().for_each(|(name, value)| list.push(*name, value.to_string()));
    let mut sorted: Vec<_> = headers.to_vec();
    sorted.sort_by_key(|(name, _)| name.to_ascii_lowercase());
    let mut digest = Md5::new();
    for (name, value) in sorted {
        digest.update(format!("{name}: {value}\r\n"));
    }
    digest.update("\r\n");
    digest.update(body);
    let uuid = Uuid::from_bytes([byte; 16]);
    let meta = ObjectMeta {
        kind: ObjectKind::Alias,
        alias: Some(uuid),
        cid: None,
        name: None,
        cluster: "east".to_owned(),
        owner: Some("jane@acme".to_owned()),
        headers: list,
        length: body.len() as u64,
        digest: digest.finalize().into(),
    };
    let identity = Identity {
        kind: ObjectKind::Alias,
        uuid: Some(uuid),
        cid: None,
        name: None,
        place: Place::default(),
    };
    let stamp = Stamp { version: Version(1_767_225_600_123), etag: Etag::from_bytes([byte; 16]) };
    Thing { import: Import { identity, stamp, meta }, body: body.to_vec() }
}

/// A domain.
fn domain(byte: u8, name: &str) -> Thing {
    let mut domain = thing(byte, &[], b"");
    let (kind, cid, name) = (ObjectKind::Domain, Some(Uuid::ROOT), Some(name.to_owned()));
    let Import { identity, meta, .. } = &mut domain.import;
    (identity.kind, identity.cid, identity.name) = (kind, cid, name.clone());
    (meta.kind, meta.cid, meta.name) = (kind, cid, name);
    domain
}

fn route(to: &str) -> Route {
    Route { from: "east".into(), to: to.into() }
}

/// A batch for a cluster whose objects are fetched there.
fn handed_over(to: &str, source: SocketAddr) -> (String, HeaderList) {
    encode_retrieve(&Retrieve { route: route(to), source, stay: false })
}

/// The lines of fields as a client of another making sends them: names in lower case and in the order of the alphabet.
fn lines(headers: &HeaderList) -> Vec<String> {
    let mut fields: Vec<_> = headers.iter().collect();
    fields.sort_by_key(|field| field.name.to_ascii_lowercase());
    let text = |field: &swarm_types::Header| {
        format!("{}: {}", field.name.to_ascii_lowercase(), field.text().expect("text"))
    };
    fields.into_iter().map(text).collect()
}

fn ask(
    cluster: &mut Cluster,
    node: u8,
    verb: &str,
    (target, headers): &(String, HeaderList),
    body: &[u8],
) -> Answer {
    let lines = lines(headers);
    let with: Vec<&str> = std::iter::once(ADMIN).chain(lines.iter().map(String::as_str)).collect();
    cluster.ask(node, &format!("{verb} {target}"), &with, body)
}

fn import_of(thing: &Thing, to: &str) -> (String, HeaderList) {
    let Import { identity, stamp, meta } = &thing.import;
    encode_import(identity, meta, *stamp, &route(to))
}

fn bring(cluster: &mut Cluster, node: u8, thing: &Thing) -> Answer {
    ask(cluster, node, "POST", &import_of(thing, "main"), &thing.body)
}

fn header_list(answer: &Answer) -> HeaderList {
    let mut list = HeaderList::default();
    answer.fields.iter().for_each(|(name, value)| list.push(name.clone(), value.clone()));
    list
}

/// What the source makes of an answer.
fn understood(op: Op, answer: &Answer) -> Delivery {
    let headers = header_list(answer);
    of_answer(op, read_answer(answer.status, &headers, &"main".into(), Timestamp::from_secs(0)))
}

fn probe(cluster: &mut Cluster, node: u8, thing: &Thing) -> Option<Held> {
    let asked = encode_probe(&thing.import.identity, &route("main"));
    let answer = ask(cluster, node, "HEAD", &asked, b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    read_held(&header_list(&answer))
}

fn get(cluster: &mut Cluster, node: u8, thing: &Thing) -> Answer {
    let uuid = thing.import.identity.uuid.expect("it is unnamed");
    cluster.ask(node, &format!("GET /{uuid}"), &[], b"")
}

/// Setting Remote Synchronous Write: the same UUID and metadata; Content Metadata: `Castor-System-Cluster` is the origin.
#[test]
fn a_version_arrives_as_it_was_whatever_clients_do_to_names() {
    let mut cluster = Cluster::of(3, 1);
    let headers = [
        ("X-Custom-META-Colour", "Blue"),
        ("x-custom-meta-colour", "green"),
        ("Content-type", "image/TIFF"),
        ("Cache-Control", "no-cache-context"),
        ("LifePoint", "[] reps=2, deletable=no"),
        ("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
    ];
    let thing = thing(7, &headers, b"body");
    assert_eq!(probe(&mut cluster, 2, &thing), Some(Held::Nothing));
    let created = bring(&mut cluster, 1, &thing);
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.must("castor-system-version"), "1767225600.123");
    assert_eq!(understood(Op::Write, &created), Delivery::Done { already: false });
    let stamp = thing.import.stamp;
    let stays = "LifePoint and all: what was written there is not judged here";
    for node in 1..=3 {
        let read = get(&mut cluster, node, &thing);
        assert_eq!((read.status, &*read.body), (200, &b"body"[..]), "{stays}");
        for (name, value) in headers {
            assert!(read.fields.contains(&(name.to_owned(), value.to_owned())), "{name}: {read:?}");
        }
        assert_eq!(read.must("castor-system-cluster"), "east");
        assert_eq!(read.must("castor-system-owner"), "jane@acme");
        assert_eq!(read.must("castor-system-version"), "1767225600.123");
        assert_eq!(read.must("last-modified"), "Thu, 01 Jan 2026 00:00:00 GMT");
        assert_eq!(read.must("etag"), format!("\"{}\"", stamp.etag));
        assert_eq!(read.field("castor-system-names"), None, "{read:?}");
        assert_eq!(probe(&mut cluster, node, &thing), Some(Held::Version { stamp, intact: true }));
        let again = bring(&mut cluster, node, &thing);
        assert_eq!(again.error(), (409, "UpdateConflict"));
        assert_eq!(understood(Op::Write, &again), Delivery::Done { already: true });
    }
}

/// SCSP Headers: an object may have 500 headers, and it has them in another cluster too.
#[test]
fn an_object_with_500_headers_travels_whole() {
    let mut cluster = Cluster::of(3, 2);
    let names: Vec<String> = (0..500).map(|nth| format!("X-Nr{nth}-Meta")).collect();
    let headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    let thing = thing(8, &headers, b"");
    let created = bring(&mut cluster, 2, &thing);
    assert_eq!(created.status, 201, "{created:?}");
    let read = get(&mut cluster, 3, &thing);
    let stored = read.names().into_iter().filter(|name| name.ends_with("-Meta")).count();
    assert_eq!((read.status, stored), (200, 500));
    assert!(names.iter().all(|name| read.names().contains(&name.as_str())), "as they are spelled");
}

/// Only administrators take part in replication (Replicating Domains to Other Clusters).
#[test]
fn nobody_but_an_administrator_brings_asks_or_deletes() {
    let mut cluster = Cluster::of(1, 3);
    let thing = thing(9, &[], b"body");
    let import = import_of(&thing, "main");
    let asked = encode_probe(&thing.import.identity, &route("main"));
    let deletion = deletion(&thing, 1);
    let delete = encode_delete(&deletion, &route("main"));
    let batch = handed_over("main", ([10, 2, 0, 1], 80).into());
    for (verb, (target, headers)) in
        [("POST", import), ("HEAD", asked), ("DELETE", delete), ("GET", batch)]
    {
        for target in [target.clone(), target.replace("admin&", "").replace("&admin", "")] {
            let lines = lines(&headers);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let body = if verb == "POST" { &thing.body[..] } else { b"" };
            let answer = cluster.ask(1, &format!("{verb} {target}"), &lines, body);
            assert_eq!(answer.status, 401, "{verb} {target}: {answer:?}");
            let digest = answer.must("www-authenticate").to_owned();
            assert!(digest.starts_with("Digest realm=\"CAStor administrator\""), "{digest}");
        }
    }
    assert_eq!(get(&mut cluster, 1, &thing).status, 404);
}

fn deletion(thing: &Thing, later: u64) -> Deletion {
    let Import { identity, stamp, .. } = &thing.import;
    Deletion {
        stream: stream_of(identity).expect("it has a UUID"),
        kind: identity.kind,
        stamp: Stamp { version: Version(stamp.version.0 + later), ..*stamp },
        alias: identity.uuid,
        cid: None,
        name: None,
    }
}

/// An address may have become another cluster's: nothing is taken there, and the feed hears why.
#[test]
fn what_is_meant_for_another_cluster_is_refused_with_the_name_of_this_one() {
    let mut cluster = Cluster::of(1, 4);
    let thing = thing(10, &[], b"body");
    let west = route("west");
    let deletion = encode_delete(&deletion(&thing, 1), &west);
    let asked = encode_probe(&thing.import.identity, &west);
    let batch = handed_over("west", ([10, 2, 0, 1], 80).into());
    let import = import_of(&thing, "west");
    for (verb, asked) in [("POST", import), ("HEAD", asked), ("DELETE", deletion), ("GET", batch)] {
        let body = if verb == "POST" { &thing.body[..] } else { b"" };
        let refused = ask(&mut cluster, 1, verb, &asked, body);
        assert_eq!(refused.error(), (412, "WrongCluster"), "{verb}");
        assert_eq!(refused.must("castor-system-cluster"), "main");
        let read =
            read_answer(412, &header_list(&refused), &"west".into(), Timestamp::from_secs(0));
        assert!(read.wrong_cluster, "{verb}");
    }
    assert_eq!(get(&mut cluster, 1, &thing).status, 404);
    // A missing context is a 412 as well, and no other cluster.
    let mut named = thing.clone();
    named.import.identity = Identity {
        kind: ObjectKind::Named,
        uuid: None,
        cid: Some(Uuid::from_bytes([1; 16])),
        name: Some("x".to_owned()),
        place: Place { domain: Some("d.example".to_owned()), bucket: Some("b".to_owned()) },
    };
    let meta = &mut named.import.meta;
    (meta.kind, meta.alias) = (ObjectKind::Named, None);
    (meta.cid, meta.name) = (Some(Uuid::from_bytes([1; 16])), Some("x".to_owned()));
    let refused = bring(&mut cluster, 1, &named);
    assert_eq!(refused.error(), (412, "RequiresContext2"), "{refused:?}");
    assert_eq!(understood(Op::Write, &refused), Delivery::Context);
}

/// What did not arrive as it was is not stored.
#[test]
fn a_body_or_a_field_that_changed_on_the_way_is_refused() {
    let mut cluster = Cluster::of(3, 5);
    let good = thing(11, &[("X-A-Meta", "1")], b"body");
    let changed = Thing { body: b"bodY".to_vec(), ..good.clone() };
    assert_eq!(bring(&mut cluster, 1, &changed).error(), (400, "DigestMismatch"));
    let longer = Thing { body: b"body and more".to_vec(), ..good.clone() };
    assert_eq!(bring(&mut cluster, 2, &longer).error(), (400, "InvalidReplication"));
    let (target, mut headers) = import_of(&good, "main");
    headers.push("x-a-meta", "2");
    let added = ask(&mut cluster, 3, "POST", &(target.clone(), headers), &good.body);
    assert_eq!(added.error(), (400, "InvalidReplication"));
    let half = (target.replace("&replicate-to=main", ""), import_of(&good, "main").1);
    let half = ask(&mut cluster, 3, "POST", &half, &good.body);
    assert_eq!(half.error(), (400, "InvalidReplication"));
    assert_eq!(get(&mut cluster, 1, &good).status, 404);
    assert_eq!(bring(&mut cluster, 1, &good).status, 201);
}

/// Deletes come by the id of the stream, and are remembered whatever is here.
#[test]
fn a_delete_arrives_and_stays() {
    let mut cluster = Cluster::of(3, 6);
    let headers = [("Lifepoint", "[] reps=2, deletable=no")];
    let thing = thing(12, &headers, b"body");
    assert_eq!(bring(&mut cluster, 1, &thing).status, 201);
    let mut delete = |later| {
        let asked = encode_delete(&deletion(&thing, later), &route("main"));
        ask(&mut cluster, 2, "DELETE", &asked, b"")
    };
    // Who was allowed to delete it there need not ask here.
    let deleted = delete(5);
    assert_eq!((deleted.status, deleted.must("content-length")), (200, "0"));
    assert_eq!(understood(Op::Delete, &deleted), Delivery::Done { already: false });
    for later in [5, 4] {
        assert_eq!(understood(Op::Delete, &delete(later)), Delivery::Done { already: true });
    }
    assert_eq!(get(&mut cluster, 3, &thing).status, 404);
    assert_eq!(bring(&mut cluster, 3, &thing).error(), (409, "UpdateConflict"));
}

/// Stores something in the other cluster, for an item of a batch.
fn stored_on_east(cluster: &mut Cluster, east: &East, thing: &Thing) -> Item {
    let request = ImportRequest {
        route: Route { from: "north".into(), to: "east".into() },
        import: thing.import.clone(),
        nonce: None,
        stay: Stay::Always,
    };
    let body = thing.body.clone();
    let ticket = cluster.on_east(east, move |node| async move {
        let id = stream_of(&request.import.identity).expect("all that it needs");
        let Ok(Reply::Served(mut session)) = node.begin_import(request).await else {
            panic!("a cluster of one node");
        };
        session.write(body.into()).await.expect("room");
        session.finish().await.expect("stored");
        node.ticket(id)
    });
    Item::Version { identity: thing.import.identity.clone(), stamp: thing.import.stamp, ticket }
}

/// Hands a batch to a node, and hears what came of its items.
fn fetched(
    cluster: &mut Cluster,
    node: u8,
    (target, headers): &(String, HeaderList),
    batch: &[u8],
    items: usize,
) -> Vec<ItemResult> {
    let lines = lines(headers);
    let with: Vec<&str> = std::iter::once(ADMIN).chain(lines.iter().map(String::as_str)).collect();
    let bytes = request(&format!("GET {target}"), &with, batch);
    let (answer, pieces) = cluster.talk(node, move |mut talk| async move {
        talk.say(&bytes).await;
        talk.hear_chunks().await
    });
    assert_eq!((answer.status, answer.must("content-type")), (200, "application/x-ndjson"));
    let mut results = Results::of(items);
    let mut said: Vec<ItemResult> = pieces
        .iter()
        .flat_map(|piece| results.push(piece))
        .map(|line| line.expect("a result"))
        .collect();
    assert_eq!(results.missing().count(), 0);
    said.sort_by_key(|result| result.item);
    said
}

/// SCSP SEND - Legacy: the target may be a reverse proxy, through which no node can be named. Writes of one domain go to one node;
/// where that cannot be reached, whoever has fetched the domain keeps it.
#[test]
fn a_domain_that_is_to_stay_is_stored_by_whichever_node_fetched_it() {
    let mut cluster = Cluster::of(3, 10);
    let east = cluster.and_east();
    let domains: Vec<Thing> =
        (1..=6).map(|byte| domain(byte, &format!("d{byte}.example"))).collect();
    let mut batch = Batch::default();
    for domain in &domains {
        batch.push(&stored_on_east(&mut cluster, &east, domain));
    }
    let (items, text) = (batch.len(), batch.into_body());
    let over = |stay| {
        let source = ([10, 2, 0, 1], 80).into();
        encode_retrieve(&Retrieve { route: route("main"), source, stay })
    };
    let first = fetched(&mut cluster, 2, &over(false), &text, items);
    let led = first.iter().filter(|result| result.status == 307).count();
    assert!(led > 0 && led < items, "{first:?}");
    assert!(first.iter().all(|result| result.node.is_some() == (result.status == 307)));
    let second = fetched(&mut cluster, 2, &over(true), &text, items);
    for (first, second) in first.iter().zip(&second) {
        let expected = if first.status == 307 { 201 } else { 409 };
        assert_eq!((first.status == 307 || first.status == 201, second.status), (true, expected));
    }
    for domain in &domains {
        let held = Held::Version { stamp: domain.import.stamp, intact: true };
        assert_eq!(probe(&mut cluster, 1, domain), Some(held));
    }
}

/// Managing and Optimizing Feeds: the target is handed a batch and fetches what it wants of it.
#[test]
fn a_batch_is_fetched_from_the_cluster_that_hands_it_over() {
    let mut cluster = Cluster::of(3, 7);
    let east = cluster.and_east();
    let body: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let things = [
        thing(1, &[("X-Custom-META-Colour", "Blue"), ("Cache-Control", "no-cache")], b"small"),
        thing(2, &[("Content-Type", "text/plain")], &body),
        thing(3, &[], b""),
    ];
    let known = thing(4, &[], b"known");
    let gone = thing(5, &[], b"gone");
    let dead = thing(6, &[], b"dead");
    let mut batch = Batch::default();
    for thing in things.iter().chain([&known]) {
        batch.push(&stored_on_east(&mut cluster, &east, thing));
    }
    let id = stream_of(&gone.import.identity).expect("it has a UUID");
    let ticket = cluster.on_east(&east, move |node| async move { node.ticket(id) });
    let (identity, stamp) = (gone.import.identity.clone(), gone.import.stamp);
    batch.push(&Item::Version { identity: identity.clone(), stamp, ticket });
    // A ticket that nobody signed.
    let ticket = swarm_feeds::wire::Ticket(5);
    batch.push(&Item::Version {
        identity: things[0].import.identity.clone(),
        stamp: Stamp { version: Version(u64::MAX), ..stamp },
        ticket,
    });
    batch.push(&Item::Delete(deletion(&dead, 1)));
    assert_eq!(bring(&mut cluster, 1, &known).status, 201);
    assert_eq!(bring(&mut cluster, 1, &dead).status, 201);

    let over = handed_over("main", ([10, 2, 0, 1], 80).into());
    let items = batch.len();
    let mut text = batch.into_body().to_vec();
    text.extend_from_slice(b"nonsense\n");
    let said = fetched(&mut cluster, 2, &over, &text, items + 1);
    let statuses: Vec<u16> = said.iter().map(|result| result.status).collect();
    assert_eq!(statuses, [201, 201, 201, 409, 404, 404, 200, 400]);
    for thing in &things {
        let read = get(&mut cluster, 3, thing);
        assert_eq!((read.status, &read.body), (200, &thing.body));
        let stored = thing.import.meta.headers.iter();
        for field in stored {
            assert!(read.names().contains(&field.name.as_str()), "{read:?}");
        }
        assert_eq!(read.must("castor-system-cluster"), "east");
    }
    assert_eq!(get(&mut cluster, 1, &dead).status, 404);
}

/// While items take their time, whoever waits hears that the batch goes on; one whose source is silent fails.
#[test]
fn a_batch_whose_source_is_silent_keeps_its_connection_and_says_so_in_the_end() {
    for interval in [10, 2] {
        let setting = interval.to_string();
        let cluster = Cluster::with_settings(1, 8, &[("scsp.keepAliveInterval", setting.as_str())]);
        let (signs, took) = signs_of_life(cluster);
        let due = took.as_secs() / interval;
        assert!(took.as_secs() >= 60, "it is patient: {took:?}");
        assert!(
            (due - 1..=due).contains(&signs),
            "{signs} at intervals of {interval} s in {took:?}"
        );
    }
}

/// How often it says that it goes on with a batch whose source is silent, and how long that takes.
fn signs_of_life(mut cluster: Cluster) -> (u64, Duration) {
    let thing = thing(1, &[], b"body");
    let (identity, stamp) = (thing.import.identity.clone(), thing.import.stamp);
    let mut batch = Batch::default();
    batch.push(&Item::Version { identity, stamp, ticket: swarm_feeds::wire::Ticket(1) });
    let (target, headers) = handed_over("main", cluster.silence());
    let lines = lines(&headers);
    let with: Vec<&str> = std::iter::once(ADMIN).chain(lines.iter().map(String::as_str)).collect();
    let bytes = request(&format!("GET {target}"), &with, &batch.into_body());
    let (pieces, took) = cluster.talk(1, move |mut talk| async move {
        let begun = talk.now();
        talk.say(&bytes).await;
        let (_, pieces) = talk.hear_chunks().await;
        (pieces, talk.now().since(begun))
    });
    let (last, waits) = pieces.split_last().expect("a result");
    assert!(waits.iter().all(|piece| piece == b"\n"), "{waits:?}");
    assert_eq!(last.as_slice(), b"{\"i\":0,\"status\":504}\n");
    (waits.len() as u64, took)
}
