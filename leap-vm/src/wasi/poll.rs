//! `poll_oneoff`: waiting for time to pass or for a stream.

use super::abi::{Errno, clock, rights, size};
use super::guest::{Guest, le_u32, le_u64};
use super::state::Target;
use super::{Stop, Wasi};

/// The time of a clock subscription is a moment, not a duration.
const ABSOLUTE: u16 = 1;

/// What a guest waits for.
enum Subject {
    Clock {
        id: u32,
        timeout_ns: u64,
        absolute: bool,
    },
    Read {
        fd: u32,
    },
    Write {
        fd: u32,
    },
}

/// One thing that a guest waits for, with its own name for it.
struct Subscription {
    user_data: u64,
    /// The tag of its kind, which goes into the event.
    kind: u8,
    subject: Subject,
}

/// How a subscription stands.
enum Standing {
    /// It has happened; bytes that can be read.
    Ready(u64),
    /// It cannot happen.
    Failed(Errno),
    /// It will at that time of the process's monotonic clock.
    Later { ns: u64 },
    /// It may when input arrives.
    Pending,
}

impl Wasi {
    pub(super) fn poll_oneoff(
        &mut self,
        guest: &mut Guest<'_>,
        since_ns: u64,
        subscriptions_at: u32,
        events_at: u32,
        (count, events_count_at): (u32, u32),
    ) -> Result<(), Stop> {
        if count == 0 {
            return Err(Errno::Inval.into());
        }
        let bytes = |size: u32| count.checked_mul(size).ok_or(Errno::Fault);
        guest.slice(events_at, bytes(size::EVENT)?)?;
        guest.slice(events_count_at, 4)?;
        let subscriptions = guest.slice(subscriptions_at, bytes(size::SUBSCRIPTION)?)?;
        let subscriptions: Vec<Subscription> = subscriptions
            .chunks_exact(size::SUBSCRIPTION as usize)
            .map(Subscription::decode)
            .collect::<Result<_, _>>()?;

        let mut events = Vec::new();
        let mut until_ns: Option<u64> = None;
        for subscription in &subscriptions {
            match self.standing(&subscription.subject, since_ns) {
                Standing::Ready(len) => events.push(subscription.event(Errno::Success, len)),
                Standing::Failed(errno) => events.push(subscription.event(errno, 0)),
                Standing::Later { ns } => {
                    until_ns = Some(until_ns.map_or(ns, |other| other.min(ns)));
                }
                Standing::Pending => {}
            }
        }
        if events.is_empty() {
            return Err(Stop::Wait { until_ns });
        }
        guest.write(events_at, events.as_flattened())?;
        Ok(guest.write_u32(events_count_at, events.len() as u32)?)
    }

    fn standing(&mut self, subject: &Subject, since_ns: u64) -> Standing {
        match *subject {
            Subject::Clock {
                id,
                timeout_ns,
                absolute,
            } => {
                let now_ns = self.monotonic_ns();
                let at_ns = match (id, absolute) {
                    (clock::REALTIME | clock::MONOTONIC, false) => {
                        since_ns.saturating_add(timeout_ns)
                    }
                    (clock::MONOTONIC, true) => timeout_ns,
                    (clock::REALTIME, true) => {
                        now_ns.saturating_add(timeout_ns.saturating_sub(self.realtime_ns()))
                    }
                    _ => return Standing::Failed(Errno::Inval),
                };
                match at_ns <= now_ns {
                    true => Standing::Ready(0),
                    false => Standing::Later { ns: at_ns },
                }
            }
            Subject::Read { fd } => self.readable(fd),
            Subject::Write { fd } => self.writable(fd),
        }
    }

    fn writable(&mut self, fd: u32) -> Standing {
        let target = match self.descriptor(fd, rights::POLL_FD_READWRITE) {
            Err(errno) => return Standing::Failed(errno),
            Ok(descriptor) => &descriptor.target,
        };
        let room = match *target {
            Target::Output { stream, .. } => self.outside.sink.room_bytes(stream, &self.waker),
            _ => 1,
        };
        // How much more than one byte is nobody's business.
        match room {
            0 => Standing::Pending,
            _ => Standing::Ready(1),
        }
    }

    fn readable(&mut self, fd: u32) -> Standing {
        let target = match self.descriptor(fd, rights::POLL_FD_READWRITE) {
            Err(errno) => return Standing::Failed(errno),
            Ok(descriptor) => descriptor.target.clone(),
        };
        match target {
            Target::File { node, offset } => match self.files.status(node) {
                Ok(status) => Standing::Ready(status.len.saturating_sub(offset)),
                Err(errno) => Standing::Failed(errno),
            },
            Target::Input { .. } => {
                if self.state.input.is_empty() {
                    self.take_input(1 << 16);
                }
                match self.state.input.len() as u64 {
                    0 if !self.state.input_ended => Standing::Pending,
                    len => Standing::Ready(len),
                }
            }
            Target::Output { .. } | Target::Directory { .. } => Standing::Failed(Errno::Badf),
        }
    }
}

impl Subscription {
    fn decode(bytes: &[u8]) -> Result<Self, Errno> {
        let kind = bytes[8];
        let fd = le_u32(&bytes[16..]);
        let subject = match kind {
            0 => Subject::Clock {
                id: fd,
                timeout_ns: le_u64(&bytes[24..]),
                absolute: u16::from_le_bytes([bytes[40], bytes[41]]) & ABSOLUTE != 0,
            },
            1 => Subject::Read { fd },
            2 => Subject::Write { fd },
            _ => return Err(Errno::Inval),
        };
        Ok(Self {
            user_data: le_u64(bytes),
            kind,
            subject,
        })
    }

    fn event(&self, errno: Errno, len: u64) -> [u8; size::EVENT as usize] {
        let mut event = [0; size::EVENT as usize];
        event[0..8].copy_from_slice(&self.user_data.to_le_bytes());
        event[8..10].copy_from_slice(&(errno as u16).to_le_bytes());
        event[10] = self.kind;
        event[16..24].copy_from_slice(&len.to_le_bytes());
        event
    }
}
