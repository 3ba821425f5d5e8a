//! How the page works and fits: sorting, filtering, small screens, the dark, paper, no scripts.

use serde_json::{Value, json};

use super::browser::{Look, browser};
use super::{Bench, evaluate};

/// The texts of a column in the rows that are shown, in order.
fn column(index: usize) -> Value {
    evaluate(&format!(
        "Array.from(document.querySelectorAll('#hits tbody tr:not([hidden])'), (row) => row.cells[{index}].querySelector('bdi').textContent)"
    ))
}

fn click_head(index: usize) -> Value {
    json!(["click", format!("#hits thead th:nth-child({}) button", index + 1)])
}

const SHOWN: &str = "document.getElementById('shown').textContent";

#[test]
fn the_table_sorts_and_filters() {
    let bench = Bench::with_days(4);
    let page = bench.page(&[]);
    let Some(browser) = browser() else { return };
    let all = bench.number("SELECT count(*) FROM hits");
    let user =
        bench.query("SELECT UserPrincipalName FROM hits GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1")[0][0].clone();
    let of_user = bench.number(&format!("SELECT count(*) FROM hits WHERE UserPrincipalName = '{user}'"));
    let kql = bench.number("SELECT count(*) FROM hits WHERE kql_rank = 1");
    let steps = [
        // By time, then the other way round; by number; by text.
        click_head(4),
        column(4),
        click_head(4),
        column(4),
        click_head(9),
        column(9),
        click_head(0),
        column(0),
        // By words in any case, in any column.
        json!(["type", "#filter", user.to_uppercase()]),
        column(0),
        evaluate(SHOWN),
        json!(["type", "#filter", " nothing-has-this"]),
        evaluate(SHOWN),
        evaluate(
            "(() => { const filter = document.getElementById('filter'); filter.value = ''; filter.dispatchEvent(new Event('input')); })()",
        ),
        json!(["click", "#kql"]),
        evaluate(SHOWN),
        json!(["click", "#kql"]),
        // By a name among the most frequent, and back.
        json!(["click", "[data-top=UserPrincipalName] button"]),
        column(0),
        evaluate("document.querySelector('.chip bdi').textContent"),
        json!(["click", ".chip"]),
        evaluate(SHOWN),
    ];
    let results = browser.open(&page, Look::default(), &steps).quiet();
    let texts = |index: usize| serde_json::from_value::<Vec<String>>(results[index].clone()).unwrap();
    let ascending = bench.query("SELECT FailedLogonTime FROM hits ORDER BY FailedLogonTime");
    let mut ascending: Vec<String> = ascending.into_iter().map(|mut row| row.remove(0)).collect();
    assert_eq!(texts(0), ascending);
    ascending.reverse();
    assert_eq!(texts(1), ascending);
    let numbers: Vec<u64> = texts(2).iter().map(|text| text.parse().unwrap()).collect();
    assert!(numbers.is_sorted() && numbers.len() as u64 == all, "{numbers:?}");
    assert!(texts(3).len() as u64 == all && texts(3).is_sorted_by_key(|name| name.to_lowercase()), "{:?}", texts(3));
    assert_eq!(texts(4), vec![user.clone(); of_user as usize]);
    assert_eq!(results[5], format!("{of_user} of {all} shown"));
    assert_eq!(results[6], format!("0 of {all} shown"));
    assert_eq!(results[8], format!("{kql} of {all} shown"));
    assert_eq!(texts(9), vec![user.clone(); of_user as usize]);
    assert_eq!(results[10], user);
    assert_eq!(results[11], format!("{all} of {all} shown"));
}

#[test]
fn a_page_fits_phones_and_paper_and_needs_no_scripts() {
    let bench = Bench::with_days(4);
    let page = bench.page(&[]);
    let Some(browser) = browser() else { return };
    let all = bench.number("SELECT count(*) FROM hits");
    let fits = evaluate("[document.documentElement.scrollWidth, window.innerWidth]");
    let colours = evaluate("getComputedStyle(document.body).backgroundColor");
    let bar = evaluate("getComputedStyle(document.querySelector('.chart [fill=\"#1D5FB8\" i]')).fill");
    let charts =
        evaluate("Array.from(document.querySelectorAll('.chart svg'), (svg) => svg.getBoundingClientRect().width > 0)");
    let mut seen = Vec::new();
    for look in [
        Look { width: 360, ..Look::default() },
        Look { width: 768, dark: true, ..Look::default() },
        Look { width: 1280, ..Look::default() },
    ] {
        let steps = [fits.clone(), colours.clone(), bar.clone(), charts.clone()];
        let results = browser.open(&page, look, &steps).quiet();
        let widths: [u64; 2] = serde_json::from_value(results[0].clone()).unwrap();
        assert!(widths[0] <= widths[1], "nothing but its tables scrolls aside at {}: {widths:?}", look.width);
        assert_eq!(results[3], if look.width < 640 { json!([false, true]) } else { json!([true, false]) });
        seen.push((results[1].clone(), results[2].clone()));
    }
    assert_ne!(seen[0], seen[1], "the dark has colours of its own, the chart too");
    assert_eq!(seen[0], seen[2]);

    let without = Look { scripts: false, ..Look::default() };
    let steps = [
        evaluate("document.querySelectorAll('#hits tbody tr').length"),
        evaluate("getComputedStyle(document.querySelector('.controls')).display"),
        json!(["pdf"]),
    ];
    let results = browser.open(&page, without, &steps).quiet();
    assert_eq!(results[0], json!(all), "every hit is there");
    assert_eq!(results[1], "none", "controls that would do nothing are not");
    assert!(results[2].as_u64() > Some(10_000), "it prints");
}
