//! Sections as bytes: appending to one without decoding it.

use wasm_encoder::Encode as _;

/// A section that is copied, with items added at its end.
pub(crate) struct Appended {
    added: u32,
    items: Vec<u8>,
}

impl Appended {
    pub(crate) fn new() -> Self {
        Self {
            added: 0,
            items: Vec::new(),
        }
    }

    /// Adds an item; `encode` writes it.
    pub(crate) fn add(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.added += 1;
        encode(&mut self.items);
    }

    /// How many items were added.
    pub(crate) fn count(&self) -> u32 {
        self.added
    }

    /// The items that were added.
    pub(crate) fn items(&self) -> &[u8] {
        &self.items
    }

    /// The contents of the section: the original's, if there was one, and what was added.
    ///
    /// `None` if there is nothing in it.
    pub(crate) fn contents(&self, original: Option<&[u8]>) -> Option<Vec<u8>> {
        let (count, items) = original.map_or((0, &[][..]), split_count);
        if original.is_none() && self.added == 0 {
            return None;
        }
        let mut contents = Vec::with_capacity(items.len() + self.items.len() + 5);
        (count + self.added).encode(&mut contents);
        contents.extend_from_slice(items);
        contents.extend_from_slice(&self.items);
        Some(contents)
    }
}

/// Splits a section that was validated into its number of items and their bytes.
fn split_count(contents: &[u8]) -> (u32, &[u8]) {
    let mut count = 0;
    for (place, &byte) in contents.iter().enumerate() {
        count |= u32::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return (count, &contents[place + 1..]);
        }
    }
    unreachable!("a validated section begins with a whole number")
}
