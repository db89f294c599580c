//! `GET /` and `HEAD /`: the node's status.

use crate::talk::{ALLOW, told};

/// SCSP READ; SCSP Compatibility and Support: what the node says of itself, to anybody.
#[test]
fn the_root_is_the_nodes_status() {
    told(2, |wire| async move {
        let page = wire.once(1, "GET /", &[], "").await;
        assert_eq!(page.status, 200);
        assert_eq!(page.must("allow"), ALLOW);
        assert_eq!(page.must("age"), "0");
        assert_eq!(page.must("cache-control"), "no-cache");
        assert_eq!(page.must("content-type"), "text/html");
        assert_eq!(page.must("castor-system-cluster"), "main");
        assert!(page.must("expires").ends_with(" GMT"), "{page:?}");
        let etag = page.must("etag").trim_matches('"');
        assert!(etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit()), "{etag}");
        let gigabytes = |name: &str| page.must(name).parse::<u64>().expect("a whole number");
        let capacity = gigabytes("castor-system-totalgbcapacity");
        assert!(gigabytes("castor-system-totalgbavailable") <= capacity);
        // The fingerprint of scanners.
        let begin = "<html><head><title>CAStor Node Status</title></head><body><h2>CAStor Node IP";
        assert!(page.text().starts_with(begin), "{}", page.text());
        let other = wire.once(1, "GET /", &[], "").await;
        assert_ne!(page.must("etag"), other.must("etag"), "random");
    });
}

/// SCSP INFO: the same without a body.
#[test]
fn head_of_the_root_is_get_without_its_body() {
    told(1, |wire| async move {
        let head = wire.once(1, "HEAD /", &[], "").await;
        let get = wire.once(1, "GET /", &[], "").await;
        assert_eq!(head.names(), get.names());
        assert_eq!(head.status, 200);
        // SDK client.py: with an empty domain it is still the node.
        assert_eq!(wire.once(1, "HEAD /?domain=", &[], "").await.names(), get.names());
    });
}

/// SCSP READ: the page counts operations.
#[test]
fn the_page_counts_operations() {
    told(1, |wire| async move {
        let before = wire.once(1, "GET /", &[], "").await.text();
        let _ = wire.once(1, "GET /none/x", &[], "").await;
        let after = wire.once(1, "GET /", &[], "").await.text();
        let reads = |page: &str| {
            let (_, rest) = page.split_once("<td>reads</td><td>")?;
            rest.split('<').next()?.parse::<u64>().ok()
        };
        assert_eq!(reads(&after), Some(reads(&before).unwrap_or(0) + 1), "{after}");
    });
}
