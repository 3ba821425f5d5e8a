//! The report as one page of HTML that needs nothing else: styles, script and charts are in it, and nothing is fetched.
//!
//! The template escapes whatever it is given; what is not escaped is the style sheet, the script and the charts, none of
//! which hold text of the data. A policy in the page lets no other style and no other script run.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use sha2::{Digest, Sha256};

use super::bars;
use super::values::Report;
use crate::error::{Error, ErrorKind, Result};
use crate::report::human_count;

/// What is in its name decides that values are escaped.
const NAME: &str = "page.html";

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page.
pub(crate) fn html(report: &Report) -> Result<String> {
    // One bar alone shows nothing that its figure does not.
    let drawn = report.bars.as_ref().filter(|bars| report.hits.0 > 0 && bars.labels.len() > 1);
    // For screens that are wide and for those that are not.
    let charts = drawn.map(|bars| Ok::<_, Error>([bars::svg(bars, 1040, 250)?, bars::svg(bars, 380, 220)?]));
    let charts = charts.transpose()?;
    let failed = |e| Error::new(ErrorKind::Engine, "the page cannot be made").caused_by(e);
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("thousands", human_count);
    environment.add_template(NAME, TEMPLATE).map_err(failed)?;
    let page = environment.get_template(NAME).map_err(failed)?;
    let values = context! {
        report => Serde(report),
        policy => policy(),
        style => STYLE,
        script => SCRIPT,
        charts => Serde(charts),
    };
    page.render(values).map_err(failed)
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
