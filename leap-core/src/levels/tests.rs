//! A state, one call, what follows; and any calls at all against a naive model (rule P16).

use super::*;
use crate::{
    Effect, Header, Incarnation, Input, ObjectId, Participant, PeerMessage, Seq, Speculation,
    ToParticipant, Version, WorldLine, message::ChannelMessage,
};
use bytes::Bytes;
use proptest::prelude::*;

type Texts = Levels<&'static str, &'static str>;

/// An object that has received these messages.
fn received<const N: usize>(messages: [&'static str; N]) -> Texts {
    let mut levels = Texts::new();
    messages
        .into_iter()
        .for_each(|message| levels.receive(message));
    levels
}

/// Holds something in the newest level.
fn hold(levels: &mut Texts, made: &'static str) {
    assert_eq!(levels.hold(made), None, "a level is open");
}

/// Consumes all that waits.
fn consume_all(levels: &mut Texts) -> Vec<&'static str> {
    std::iter::from_fn(|| levels.consume()).collect()
}

#[test]
fn without_a_level_everything_passes_through() {
    let mut levels = received(["one", "two"]);
    assert_eq!(levels.hold("sent"), Some("sent"));
    assert_eq!(consume_all(&mut levels), ["one", "two"]);
    assert_eq!(levels, Texts::new(), "nothing is kept");
}

#[test]
fn levels_are_counted_from_the_outermost() {
    let mut levels = Texts::new();
    assert_eq!([levels.speculate(), levels.speculate()], [0, 1]);
    assert_eq!(levels.open(), 2);
}

#[test]
fn what_is_made_in_a_level_is_handed_out_when_it_commits() {
    let mut levels = Texts::new();
    levels.speculate();
    hold(&mut levels, "first");
    hold(&mut levels, "second");
    assert_eq!(levels.commit(0), Ok(vec!["first", "second"]));
    assert_eq!(levels.hold("third"), Some("third"));
}

#[test]
fn what_was_consumed_in_a_committed_level_does_not_come_again() {
    let mut levels = received(["one"]);
    levels.speculate();
    assert_eq!(levels.consume(), Some("one"));
    assert_eq!(levels.commit(0), Ok(vec![]));
    assert_eq!(levels, Texts::new());
}

#[test]
fn what_was_made_in_an_aborted_level_is_gone() {
    let mut levels = Texts::new();
    levels.speculate();
    hold(&mut levels, "lost");
    assert_eq!(levels.abort(0), Ok(()));
    assert_eq!(levels, Texts::new());
}

#[test]
fn what_was_consumed_in_an_aborted_level_comes_again_before_anything_newer() {
    let mut levels = received(["one", "two", "three"]);
    levels.speculate();
    levels.consume();
    levels.consume();
    levels.receive("four");
    assert_eq!(levels.abort(0), Ok(()));
    assert_eq!(consume_all(&mut levels), ["one", "two", "three", "four"]);
}

#[test]
fn an_inner_level_that_commits_is_part_of_the_one_around_it() {
    let mut levels = received(["one", "two"]);
    levels.speculate();
    hold(&mut levels, "outer");
    levels.consume();
    levels.speculate();
    hold(&mut levels, "inner");
    levels.consume();
    assert_eq!(levels.commit(1), Ok(vec![]));
    let committed = levels.clone().commit(0);
    assert_eq!(committed, Ok(vec!["outer", "inner"]));
    assert_eq!(levels.abort(0), Ok(()));
    assert_eq!(consume_all(&mut levels), ["one", "two"]);
}

#[test]
fn an_inner_level_aborts_alone() {
    let mut levels = received(["one", "two"]);
    levels.speculate();
    hold(&mut levels, "outer");
    levels.consume();
    levels.speculate();
    hold(&mut levels, "inner");
    levels.consume();
    assert_eq!(levels.abort(1), Ok(()));
    assert_eq!(levels.waiting(), 1);
    assert_eq!(levels.commit(0), Ok(vec!["outer"]));
    assert_eq!(consume_all(&mut levels), ["two"]);
}

/// Mojave's semantics: a commit does not wait for what is inside it.
#[test]
fn the_outermost_level_commits_without_the_newer_ones() {
    let mut levels = received(["one", "two"]);
    levels.speculate();
    hold(&mut levels, "outer");
    levels.consume();
    levels.speculate();
    hold(&mut levels, "inner");
    levels.consume();
    assert_eq!(levels.commit(0), Ok(vec!["outer"]));
    assert_eq!(levels.open(), 1, "the inner one is the outermost now");
    assert_eq!(levels.abort(0), Ok(()));
    assert_eq!(consume_all(&mut levels), ["two"]);
}

/// Each holds its name and has consumed a message.
fn three_levels() -> Texts {
    let mut levels = received(["one", "two", "three"]);
    for made in ["outer", "middle", "inner"] {
        levels.speculate();
        hold(&mut levels, made);
        levels.consume();
    }
    levels
}

#[test]
fn a_level_in_the_middle_commits_into_the_one_around_it() {
    let mut levels = three_levels();
    assert_eq!(levels.commit(1), Ok(vec![]));
    assert_eq!(levels.abort(1), Ok(()), "only the inner one is undone");
    assert_eq!(levels.commit(0), Ok(vec!["outer", "middle"]));
    assert_eq!(consume_all(&mut levels), ["three"]);
}

#[test]
fn an_abort_takes_all_newer_levels_along() {
    let mut levels = three_levels();
    assert_eq!(levels.abort(1), Ok(()));
    assert_eq!(levels.commit(0), Ok(vec!["outer"]));
    assert_eq!(consume_all(&mut levels), ["two", "three"]);
}

/// What comes again is consumed in the levels that are open by then.
#[test]
fn what_came_again_comes_again_once_more() {
    let mut levels = received(["one", "two"]);
    levels.speculate();
    for _ in 0..3 {
        levels.speculate();
        assert_eq!(levels.consume(), Some("one"));
        assert_eq!(levels.abort(1), Ok(()));
    }
    assert_eq!(consume_all(&mut levels), ["one", "two"]);
    assert_eq!(levels.abort(0), Ok(()));
    assert_eq!(consume_all(&mut levels), ["one", "two"]);
}

#[test]
fn a_level_that_is_not_open_is_refused_and_nothing_changes() {
    let mut levels = received(["one"]);
    levels.speculate();
    hold(&mut levels, "held");
    levels.consume();
    let before = levels.clone();
    for level in [1, 2, usize::MAX] {
        let refused = NoLevel { level, open: 1 };
        assert_eq!(levels.commit(level), Err(refused));
        assert_eq!(levels.abort(level), Err(refused));
    }
    assert_eq!(levels, before);
    let message = NoLevel { level: 3, open: 1 }.to_string();
    assert_eq!(message, "level 3 is not open, 1 levels are");
}

/// A version may be sealed while a level is open, and its state comes back elsewhere.
#[test]
fn open_levels_can_be_stored() {
    let mut levels = Levels::<String, String>::new();
    levels.receive("one".to_owned());
    levels.receive("two".to_owned());
    levels.speculate();
    assert_eq!(levels.hold("held".to_owned()), None);
    levels.consume();
    let stored = postcard::to_allocvec(&levels).expect("plain data");
    assert_eq!(postcard::from_bytes(&stored), Ok(levels));
}

/// What a level holds has no number in a channel, whatever is sealed meanwhile; it is sent in the version in which the
/// level commits (rules P14 and P16).
#[test]
fn a_level_sends_when_it_commits() {
    let (hotel, flight) = (ObjectId(1), ObjectId(2));
    let mut participant = Participant::new(hotel, Incarnation(1), Speculation::On);
    let mut on = |input| {
        participant.handle(input);
        std::iter::from_fn(|| participant.poll_effect()).last()
    };
    on(Input::Coordinator(ToParticipant::Admit {
        incarnation: Incarnation(1),
        world_line: WorldLine(0),
        keep: Version::ZERO,
        boundary: Default::default(),
    }));
    on(Input::Restored);
    let mut levels = Levels::<Input, Bytes>::new();
    let payload = Bytes::from_static(b"book");
    let send = Input::Send {
        to: flight,
        payload: payload.clone(),
    };
    levels.speculate();
    assert_eq!(levels.hold(send.clone()), None);
    on(Input::Touch);
    let sealed = on(Input::Seal {
        at_least: Version::ZERO,
        complete: true,
    });
    let Some(Effect::Persist { metadata, .. }) = sealed else {
        panic!("the state has changed: {sealed:?}");
    };
    assert!(metadata.channels.is_empty());
    assert_eq!(levels.commit(0), Ok(vec![send.clone()]));
    let message = PeerMessage::Channel(ChannelMessage {
        seq: Seq(0),
        header: Header::of(WorldLine(0), hotel, metadata.version.next()),
        payload,
    });
    let to = flight;
    assert_eq!(on(send), Some(Effect::Transmit { to, message }));
}

/// What an object does, as far as levels are concerned.
#[derive(Clone, Copy, Debug)]
enum Step {
    Speculate,
    Hold,
    Receive,
    Consume,
    Commit(usize),
    Abort(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Speculate),
        3 => Just(Step::Hold),
        3 => Just(Step::Receive),
        3 => Just(Step::Consume),
        2 => (0..4_usize).prop_map(Step::Commit),
        1 => (0..4_usize).prop_map(Step::Abort),
    ]
}

/// What an object remembers of its life: what an abort undoes, it forgets.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Memory {
    Opened,
    Made(u32),
    Consumed,
}

/// The definition: one life without any structure. Whatever is before the oldest opening of a level is certain. To
/// commit a level is to forget that it was opened, to abort it is to forget all since then.
#[derive(Default)]
struct Model {
    life: Vec<Memory>,
    received: Vec<u32>,
}

impl Model {
    fn openings(&self) -> impl Iterator<Item = usize> {
        (0..self.life.len()).filter(|&at| self.life[at] == Memory::Opened)
    }

    fn commit(&mut self, level: usize) -> Option<()> {
        let opening = self.openings().nth(level)?;
        self.life.remove(opening);
        Some(())
    }

    fn abort(&mut self, level: usize) -> Option<()> {
        let opening = self.openings().nth(level)?;
        self.life.truncate(opening);
        Some(())
    }

    fn consume(&mut self) -> Option<u32> {
        let next = *self.waiting().first()?;
        self.life.push(Memory::Consumed);
        Some(next)
    }

    fn waiting(&self) -> &[u32] {
        let consumed = self.life.iter().filter(|&&past| past == Memory::Consumed);
        &self.received[consumed.count()..]
    }

    /// All that has left the object by now.
    fn given(&self) -> Vec<u32> {
        let certain = self.life.iter().take_while(|&&past| past != Memory::Opened);
        let made = certain.filter_map(|past| match past {
            Memory::Made(made) => Some(*made),
            _ => None,
        });
        made.collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn levels_do_what_their_definition_says(steps in prop::collection::vec(step(), 0..60)) {
        let (mut levels, mut model) = (Levels::<u32, u32>::new(), Model::default());
        let mut given = Vec::new();
        for (number, step) in (0..).zip(steps) {
            match step {
                Step::Speculate => {
                    prop_assert_eq!(levels.speculate(), model.openings().count());
                    model.life.push(Memory::Opened);
                }
                Step::Hold => {
                    given.extend(levels.hold(number));
                    model.life.push(Memory::Made(number));
                }
                Step::Receive => {
                    levels.receive(number);
                    model.received.push(number);
                }
                Step::Consume => prop_assert_eq!(levels.consume(), model.consume()),
                Step::Commit(level) => {
                    let committed = levels.commit(level);
                    prop_assert_eq!(committed.is_ok(), model.commit(level).is_some());
                    given.extend(committed.unwrap_or_default());
                }
                Step::Abort(level) => {
                    prop_assert_eq!(levels.abort(level).is_ok(), model.abort(level).is_some());
                }
            }
            prop_assert_eq!(&given, &model.given());
            prop_assert_eq!(levels.open(), model.openings().count());
            prop_assert_eq!(levels.waiting(), model.waiting().len());
        }
    }
}
