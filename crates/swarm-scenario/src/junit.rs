//! Results in the form that build servers read: a suite per scenario, a case per seed.

use std::collections::BTreeMap;

use crate::report::{RunReport, Verdict};

/// All runs as one document.
#[must_use]
pub fn junit(reports: &[RunReport]) -> String {
    let mut suites: BTreeMap<&str, Vec<&RunReport>> = BTreeMap::new();
    for report in reports {
        suites.entry(&report.scenario).or_default().push(report);
    }
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (scenario, reports) in suites {
        let count = |verdict: fn(&Verdict) -> bool| {
            reports.iter().filter(|report| verdict(&report.verdict)).count()
        };
        let wall: f64 = reports.iter().map(|report| report.wall.as_secs_f64()).sum();
        text.push_str(&format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{wall:.3}\">\n",
            escaped(scenario),
            reports.len(),
            count(|verdict| *verdict == Verdict::Failed),
            count(|verdict| matches!(verdict, Verdict::Wrong(_) | Verdict::Harness(_))),
            count(|verdict| *verdict == Verdict::Inconclusive),
        ));
        for report in reports {
            text.push_str(&case(report));
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn case(report: &RunReport) -> String {
    let head = format!(
        "    <testcase classname=\"{}\" name=\"seed {}\" time=\"{:.3}\"",
        escaped(&report.scenario),
        report.seed,
        report.wall.as_secs_f64()
    );
    let told = || escaped(&report.told().join("\n"));
    let inner = match &report.verdict {
        Verdict::Held => return format!("{head}/>\n"),
        Verdict::Failed => {
            let first = report.story.first().map_or("failed", String::as_str);
            format!("<failure message=\"{}\">{}</failure>", escaped(first), told())
        }
        Verdict::Wrong(why) | Verdict::Harness(why) => {
            format!("<error type=\"{}\" message=\"{}\"/>", report.verdict.word(), escaped(why))
        }
        Verdict::Inconclusive => "<skipped message=\"the wall limit ended it\"/>".to_owned(),
    };
    format!("{head}>\n      {inner}\n    </testcase>\n")
}

/// Text for an attribute or an element; what XML cannot carry at all becomes a question mark.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(letter),
            letter if letter.is_control() => out.push('?'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::catalogue::Loaded;
    use crate::simulate::Options;

    fn report(seed: u64, verdict: Verdict, story: &[&str]) -> RunReport {
        let text = "schema = 1\ntitle = \"t\"\nwhy = \"w\"\n[cluster.main]\nnodes = 1\n";
        let scenario = crate::language::read("rot.toml", text).expect("reads");
        let loaded = Arc::new(Loaded { path: "rot.toml".to_owned(), scenario, checksum: 7 });
        let options = Options { seed, ..Options::default() };
        let mut report = RunReport::without_result(&loaded, &options, verdict);
        report.story = story.iter().map(|line| (*line).to_owned()).collect();
        report.wall = Duration::from_millis(250);
        report
    }

    #[test]
    fn every_seed_is_a_case_of_its_scenario_and_tells_why_it_failed() {
        let text = junit(&[
            report(1, Verdict::Held, &[]),
            report(2, Verdict::Failed, &["durable: a < b & \"c\"", "  \u{1b}fault"]),
            report(3, Verdict::Harness("two runs differ".to_owned()), &[]),
            report(4, Verdict::Inconclusive, &[]),
        ]);
        for part in [
            "<testsuite name=\"rot\" tests=\"4\" failures=\"1\" errors=\"1\" skipped=\"1\" time=\"1.000\">",
            "<testcase classname=\"rot\" name=\"seed 1\" time=\"0.250\"/>",
            "<failure message=\"durable: a &lt; b &amp; &quot;c&quot;\">durable: a &lt; b &amp; &quot;c&quot;\n  ?fault",
            "replay: cargo xtask scenario replay rot.toml:2:00000007</failure>",
            "<error type=\"harness\" message=\"two runs differ\"/>",
            "<skipped message=",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        assert_eq!(text.matches("<testcase").count(), 4);
        assert!(text.ends_with("</testsuites>\n"));
    }
}
