//! What tells a command that runs on to end.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// Resolves at Ctrl-C or SIGTERM.
///
/// # Errors
///
/// If they cannot be listened for.
pub(crate) async fn told_to_end() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot listen for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}
