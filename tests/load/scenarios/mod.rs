//! The scenarios, one file each.

pub mod blast;
pub mod clients;
pub mod ctms;
pub mod rate;
pub mod slow;
