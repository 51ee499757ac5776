//! Wakes that come in swarms: many within a moment become one.

use std::{collections::BTreeSet, time::Duration};

use skyy_runtime::{Wake, Waker};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Passes wakes on, each object at most once a pause.
#[derive(Clone, Debug)]
pub(crate) struct Debounced(mpsc::UnboundedSender<Wake>);

impl Debounced {
    /// Begins to pass on to the waker.
    pub(crate) fn spawn(waker: Waker, pause: Duration, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let (sender, mut wakes) = mpsc::unbounded_channel();
        tasks.spawn(async move {
            let mut batch = Vec::new();
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    count = wakes.recv_many(&mut batch, 4096) => if count == 0 { return },
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                while let Ok(more) = wakes.try_recv() {
                    batch.push(more);
                }
                for wake in batch.drain(..).collect::<BTreeSet<_>>() {
                    waker.wake(wake);
                }
            }
        });
        Self(sender)
    }

    /// Wakes the object, in a moment.
    pub(crate) fn wake(&self, wake: Wake) {
        // Nobody is left to wake when the process ends.
        drop(self.0.send(wake));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_swarm_becomes_one() {
        let (waker, mut woken) = Waker::new();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let debounced = Debounced::spawn(waker, Duration::from_secs(1), &tasks, stop.clone());
        let wake = |name: &str| Wake { namespace: None, name: name.into() };
        for _ in 0..500 {
            debounced.wake(wake("a"));
        }
        debounced.wake(wake("b"));
        assert_eq!(woken.recv().await, Some(wake("a")));
        assert_eq!(woken.recv().await, Some(wake("b")));
        assert!(woken.try_recv().is_err());
        debounced.wake(wake("a"));
        assert_eq!(woken.recv().await, Some(wake("a")), "a later one is not lost");
        stop.cancel();
    }
}
