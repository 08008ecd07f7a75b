//! Objectives and alerts of the sample: a fork replaces them.

pub mod objectives;
