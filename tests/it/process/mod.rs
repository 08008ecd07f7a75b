//! The real program as a process, with a real gateway and real files: what it promises when it, its
//! gateway or its store fails. Longer runs, and what needs other programs, stand in `tests/peers`.

mod backlog;
mod gateways;
mod hold;
mod idempotency;
mod kills;
mod log_filter;
mod shutdown;
mod start;
mod store_trouble;
