//! The trial management service before three instances of the ePRO service, all as processes: what callers
//! get when one or all of them are killed, stand still or fail.

mod answers;
mod outage;
mod program;
mod retries;
mod survival;
mod telling;
