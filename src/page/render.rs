//! The report as one page of HTML that needs nothing else: styles, script and charts are in it, and nothing is fetched.
//!
//! The template escapes whatever it is given; what is not escaped is the style sheet, the script and the charts, none of
//! which hold text of the data. A policy in the page lets no other style and no other script run.

use askama::Template;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::bars;
use super::values::Report;
use crate::error::{Error, ErrorKind, Result};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

#[derive(Template)]
#[template(path = "page.html", config = "src/page/askama.toml")]
struct Page<'a> {
    report: &'a Report,
    policy: String,
    style: &'static str,
    script: &'static str,
    /// For screens that are wide and for those that are not.
    charts: Option<[String; 2]>,
}

/// The page.
pub(crate) fn html(report: &Report) -> Result<String> {
    let drawn = report.bars.as_ref().filter(|_| report.hits.0 > 0);
    let charts = drawn.map(|bars| Ok::<_, Error>([bars::svg(bars, 1040, 250)?, bars::svg(bars, 380, 220)?]));
    let page = Page {
        report,
        policy: policy(),
        style: STYLE,
        script: SCRIPT,
        charts: charts.transpose()?,
    };
    page.render().map_err(|e| Error::new(ErrorKind::Engine, "the page cannot be made").caused_by(e))
}

/// Nothing may be fetched, sent or run but this very style sheet and this very script.
fn policy() -> String {
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text.as_bytes())));
    format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}
