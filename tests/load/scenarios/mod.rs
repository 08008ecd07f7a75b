//! The scenarios, one file each.

pub mod blast;
pub mod clients;
pub mod rate;
pub mod slow;
