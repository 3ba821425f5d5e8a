//! What the page says in figures is what queries over the table give.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::browser::{Look, browser};
use super::{Bench, evaluate};

/// What a page shows: figures, tops, calendar and table.
const READ: &str = r##"(() => {
  const text = (node) => node.textContent.trim();
  const all = (selector, of) => Array.from(document.querySelectorAll(selector), of);
  return {
    figures: Object.fromEntries(all(".figures li", (li) => [text(li.querySelector("span")), text(li.querySelector("b"))])),
    tops: Object.fromEntries(all(".top", (top) => [top.dataset.top, {
      distinct: text(top.querySelector(".count")),
      entries: Array.from(top.querySelectorAll("li"), (li) => [text(li.querySelector("bdi")), text(li.querySelector(".hits"))]),
    }])),
    calendar: all(".calendar tbody td[title]", (cell) => cell.title),
    summary: text(document.querySelector("#time p")),
    heads: all("#hits thead th", (head) => head.dataset.name),
    rows: all("#hits tbody tr", (row) => Array.from(row.cells, (cell) => text(cell.querySelector("bdi")))),
    kql: all("#hits tbody tr[data-kql]", () => 1).length,
    moments: all(".moments > li", (li) => Array.from(li.querySelectorAll(".events li"), (event) => [event.className,
      text(event.querySelector("time")), text(event.querySelector("bdi"))])),
    common: all("#common tbody tr", () => 1).length,
    bars: all(".chart .wide rect", () => 1).length,
  };
})()"##;

#[test]
fn the_figures_of_a_page_equal_queries_over_the_table() {
    let bench = Bench::with_days(4);
    let page = bench.page(&[]);
    let Some(browser) = browser() else { return };
    let shown = browser.open(&page, Look::default(), &[evaluate(READ)]).quiet().remove(0);

    let count = |what: &str| bench.number(&format!("SELECT {what} FROM hits")).to_string();
    let hits = count("count(*)");
    assert!(hits.parse::<u64>().unwrap() > 12, "{hits}");
    let figures = &shown["figures"];
    assert_eq!(figures["hits"], json!(hits));
    assert_eq!(figures["users"], json!(count("count(DISTINCT UserPrincipalName)")));
    assert_eq!(figures["IP addresses"], json!(count("count(DISTINCT IPAddress)")));
    assert_eq!(figures["in KQL's own answer, one a key"], json!(count("count(*) FILTER (WHERE kql_rank = 1)")));
    assert_eq!(figures["windows done"], "4 of 4");
    assert_eq!(shown["kql"], bench.number("SELECT count(*) FROM hits WHERE kql_rank = 1"));

    // The most frequent values, each with its hits.
    for column in ["UserPrincipalName", "IPAddress", "SuccessAppDisplayName", "FailedAppDisplayName", "ResultType"] {
        let top = &shown["tops"][column];
        let counted = bench.query(&format!(
            "SELECT {column}, count(*) AS n FROM hits GROUP BY {column} ORDER BY n DESC, {column} LIMIT 10"
        ));
        assert_eq!(top["entries"], json!(counted), "{column}");
        assert_eq!(top["distinct"], json!(count(&format!("count(DISTINCT {column})"))), "{column}");
    }

    // Hits over time.
    let by_day: BTreeMap<String, String> = bench
        .query("SELECT date_format(window_start, '%Y-%m-%d'), count(*) FROM hits GROUP BY 1")
        .into_iter()
        .map(|mut row| (row.remove(0), row.remove(0)))
        .collect();
    let calendar: Vec<Value> = (1..=4)
        .map(|day| {
            let day = format!("2024-05-{day:02}");
            let hits = by_day.get(&day).map_or("0", String::as_str);
            json!(format!("{day}: done, {hits} hit{}", if hits == "1" { "" } else { "s" }))
        })
        .collect();
    assert_eq!(shown["calendar"], json!(calendar));
    let summary = shown["summary"].as_str().unwrap();
    assert!(summary.starts_with(&format!("{hits} hits in {} of 4 days; most in ", by_day.len())), "{summary}");
    let most = by_day.values().map(|hits| hits.parse::<u64>().unwrap()).max().unwrap();
    assert!(summary.contains(&format!(": {most}. Each bar is a day.")), "{summary}");

    // The table has every hit, value for value.
    let heads: Vec<&str> = shown["heads"].as_array().unwrap().iter().map(|head| head.as_str().unwrap()).collect();
    assert_eq!(
        heads,
        [
            "UserPrincipalName",
            "SuccessLogonTime",
            "IPAddress",
            "SuccessAppDisplayName",
            "FailedLogonTime",
            "FailedAppDisplayName",
            "ResultType",
            "ResultDescription",
            "kql_rank",
            "distribution_count",
            "pair_count",
        ]
    );
    let sql = format!("SELECT {} FROM hits ORDER BY window_start, SuccessLogonTime, FailedLogonTime", heads.join(", "));
    let mut expected = bench.query(&sql);
    let mut rows: Vec<Vec<String>> = serde_json::from_value(shown["rows"].clone()).unwrap();
    assert_eq!(rows.len(), expected.len());
    rows.sort();
    expected.sort();
    for (row, expected) in rows.iter().zip(&expected) {
        let expected: Vec<&str> =
            expected.iter().map(|text| if text.is_empty() { "(empty)" } else { text.as_str() }).collect();
        assert_eq!(row, &expected);
    }

    // Timelines: the first hits of each user are there with both of their instants, to the millisecond.
    let mut moments: Vec<Vec<Vec<String>>> = serde_json::from_value(shown["moments"].clone()).unwrap();
    let first = "row_number() OVER (PARTITION BY UserPrincipalName ORDER BY SuccessLogonTime, FailedLogonTime) <= 8";
    let instants = bench.query(&format!(
        "SELECT SuccessLogonTime, SuccessAppDisplayName, FailedLogonTime, FailedAppDisplayName \
         FROM (SELECT *, {first} AS shown FROM hits) WHERE shown"
    ));
    let event = |class: &str, time: &str, app: &str| vec![class.to_owned(), time.to_owned(), app.to_owned()];
    let mut expected: Vec<Vec<Vec<String>>> = instants
        .iter()
        .map(|row| {
            let (success, failure) = (row[0].split_once(' ').unwrap(), row[2].split_once(' ').unwrap());
            // Across midnight the day stands there, too.
            let failed = if success.0 == failure.0 { failure.1 } else { row[2].as_str() };
            vec![event("success", success.1, &row[1]), event("failure", failed, &row[3])]
        })
        .collect();
    moments.sort();
    expected.sort();
    assert_eq!(moments, expected);
    assert!(shown["bars"].as_u64() >= Some(by_day.len() as u64), "{}", shown["bars"]);
    assert!(shown["common"].as_u64() > Some(0), "busy keys are told of");
}

#[test]
fn a_range_and_a_cap_are_heeded_by_the_table_alone_where_they_should() {
    let bench = Bench::with_days(4);
    let Some(browser) = browser() else { return };
    let range = bench.page(&["--from", "2024-05-02", "--to", "2024-05-04"]);
    let shown = browser.open(&range, Look::default(), &[evaluate(READ)]).quiet().remove(0);
    let inside = "FROM hits WHERE window_start >= '2024-05-02T00:00:00Z' AND window_start < '2024-05-04T00:00:00Z'";
    let hits = bench.number(&format!("SELECT count(*) {inside}"));
    assert_eq!(shown["figures"]["hits"], json!(hits.to_string()));
    assert_eq!(shown["figures"]["windows done"], "2 of 2");
    assert_eq!(shown["rows"].as_array().unwrap().len() as u64, hits);

    let capped = bench.page(&["--rows", "3"]);
    let shown = browser.open(&capped, Look::default(), &[evaluate(READ)]).quiet().remove(0);
    let all = bench.number("SELECT count(*) FROM hits");
    assert_eq!(shown["figures"]["hits"], json!(all.to_string()), "figures count all");
    let newest =
        bench.query("SELECT SuccessLogonTime FROM hits ORDER BY window_start DESC, SuccessLogonTime DESC LIMIT 3");
    let rows = shown["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    let mut times: Vec<&str> = rows.iter().map(|row| row[1].as_str().unwrap()).collect();
    times.reverse();
    assert_eq!(times, newest.iter().map(|row| row[0].as_str()).collect::<Vec<_>>());
    let text = super::read(&capped).replace("&#x2f;", "/");
    assert!(text.contains(&format!("This table holds the newest 3 of them; {} older ones are left out.", all - 3)));
    assert!(text.contains(&format!("lakehunt hits {} --job", bench.text("out"))), "and says what prints all");
}
