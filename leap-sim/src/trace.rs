//! What happened in a run: always as a hash, on demand as text.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

/// The record of a run. Two runs are equal when their hashes are.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: Mix,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(keep_lines: bool) -> Self {
        Self {
            hash: Mix::default(),
            lines: keep_lines.then(Vec::new),
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    pub(crate) fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }

    /// Mixes `fact` into the hash.
    pub(crate) fn mix(&mut self, fact: &impl Hash) {
        fact.hash(&mut self.hash);
    }

    /// Adds a line, if anybody wants to read it.
    pub(crate) fn line(&mut self, now: u64, line: fmt::Arguments<'_>) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{now:>8} {line}"));
        }
    }
}

/// A hasher whose result depends on nothing but what is hashed.
#[derive(Debug, Default)]
struct Mix(u64);

impl Mix {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }
}
