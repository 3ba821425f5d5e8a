//! Whatever the data says, it stays text.

use serde_json::{Value, json};

use super::browser::{Look, browser};
use super::{Bench, evaluate, read};
use crate::encode::{Form, encode};
use crate::lake::at;
use crate::oracle::{MINUTE, Row, SECOND};

/// Names that would be something else where they are not taken for text: as they lie in the lake, and as they show.
const NAMES: [(&str, &str); 16] = [
    ("<script>window.pwned = 1; alert(1)</script>", "<script>window.pwned = 1; alert(1)</script>"),
    ("</script><script>window.pwned = 1</script>", "</script><script>window.pwned = 1</script>"),
    ("</style></title><img src=x onerror=alert(1)>", "</style></title><img src=x onerror=alert(1)>"),
    (
        "<img src=\"http://127.0.0.1:9/x\" onerror=\"alert(1)\">",
        "<img src=\"http://127.0.0.1:9/x\" onerror=\"alert(1)\">",
    ),
    ("\" onmouseover=\"alert(1)\" x=\"", "\" onmouseover=\"alert(1)\" x=\""),
    ("' onfocus='alert(1)' autofocus='", "' onfocus='alert(1)' autofocus='"),
    ("javascript:alert(1)", "javascript:alert(1)"),
    ("{{ 7 * 7 }}{% raw %}", "{{ 7 * 7 }}{% raw %}"),
    ("&lt;b&gt; &amp;amp; &#60;", "&lt;b&gt; &amp;amp; &#60;"),
    ("<!-- --><![CDATA[ ]]>", "<!-- --><![CDATA[ ]]>"),
    ("a|b `c` [d](javascript:alert(1)) @everyone", "a|b `c` [d](javascript:alert(1)) @everyone"),
    ("moc.\u{202e}osotnoc@eve", "moc.\\u{202e}osotnoc@eve"),
    ("line\r\nbreak\ttab\u{0}", "line\\r\\nbreak\\ttab\\u{0}"),
    ("محمد@contoso.com", "محمد@contoso.com"),
    ("名前.さん@contoso.com", "名前.さん@contoso.com"),
    ("", "(empty)"),
];

/// Everything that a hit takes from a lake is hostile at once.
fn lake(bench: &Bench) {
    let noon = at("2024-05-01") + 720 * MINUTE;
    let long = format!("{}@contoso.com", "very-long-name-".repeat(40));
    let names = NAMES.iter().map(|(name, _)| (*name).to_owned()).chain([long]);
    let rows: Vec<Row> = names
        .enumerate()
        .flat_map(|(index, name)| {
            let time = noon + index as i128 * MINUTE * 2;
            let row = |time, app: String, result: &str, description: &str| Row {
                time: Some(time),
                user: Some(name.clone()),
                ip: Some(format!("{name} (ip)")),
                app: Some(app),
                result: Some(result.to_owned()),
                description: Some(description.to_owned()),
            };
            // Each on an app of its own, so that each key is rare; one code that is no code.
            let code = if index == 0 { "<b>50126</b>" } else { "50126" };
            [row(time, format!("{name} {index}"), "0", ""), row(time + SECOND, format!("{name} failed"), code, &name)]
        })
        .collect();
    let file = bench.path("lake/date=2024-05-01/part-0.parquet");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let form = Form::default();
    std::fs::write(file, encode(&rows, &form.fits(&rows))).unwrap();
    let hunted = bench.hunts("2024-05-01", "2024-05-02");
    assert!(hunted.status.success(), "{}", String::from_utf8_lossy(&hunted.stderr));
}

#[test]
fn hostile_text_stays_text() {
    let bench = Bench::new();
    lake(&bench);
    let page = bench.page(&[]);

    // As it is written: no tag of the data's, and the only script and style are the page's own.
    let html = read(&page);
    assert_eq!(html.matches("<script").count(), 1);
    assert_eq!(html.matches("</script>").count(), 1);
    assert_eq!(html.matches("<style").count(), 1);
    assert_eq!(html.matches("<img").count(), 0);
    assert!(!html.contains("href=\"javascript"), "no link is made of the data");
    assert!(html.contains("&lt;script&gt;window.pwned"), "what is hostile is there");

    let Some(browser) = browser() else { return };
    let steps = [
        evaluate(
            "Array.from(document.querySelectorAll('#hits tbody tr'), (row) => row.cells[0].querySelector('bdi').textContent)",
        ),
        evaluate(
            "Array.from(document.querySelectorAll('[data-top=UserPrincipalName] bdi'), (name) => name.textContent)",
        ),
        evaluate(
            "[window.pwned === undefined, document.scripts.length, document.images.length, document.querySelectorAll('b b, i').length]",
        ),
        evaluate(
            "Array.from(document.querySelectorAll('*')).some((node) => Array.from(node.attributes).some((a) => a.name.startsWith('on')))",
        ),
        // A name's button chooses its hits, whatever the name is.
        evaluate(
            "Array.from(document.querySelectorAll('[data-top=UserPrincipalName] button'), (button) => { button.click(); \
            const shown = document.querySelectorAll('#hits tbody tr:not([hidden])').length; document.querySelector('.chip').click(); return shown; })",
        ),
    ];
    let results = browser.open(&page, Look::default(), &steps).quiet();
    let names: Vec<String> = serde_json::from_value(results[0].clone()).unwrap();
    for (name, shown) in NAMES {
        assert!(names.iter().any(|text| text == shown), "{name:?} shows as {shown:?} in {names:?}");
    }
    let tops: Vec<String> = serde_json::from_value(results[1].clone()).unwrap();
    assert!(tops.len() == 10 && tops.iter().all(|top| names.contains(top)), "{tops:?}");
    assert_eq!(results[2], json!([true, 1, 0, 0]));
    assert_eq!(results[3], json!(false), "no handler came from an attribute");
    assert_eq!(results[4], json!(vec![1; 10]));
}

#[test]
fn the_pages_policy_lets_nothing_else_in() {
    let bench = Bench::new();
    lake(&bench);
    let page = bench.page(&[]);
    let Some(browser) = browser() else { return };
    let steps = [
        evaluate(
            "(() => { const script = document.createElement('script'); script.textContent = 'window.pwned = 1'; \
             document.body.append(script); const image = document.createElement('img'); image.src = 'http://127.0.0.1:9/x'; \
             document.body.append(image); const style = document.createElement('style'); style.textContent = 'body { width: 7px }'; \
             document.body.append(style); document.body.setAttribute('onclick', 'window.pwned = 2'); document.body.click(); })()",
        ),
        evaluate(
            "new Promise((done) => setTimeout(() => done([window.pwned === undefined, document.body.clientWidth > 7]), 200))",
        ),
    ];
    let seen = browser.open(&page, Look::default(), &steps);
    assert_eq!(seen.results[1], json!([true, true]));
    assert!(seen.said.iter().any(|said| said.as_str().unwrap().contains("Content Security Policy")), "{seen:?}");
    let reached = |asked: &&Value| asked.as_str().unwrap().starts_with("http");
    // A request that the policy stops is told of before it is stopped; it never gets anywhere.
    assert!(seen.asked.iter().filter(reached).count() <= 1, "{seen:?}");
}
