//! The functions that hunts have beside DataFusion's own, one file each.

mod equals_ignore_case;
mod followed_within;

use datafusion::logical_expr::ScalarUDF;

use equals_ignore_case::EqualsIgnoreCase;
use followed_within::FollowedWithin;
pub(crate) use followed_within::interval_nanos;

/// Whether a function is `followed_within`, whatever its name in the plan.
pub(crate) fn is_followed_within(function: &ScalarUDF) -> bool {
    function.inner().is::<FollowedWithin>()
}

/// The functions that hunts have beside DataFusion's own, for registering with a session.
pub fn all() -> Vec<ScalarUDF> {
    vec![ScalarUDF::from(FollowedWithin::new()), ScalarUDF::from(EqualsIgnoreCase::new())]
}
