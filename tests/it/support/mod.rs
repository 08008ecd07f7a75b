//! What the tests share of this domain: its services, the SMS gateway, its callers. What knows no domain stands in
//! `crates/chassis-test`.

pub mod fleet;
pub mod gateway;
pub mod hostile;
pub mod instance;
pub mod keys;
pub mod kills;
pub mod load;
pub mod locked;
pub mod page;
pub mod prelude;
pub mod service;
