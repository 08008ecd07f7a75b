//! The scenarios, one file each.

pub mod blast;
pub mod clients;
mod offered;
pub mod overload;
pub mod rate;
pub mod slow;
