//! What keeps a fault in one place from becoming one in another: degradation sheds what matters least when
//! there is too much of everything; breaker, throttle and retry budget spare another side that is not well.
//! Which features there are, and who is called, is the domain's matter.

pub mod breaker;
mod budget;
pub mod degradation;
mod rolling;
mod throttle;

pub use breaker::{Breaker, BreakerConfig};
pub use budget::RetryBudget;
pub use degradation::{Degradation, DegradationConfig, Feature, Pressure, Shed, Signal};
pub use throttle::Throttle;
