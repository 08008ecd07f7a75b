//! The scenarios, one file each.

pub mod blast;
pub mod channels;
pub mod clients;
pub mod ctms;
mod offered;
pub mod overload;
pub mod rate;
pub mod slow;
