//! Options that several commands share.

use std::time::Duration;

use clap::{Args, ValueEnum};
use leap::{GroupCommit, ObjectOptions, Speculation, StoreOptions};
use tracing_subscriber::EnvFilter;

/// Whether services run ahead of their own persistence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnOff {
    On,
    Off,
}

/// How objects persist.
#[derive(Args, Clone, Debug)]
pub(crate) struct Persistence {
    /// Run ahead of persistence, or wait for it at every step
    #[arg(long, value_enum, default_value = "on")]
    pub(crate) speculation: OnOff,
    /// Seal a version this many milliseconds after its first change, or `adaptive`: at once when idle
    #[arg(
        long = "group-commit-ms",
        default_value = "adaptive",
        value_name = "MS|adaptive"
    )]
    pub(crate) group_commit: GroupCommit,
    /// Add this many milliseconds to every durable write, to stand for a slower disk
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub(crate) storage_latency_ms: u64,
}

impl Persistence {
    pub(crate) fn objects(&self) -> ObjectOptions {
        ObjectOptions {
            speculation: self.speculation.into(),
            group_commit: self.group_commit,
        }
    }

    pub(crate) fn store(&self) -> StoreOptions {
        StoreOptions {
            latency: Duration::from_millis(self.storage_latency_ms),
            ..StoreOptions::default()
        }
    }
}

impl From<OnOff> for Speculation {
    fn from(switch: OnOff) -> Self {
        match switch {
            OnOff::On => Self::On,
            OnOff::Off => Self::Off,
        }
    }
}

/// What `--help` says of logs.
pub(crate) const LOGGING_HELP: &str = "\
Logs go to standard error:
  LEAP_LOG=info             what is logged: error, warn (unless said otherwise), info, debug or
                            trace; for a part of it alone: LEAP_LOG=warn,leap_node=debug
  LEAP_LOG_FORMAT=json      one JSON object a line, instead of text";

/// Structured logs on standard error, as [`LOGGING_HELP`] says.
pub(crate) fn start_logging() {
    let filter = EnvFilter::try_from_env("LEAP_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::env::var("LEAP_LOG_FORMAT").is_ok_and(|format| format == "json") {
        logs.json().init();
    } else {
        logs.init();
    }
}
