//! Which traces are recorded: the samplers of `OTEL_TRACES_SAMPLER`, and the decision on traces that an
//! untrusted caller began.

use std::hash::{BuildHasher, RandomState};

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
    /// Whether a span of this context is recorded, below this parent if it has one.
    pub(super) fn decide(self, parent: Option<TraceContext>, context: TraceContext) -> bool {
        match (parent, self.root) {
            (Some(parent), _) if self.parent_based => parent.sampled(),
            (_, Root::AlwaysOn) => true,
            (_, Root::AlwaysOff) => false,
            (_, Root::Ratio(fraction)) => within(fraction, context),
        }
    }
}

/// Whether the trace is within this fraction of all: by the lower half of its id without its last bit, as
/// OpenTelemetry's SDKs for Rust and Go have it, so that services with one fraction record the same traces.
fn within(fraction: f64, context: TraceContext) -> bool {
    const ALL: f64 = (1u64 << 63) as f64;
    fraction >= 1.0 || (context.trace_number() as u64) >> 1 < (fraction.max(0.0) * ALL) as u64
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
    fn a_parents_decision_holds_where_it_is_to_and_the_ids_elsewhere() {
        let roots =
            [(Root::AlwaysOn, 1000), (Root::AlwaysOff, 0), (Root::Ratio(1.0), 1000), (Root::Ratio(0.0), 0)];
        for (root, all) in roots {
            for sampled in [true, false] {
                let count = |parent_based| {
                    let sampling = Sampling { parent_based, root };
                    let parents = (0..1000).map(|_| TraceContext::new_root().with_sampled(sampled));
                    parents.filter(|parent| sampling.decide(Some(*parent), parent.child())).count()
                };
                assert_eq!((count(true), count(false)), (if sampled { 1000 } else { 0 }, all), "{root:?}");
            }
            let alone =
                |_: &usize| Sampling { parent_based: true, root }.decide(None, TraceContext::new_root());
            assert_eq!((0..1000).filter(alone).count(), all);
        }
    }

    #[test]
    fn a_fraction_is_of_the_ids_as_other_sdks_have_it() {
        let sampling = Sampling { parent_based: false, root: Root::Ratio(0.5) };
        let context = |low: u64| TraceContext::from_parts((7u128 << 64) | u128::from(low), 1, 0).unwrap();
        assert!(sampling.decide(None, context(0)) && sampling.decide(None, context((1 << 63) - 1)));
        assert!(!sampling.decide(None, context(1 << 63)) && !sampling.decide(None, context(u64::MAX)));
    }

    #[test]
    fn one_trace_is_decided_once() {
        let doorkeeper = Doorkeeper::new(Sampling { parent_based: true, root: Root::Ratio(0.5) });
        let context = TraceContext::new_root();
        assert!((0..100).all(|_| doorkeeper.decide(context) == doorkeeper.decide(context)));
    }
}
