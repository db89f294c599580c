//! The cluster's administrator (Defining Swarm Admins, Swarm Users, and Swarm Passwords).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::talk::{ADMIN, CONTEXT, Heard, told, told_with};

fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// Two challenges, Digest first (SCSP SEND - Legacy); no triple; an empty text, 53 bytes.
fn assert_challenged(heard: &Heard, why: &str) {
    assert_eq!(heard.line, "401 Unauthorized", "{why}");
    let challenges = heard.all("www-authenticate");
    let [digest, basic] = challenges[..] else { panic!("{why}: {challenges:?}") };
    assert!(
        digest.starts_with("Digest realm=\"CAStor administrator\", nonce=\""),
        "{why}: {digest}"
    );
    assert!(digest.ends_with("\", stale=false, qop=\"auth\", algorithm=MD5"), "{why}: {digest}");
    assert_eq!(basic, "Basic realm=\"CAStor administrator\"", "{why}");
    assert_eq!(heard.must("content-length"), "53");
    assert_eq!(heard.text(), "<html><body><h2>CAStor Error</h2><br></body></html>\r\n");
}

/// Manually Creating and Renaming Domains: creating a domain is the administrator's.
#[test]
fn creating_a_domain_needs_the_administrator() {
    told(2, |wire| async move {
        let line = "POST /?domain=acme.example";
        for (why, headers) in [
            ("no credentials", vec![CONTEXT]),
            ("wrong password", vec![CONTEXT, &basic("admin", "wrong")]),
            ("empty password", vec![CONTEXT, &basic("admin", "")]),
            ("unknown user", vec![CONTEXT, &basic("root", "ourpwdofchoicehere")]),
            ("another scheme", vec![CONTEXT, "Authorization: Bearer x"]),
            ("no base64", vec![CONTEXT, "Authorization: Basic ???"]),
        ] {
            assert_challenged(&wire.ask(1, line, &headers, "").await, why);
        }
        assert_challenged(&wire.ask(1, &format!("{line}&createdomain"), &[], "").await, "argument");
        assert_eq!(wire.ask(1, "HEAD /?domain=acme.example", &[], "").await.status, 404);
        assert_eq!(wire.ask(1, line, &[CONTEXT, ADMIN], "").await.status, 201);
        // Everything else is open to everybody.
        assert_eq!(wire.ask(1, "POST /b?domain=acme.example", &[CONTEXT], "").await.status, 201);
        let wrong = basic("admin", "wrong");
        let line = "POST /b/x?domain=acme.example";
        assert_eq!(wire.ask(1, line, &[&wrong], "").await.status, 201, "nobody asked for it");
    });
}

/// DX Admin Guide: `admin` with missing or bad credentials is 401, also where the object is public.
#[test]
fn the_argument_admin_needs_the_administrator() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let target = "/scans/x?domain=acme.example";
        assert_eq!(wire.ask(1, &format!("POST {target}"), &[], "x").await.status, 201);
        let wrong = basic("admin", "wrong");
        for verb in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
            let line = format!("{verb} {target}&admin");
            for headers in [&[][..], &[wrong.as_str()]] {
                let mut talk = wire.dial(1).await;
                talk.say(crate::talk::request(&line, headers, "")).await;
                let heard = talk.hear(&line).await;
                assert_eq!(heard.status, 401, "{line}");
                assert_eq!(heard.all("www-authenticate").len(), 2);
            }
        }
        for verb in ["GET", "HEAD", "PUT", "POST", "DELETE"] {
            let heard = wire.ask(1, &format!("{verb} {target}&admin=yes"), &[ADMIN], "").await;
            assert!(heard.status < 300, "{verb}: {heard:?}");
        }
        let heard = wire.ask(1, &format!("GET {target}&admin=no"), &[], "").await;
        assert_eq!(heard.status, 404, "not asked for");
    });
}

/// DX Admin Guide: what is written under override is the administrator's.
#[test]
fn a_write_under_override_belongs_to_the_administrator() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let target = "/scans/x?domain=acme.example";
        let owner = |read: &Heard| read.field("castor-system-owner").map(str::to_owned);
        assert_eq!(wire.ask(1, &format!("POST {target}&admin"), &[ADMIN], "x").await.status, 201);
        let read = wire.ask(2, &format!("GET {target}"), &[], "").await;
        assert_eq!(owner(&read).as_deref(), Some("admin@CAStor administrator"));
        assert_eq!(wire.ask(1, &format!("POST {target}"), &[ADMIN], "x").await.status, 201);
        let read = wire.ask(2, &format!("GET {target}"), &[], "").await;
        assert_eq!(owner(&read), None, "credentials that nobody asked for");
    });
}

/// DX Admin Guide: passwords in clear text or as HA1; several administrators; colons in passwords.
#[test]
fn administrators_are_those_of_the_setting() {
    // MD5 of "ha:CAStor administrator:secret".
    let administrators = "{'root': 'a:b', 'ha': '6cf4e92b49e5ab6944cfdc9fb1706b9d'}";
    told_with(2, &[("security.administrators", administrators)], |wire| async move {
        let create = |number: u32, credentials: String| {
            let line = format!("POST /?domain=d{number}.example");
            let wire = &wire;
            async move { wire.ask(1, &line, &[CONTEXT, &credentials], "").await.status }
        };
        assert_eq!(create(1, basic("root", "a:b")).await, 201);
        assert_eq!(create(2, basic("ha", "secret")).await, 201);
        assert_eq!(create(3, basic("ha", "6cf4e92b49e5ab6944cfdc9fb1706b9d")).await, 401);
        assert_eq!(create(4, ADMIN.to_owned()).await, 401, "the default administrator is gone");
    });
}

/// Our choice: a domain with all that is in it is deleted only by an administrator.
#[test]
fn deleting_a_domain_needs_the_administrator() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let line = "DELETE /?domain=acme.example&recursive";
        assert_challenged(&wire.ask(1, line, &[], "").await, "no credentials");
        assert_eq!(wire.ask(1, "HEAD /?domain=acme.example", &[], "").await.status, 200);
        assert_eq!(wire.ask(1, line, &[ADMIN], "").await.status, 200);
    });
}
