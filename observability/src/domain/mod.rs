//! Dashboards of the sample: a fork replaces them.

pub mod epro_rpc;
pub mod notifications;

use crate::{palette::Colour, panel::Panel};

/// Colours of quantiles for legends such as `sms http P99`: as everywhere else for the first of two sorts, in
/// darker shades for the second. They are regular expressions that the legend begins with.
fn quantiles_of_two(panel: Panel, first: &str, second: &str) -> Panel {
    let colours = [
        (first, "P50", Colour::Second),
        (first, "P95", Colour::Fact),
        (first, "P99", Colour::Third),
        (second, "P50", Colour::Sixth),
        (second, "P95", Colour::Fifth),
        (second, "P99", Colour::Fourth),
    ];
    colours.into_iter().fold(panel, |panel, (sort, quantile, colour)| {
        panel.colour(&format!("/^{sort} .*{quantile}$/"), colour)
    })
}
