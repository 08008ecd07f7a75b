//! What keeps a fault in one place from becoming one in another: degradation sheds what matters least when
//! there is too much of everything. Which features there are is the domain's matter.

pub mod degradation;

pub use degradation::{Degradation, DegradationConfig, Feature, Pressure, Shed, Signal};
