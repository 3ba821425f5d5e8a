//! Guesses a layout from the folders of a lake.

use crate::error::Result;
use crate::lake::{self, Layout, WELL_KNOWN};
use crate::store::Root;

/// Files that a guess is made from.
const SAMPLE: usize = 64;

/// The deepest well-known template that fits the folders of the first files; `flat` when none does.
pub(super) async fn layout(root: &Root) -> Result<Layout> {
    let sample = lake::list_some(root, SAMPLE).await?;
    let paths: Vec<&str> = sample.iter().map(|meta| meta.location.as_ref()).collect();
    for template in WELL_KNOWN {
        let layout: Layout = template.parse()?;
        if !paths.is_empty() && paths.iter().all(|path| layout.locate(path).is_some()) {
            return Ok(layout);
        }
    }
    "flat".parse()
}
