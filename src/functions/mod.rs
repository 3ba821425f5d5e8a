//! The functions that hunts have beside DataFusion's own, one file each.

mod equals_ignore_case;
mod followed_within;

use datafusion::logical_expr::ScalarUDF;

use equals_ignore_case::EqualsIgnoreCase;
use followed_within::FollowedWithin;

/// The functions that hunts have beside DataFusion's own, for registering with a session.
pub fn all() -> Vec<ScalarUDF> {
    vec![ScalarUDF::from(FollowedWithin::new()), ScalarUDF::from(EqualsIgnoreCase::new())]
}
