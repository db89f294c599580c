//! Query arguments in general (SCSP Query Arguments).

use crate::talk::told;

/// SCSP Query Arguments: names in any case, booleans in four words, a name alone is true.
#[test]
fn booleans_are_yes_true_no_false_or_nothing() {
    told(2, |wire| async move {
        for (query, alias) in [
            ("alias", true),
            ("ALIAS=Yes", true),
            ("alias=TRUE", true),
            ("alias=no", false),
            ("Alias=False", false),
            ("aliases", false),
        ] {
            let written = wire.ask(1, &format!("POST /?{query}"), &[], "x").await;
            assert_eq!(written.status, 201, "{query}");
            assert_eq!(written.field("castor-system-alias").is_some(), alias, "{query}");
        }
        let refused = wire.ask(1, "POST /?alias=maybe", &[], "x").await;
        assert_eq!(refused.error(), (400, "InvalidQueryArgument"));
    });
}

/// Our choice: arguments that nobody knows are ignored.
#[test]
fn unknown_arguments_are_ignored() {
    told(2, |wire| async move {
        wire.make_bucket().await;
        let query = "?unheard=of&domain=acme.example&&size=7&=x";
        assert_eq!(wire.ask(1, &format!("POST /scans/x{query}"), &[], "x").await.status, 201);
        assert_eq!(wire.ask(2, &format!("GET /scans/x{query}"), &[], "").await.text(), "x");
    });
}

/// SDK client.py: `+` is a blank in values.
#[test]
fn a_plus_in_a_value_is_a_blank() {
    told(1, |wire| async move {
        let refused = wire.ask(1, "GET /scans/x?domain=a+b", &[], "").await;
        assert_eq!(refused.error(), (400, "InvalidName"));
    });
}
