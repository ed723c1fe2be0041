//! Counts work that is under way, so that whoever ends can wait for it and let no more begin.

use tokio::sync::watch;

/// Lets work in until it is closed. Clones are the same turnstile.
#[derive(Clone)]
pub(crate) struct Turnstile(watch::Sender<Inside>);

#[derive(Default)]
struct Inside {
    passes: usize,
    is_closed: bool,
}

/// Whoever holds it is under way.
pub(crate) struct Pass(Turnstile);

impl Default for Turnstile {
    fn default() -> Self {
        Self(watch::Sender::new(Inside::default()))
    }
}

impl Turnstile {
    /// A pass for work that begins now; nothing if no more may begin.
    pub(crate) fn enter(&self) -> Option<Pass> {
        let entered = self.0.send_if_modified(|inside| {
            inside.passes += usize::from(!inside.is_closed);
            !inside.is_closed
        });
        entered.then(|| Pass(self.clone()))
    }

    /// Lets nobody in from now on, and waits until all are out. Nothing is interrupted, and nobody is let in again, when
    /// the waiting is given up.
    pub(crate) async fn close(&self) {
        self.0.send_modify(|inside| inside.is_closed = true);
        let mut inside = self.0.subscribe();
        let empty = inside.wait_for(|inside| inside.passes == 0).await;
        empty.expect("the sender lives as long as the turnstile");
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.0.send_modify(|inside| inside.passes -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn closing_waits_for_those_inside_and_refuses_the_rest() {
        let turnstile = Turnstile::default();
        let inside = turnstile.enter().unwrap();
        let mut closed = pin!(turnstile.close());
        assert!(poll!(&mut closed).is_pending());
        assert!(turnstile.enter().is_none());
        drop(inside);
        closed.await;
        // Whoever asks again is told at once.
        turnstile.close().await;
    }
}
