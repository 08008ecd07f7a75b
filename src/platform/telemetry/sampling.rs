//! Which traces are recorded: the samplers of `OTEL_TRACES_SAMPLER`, and the decision on traces that an
//! untrusted caller began.

use std::hash::{BuildHasher, RandomState};

use opentelemetry_sdk::trace::{Sampler, ShouldSample};

use super::context::TraceContext;

/// How the root of a trace is decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Root {
    AlwaysOn,
    AlwaysOff,
    /// By the trace id, so that this fraction (0 to 1) of all traces is recorded.
    Ratio(f64),
}

/// A sampler of OpenTelemetry's specification.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Whether a parent's decision wins over `root`.
    pub parent_based: bool,
    pub root: Root,
}

impl Sampling {
    pub(super) fn sampler(self) -> Box<dyn ShouldSample> {
        let root = match self.root {
            Root::AlwaysOn => Sampler::AlwaysOn,
            Root::AlwaysOff => Sampler::AlwaysOff,
            Root::Ratio(fraction) => Sampler::TraceIdRatioBased(fraction),
        };
        Box::new(if self.parent_based { Sampler::ParentBased(Box::new(root)) } else { root })
    }
}

/// Decides in the caller's place on a trace whose id an untrusted caller chose.
#[derive(Debug)]
pub(super) struct Doorkeeper {
    root: Root,
    /// Keys the hash of the trace id: whoever picks ids cannot pick those that are recorded, and still
    /// one trace is decided once.
    key: RandomState,
}

impl Doorkeeper {
    pub(super) fn new(sampling: Sampling) -> Self {
        Self { root: sampling.root, key: RandomState::new() }
    }

    /// The same place in the trace with the flag that our own sampler sets.
    pub(super) fn decide(&self, context: TraceContext) -> TraceContext {
        let sampled = match self.root {
            Root::AlwaysOn => true,
            Root::AlwaysOff => false,
            // A float saturates when cast, so a fraction of 1 is every hash but one in 2^64.
            Root::Ratio(fraction) => {
                self.key.hash_one(context.trace_number()) <= (fraction * u64::MAX as f64) as u64
                    && fraction > 0.0
            }
        };
        context.with_sampled(sampled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(root: Root, sampled: bool) -> usize {
        let doorkeeper = Doorkeeper::new(Sampling { parent_based: true, root });
        let decide = |_| doorkeeper.decide(TraceContext::new_root().with_sampled(sampled)).sampled();
        (0..1000).map(decide).filter(|&sampled| sampled).count()
    }

    #[test]
    fn an_untrusted_callers_flag_decides_nothing() {
        for asked in [true, false] {
            assert_eq!(share(Root::AlwaysOn, asked), 1000);
            assert_eq!(share(Root::AlwaysOff, asked), 0);
            assert_eq!(share(Root::Ratio(1.0), asked), 1000);
            assert_eq!(share(Root::Ratio(0.0), asked), 0);
            assert!((350..650).contains(&share(Root::Ratio(0.5), asked)));
        }
    }

    #[test]
    fn one_trace_is_decided_once() {
        let doorkeeper = Doorkeeper::new(Sampling { parent_based: true, root: Root::Ratio(0.5) });
        let context = TraceContext::new_root();
        assert!((0..100).all(|_| doorkeeper.decide(context) == doorkeeper.decide(context)));
    }
}
