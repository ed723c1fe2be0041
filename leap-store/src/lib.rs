//! Journals, checkpoints and fenced registers on a local disk or any object store.
