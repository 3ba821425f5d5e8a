//! Hits for a ticket.

use super::Bench;
use crate::stores::place::stdout;

/// The cells of a line, by the rule that a bar with a backslash before it is text.
fn cells(line: &str) -> Vec<String> {
    let line = line.strip_prefix("| ").unwrap().strip_suffix(" |").unwrap();
    line.replace("\\|", "\u{0}").split(" | ").map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

#[test]
fn a_table_for_a_ticket_has_the_hits() {
    let bench = Bench::with_days(2);
    let out = bench.text("out");
    for (more, filter) in [
        (&[][..], ""),
        (&["--kql"], "WHERE kql_rank = 1"),
        (&["--to", "2024-05-02"], "WHERE window_start < '2024-05-02T00:00:00Z'"),
    ] {
        let printed = bench.passes(&[&["hits", out.as_str(), "--format", "markdown"], more].concat());
        let text = stdout(&printed);
        let lines: Vec<&str> = text.lines().collect();
        let hits = bench.number(&format!("SELECT count(*) FROM hits {filter}"));
        assert_eq!(lines.len() as u64, hits + 2, "{text}");
        assert_eq!(cells(lines[0])[..2], ["UserPrincipalName", "SuccessLogonTime"]);
        assert!(lines[1].split('|').all(|rule| ["", "---", "---:"].contains(&rule.trim())), "{}", lines[1]);
        let expected = bench.query(&format!(
            "SELECT concat('`', UserPrincipalName, '`'), SuccessLogonTime, distribution_count FROM hits {filter} \
             ORDER BY window_start, SuccessLogonTime, FailedLogonTime"
        ));
        for (line, row) in lines[2..].iter().zip(&expected) {
            let cells = cells(line);
            assert_eq!((&cells[0], &cells[1], cells.last().unwrap()), (&row[0], &row[1], &row[2]));
            assert!(!line.contains('…'), "nothing is cut short");
        }
    }
    let chosen = bench.passes(&["hits", &out, "--format", "markdown", "--columns", "ResultType,hit_id"]);
    assert!(stdout(&chosen).starts_with("| ResultType | `hit_id` |\n| --- | --- |\n| `"), "{}", stdout(&chosen));
    let none = bench.passes(&["hits", &out, "--format", "markdown", "--from", "2030-01-01"]);
    assert_eq!(stdout(&none), "no hits\n");
    let diff = bench.passes(&[
        "diff",
        crate::lake::SLUG,
        "--output",
        &out,
        "--from",
        "2024-05-01",
        "--to",
        "2024-05-03",
        "--format",
        "markdown",
    ]);
    assert_eq!(stdout(&diff), "no hits\n", "nothing was done again");
}
