//! The public HTTP surface: the accept loop, the ordered layers, problems, and reading requests. What is
//! offered on it is the domain's.

mod activity;
mod admit;
mod body;
mod challenge;
mod compress;
pub mod config;
mod connection;
mod cors;
mod endpoint;
mod extract;
mod fields;
mod json;
mod listen;
mod manners;
mod observe;
pub mod openapi;
mod problem;
mod problem_pages;
mod problems;
pub mod refusals;
mod room;
mod routes;
mod serve;
mod stack;
mod static_page;
mod streams;
mod table;
mod timed_io;

pub(in crate::platform) use body::read as read_body;
pub(in crate::platform) use compress::{compressed, takes_gzip, weight};
pub use config::HttpConfig;
pub use cors::Origin;
pub use extract::{IdempotencyHeader, JsonBody, NoBody};
pub use fields::{Field, Fields, expected};
pub use listen::{BindError, Listener, bind, raise_open_files};
pub use observe::ResourceId;
pub use problem::{Fault, Problem};
pub use problem_pages::problem_pages;
pub use routes::{Listed, Routes};
pub use serve::{Limits, Peer, Service, serve};
pub use stack::Stack;
pub use static_page::StaticPage;
