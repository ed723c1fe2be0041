//! What the guests share: a source of numbers and the result. The same as `c/guest.h`.

/// Numbers that look random (xorshift64*).
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 32) % limit
    }
}

/// A checksum that depends on every bit and on the order.
pub fn mix(sum: u64, value: u64) -> u64 {
    let sum = (sum ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    sum ^ (sum >> 29)
}

/// Prints the checksum.
pub fn result(sum: u64) {
    println!("{sum:016x}");
}

/// A size for tests or for benchmarks: guests are built once and told by their argument.
pub fn size(small: u64, full: u64) -> u64 {
    let is_small = std::env::args().nth(1).is_some_and(|argument| argument == "small");
    if is_small {
        small
    } else {
        full
    }
}
