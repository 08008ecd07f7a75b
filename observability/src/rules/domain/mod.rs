//! Objectives and alerts of the sample: a fork replaces them.

mod deliveries;
pub mod objectives;
mod partners;

use crate::rules::alert::Alert;

pub fn all() -> Vec<Alert> {
    [deliveries::all(), partners::all()].into_iter().flatten().collect()
}
