//! The application inside a state object: an account that passes tokens on.
//!
//! Tokens are conserved, and each payload has its number in its channel, so whatever the protocol
//! loses, repeats or reorders shows in the state. Now and then it speculates by itself, in levels.

use std::collections::BTreeSet;

use bytes::Bytes;
use leap_core::{Levels, ObjectId, Rules};

use crate::{
    instance::{Made, Message},
    truth::VertexId,
};

/// No run has more objects.
pub(crate) const MAX_OBJECTS: usize = 6;

/// A guest's state: all of it is persisted and rolled back with a version, open levels included.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub(crate) account: Account,
    pub(crate) levels: Levels<Made, Message>,
    /// For each open level, the account when it was opened.
    undo: Vec<Account>,
}

impl Guest {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            account: Account::default(),
            levels: Levels::new().with_rules(rules),
            undo: Vec::new(),
        }
    }

    pub(crate) fn speculate(&mut self) -> usize {
        self.undo.push(self.account.clone());
        self.levels.speculate()
    }

    /// Commits a level that is open; answers what leaves the guest by that.
    pub(crate) fn commit(&mut self, level: usize) -> Vec<Made> {
        self.undo.remove(level);
        self.levels.commit(level).expect("the level is open")
    }

    /// Aborts a level that is open, and those inside it.
    pub(crate) fn abort(&mut self, level: usize) {
        self.account = self.undo.split_off(level).swap_remove(0);
        self.levels.abort(level).expect("the level is open");
    }
}

/// The part of a guest's state that it takes actions on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Account {
    pub(crate) balance: i64,
    /// How many payloads were sent to, and received from, each object.
    pub(crate) sent: [u32; MAX_OBJECTS],
    pub(crate) received: [u32; MAX_OBJECTS],
    /// Tokens sent to each object, less those received from it.
    pub(crate) passed: [i64; MAX_OBJECTS],
    /// Requests of outsiders that were carried out.
    pub(crate) requests: BTreeSet<u32>,
    /// Requests and merges of sthreads that were consumed.
    pub(crate) visits: u32,
    /// How many actions are between their two halves. Nothing else may ever be seen in a version.
    pub(crate) halves: u32,
}

/// What one account sends to another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Transfer {
    /// Position in the channel, as the sender's own state counts it.
    pub(crate) number: u32,
    pub(crate) amount: u32,
    /// How often it is passed on.
    pub(crate) hops: u32,
    /// What the receiver truly comes to depend on.
    pub(crate) vertex: VertexId,
}

impl Transfer {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = [0; 16];
        let words = [self.number, self.amount, self.hops, self.vertex.0];
        for (chunk, word) in bytes.chunks_mut(4).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Bytes::copy_from_slice(&bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let word = |index: usize| {
            let chunk = bytes[4 * index..4 * index + 4].try_into();
            u32::from_le_bytes(chunk.expect("four bytes"))
        };
        Self {
            number: word(0),
            amount: word(1),
            hops: word(2),
            vertex: VertexId(word(3)),
        }
    }
}

/// The place of `object` in an account's counters.
pub(crate) fn slot(object: ObjectId) -> usize {
    usize::try_from(object.0).expect("objects are numbered from 0")
}
