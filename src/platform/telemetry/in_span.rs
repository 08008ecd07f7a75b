//! A future that runs in a span, for where calls are many: entered once for each poll and not, as with
//! `Instrument`, once more to drop what has ended.

use std::pin::Pin;
use std::task::{Context, Poll};

use tracing::Span;

/// Polls a future in a span, and drops it there.
pub struct InSpan<F: Future> {
    span: Span,
    /// Until it has ended.
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> InSpan<F> {
    pub fn new(span: Span, future: F) -> Self {
        Self { span, future: Some(Box::pin(future)) }
    }
}

impl<F: Future> Future for InSpan<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { span, future } = &mut *self;
        span.in_scope(|| {
            let Some(running) = future else { return Poll::Pending };
            let polled = running.as_mut().poll(cx);
            if polled.is_ready() {
                *future = None;
            }
            polled
        })
    }
}

impl<F: Future> Drop for InSpan<F> {
    fn drop(&mut self) {
        if let Some(future) = self.future.take() {
            self.span.in_scope(|| drop(future));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::cell::RefCell;
    use std::rc::Rc;
    use tracing_subscriber::Registry;

    /// Notes the span that is current when it is dropped.
    struct Note(Rc<RefCell<Vec<Option<tracing::Id>>>>);

    impl Drop for Note {
        fn drop(&mut self) {
            self.0.borrow_mut().push(Span::current().id());
        }
    }

    #[test]
    fn a_future_is_polled_and_dropped_in_its_span_whether_it_ends_or_not() {
        tracing::subscriber::with_default(Registry::default(), || {
            let span = tracing::info_span!("s");
            let seen = Rc::new(RefCell::new(Vec::new()));
            let future = |ends: bool| {
                let note = Note(Rc::clone(&seen));
                async move {
                    let _note = note;
                    if !ends {
                        std::future::pending::<()>().await;
                    }
                    Span::current().id()
                }
            };
            assert_eq!(InSpan::new(span.clone(), future(true)).now_or_never(), Some(span.id()));
            assert_eq!(InSpan::new(span.clone(), future(false)).now_or_never(), None);
            drop(InSpan::new(span.clone(), future(false)));
            assert_eq!(*seen.borrow(), [span.id(), span.id(), span.id()]);
            assert_eq!(Span::current().id(), None);
        });
    }
}
