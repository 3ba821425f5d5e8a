//! The functions that hunts have beside DataFusion's own, one file each.

mod all_or_one;
mod bin;
mod equals_ignore_case;
mod followed_within;
mod ip_in_any_range;
mod json_text;
mod starts_with_ignore_case;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

use all_or_one::AllOrOne;
pub(crate) use all_or_one::{Lists, limit_of};
use bin::Bin;
use equals_ignore_case::EqualsIgnoreCase;
use followed_within::FollowedWithin;
pub(crate) use followed_within::interval_nanos;
use ip_in_any_range::IpInAnyRange;
pub(crate) use ip_in_any_range::{IP_IN_ANY_RANGE, check_networks};
use json_text::JsonText;
use starts_with_ignore_case::StartsWithIgnoreCase;

/// Whether a function is `followed_within`, whatever its name in the plan.
pub(crate) fn is_followed_within(function: &ScalarUDF) -> bool {
    function.inner().is::<FollowedWithin>()
}

/// Whether a function is `all_or_one`, whatever its name in the plan.
pub(crate) fn is_all_or_one(function: &AggregateUDF) -> bool {
    function.inner().is::<AllOrOne>()
}

/// The scalar functions that hunts have beside DataFusion's own, for registering with a session.
pub fn all() -> Vec<ScalarUDF> {
    vec![
        ScalarUDF::from(FollowedWithin::new()),
        ScalarUDF::from(EqualsIgnoreCase::new()),
        ScalarUDF::from(StartsWithIgnoreCase::new()),
        ScalarUDF::from(Bin::new()),
        ScalarUDF::from(JsonText::new()),
        ScalarUDF::from(IpInAnyRange::new()),
    ]
}

/// The aggregate functions that hunts have beside DataFusion's own, for registering with a session.
pub fn aggregates() -> Vec<AggregateUDF> {
    vec![AggregateUDF::from(AllOrOne::new())]
}
