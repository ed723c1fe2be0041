//! State objects that come with Leap: log, key-value store, workflow engine.
