//! What runs on a machine: it reads, records changes and answers.

use std::ops::Deref;

use bytes::{BufMut as _, Bytes, BytesMut};
use leap_core::ObjectId;

use super::replies::{RecordedReply, Replies, check_key};
use super::{CHANGE, REPLY};
use crate::object::{ActionContext, Output};
use crate::service::{CallError, Envelope, Machine, Service};
use crate::sthread::SThread;

/// The running action on a machine. Dereferences to the machine for reading.
///
/// ```
/// use leap::{Action, Host, Machine, ObjectId, encode_value};
///
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Orders(u64);
///
/// impl Machine for Orders {
///     type Change = ();
///     fn apply(&mut self, (): ()) {
///         self.0 += 1;
///     }
/// }
///
/// #[leap::service]
/// impl Orders {
///     /// Takes an order, and makes the kitchen hear of it exactly once.
///     fn order(action: &mut Action<'_, Self>, dish: String) -> u64 {
///         action.record(());
///         action.tell(ObjectId::from_name("kitchen"), "cook", encode_value(&dish));
///         action.0
///     }
/// }
///
/// # leap::testing::run_example(async {
/// let host = Host::builder().start().await?;
/// let orders = host.add::<Orders>("orders").await?;
/// // An action of one's own, without a handler.
/// let number = orders.change(|action| Orders::order(action, "soup".into())).await?;
/// assert_eq!(number, 1);
/// // One that happens once, however often it is asked for.
/// for _ in 0..2 {
///     let ordered = orders.change(|action| {
///         action.once("order", "table 7", |action| Ok(encode_value(&Orders::order(action, "cake".into()))))
///     });
///     assert_eq!(ordered.await??, "2");
/// }
/// # Ok(())
/// # });
/// ```
pub struct Action<'a, M: Machine> {
    pub(super) machine: &'a mut M,
    pub(super) replies: &'a mut Replies,
    pub(super) changes: &'a mut BytesMut,
    pub(super) context: &'a ActionContext<'a>,
}

impl<M: Machine> Deref for Action<'_, M> {
    type Target = M;

    fn deref(&self) -> &M {
        self.machine
    }
}

impl<M: Machine> Action<'_, M> {
    /// Records a change and applies it.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let sum = counter.change(|action| {
    ///     action.record(5);
    ///     action.0 // read through the action, and changed already
    /// });
    /// assert_eq!(sum.await?, 5);
    /// # Ok(())
    /// # });
    /// ```
    pub fn record(&mut self, change: M::Change) {
        self.changes.put_u8(CHANGE);
        let written = postcard::to_io(&change, (&mut *self.changes).writer());
        written.expect("a change is plain data and memory takes it");
        self.machine.apply(change);
    }

    /// Runs `handle` for the first call of `method` with `key` and records its reply with what it
    /// changed; a later one gets the recorded reply and changes nothing, whatever else it asks for. An
    /// error is not recorded: the call has changed nothing and may be tried again.
    ///
    /// The newest 65,536 replies of an object are kept; an older key counts as new.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::encode_value;
    ///
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// for _attempt in 0..2 {
    ///     let reply = counter.change(|action| {
    ///         action.once("add", "order 17", |action| {
    ///             action.record(5);
    ///             Ok(encode_value(&action.0))
    ///         })
    ///     });
    ///     assert_eq!(reply.await??, "5");
    /// }
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// That of `handle`; [`CallError::BadRequest`] if the key is empty or has more than
    /// [`MAX_IDEMPOTENCY_KEY_BYTES`](crate::MAX_IDEMPOTENCY_KEY_BYTES).
    pub fn once(
        &mut self,
        method: &str,
        key: &str,
        handle: impl FnOnce(&mut Self) -> Result<Bytes, CallError>,
    ) -> Result<Bytes, CallError> {
        check_key(method, key)?;
        if let Some(reply) = self.replies.find(method, key) {
            return Ok(reply);
        }
        let reply = handle(self)?;
        let recorded = RecordedReply {
            method: method.to_owned(),
            key: key.to_owned(),
            reply: reply.clone(),
        };
        self.changes.put_u8(REPLY);
        let written = postcard::to_io(&recorded, (&mut *self.changes).writer());
        written.expect("a reply is plain data and memory takes it");
        self.replies.keep(recorded);
        Ok(reply)
    }

    /// Calls a handler of another object, exactly once. The answer comes to
    /// [`Service::handle_reply`] with this `call`, the caller's own number for it.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::testing::{Cluster, Counter};
    /// use leap::{Action, Bytes, CallError, Machine, ObjectId, Service, decode_reply, encode_value};
    ///
    /// /// Remembers what the counter said last.
    /// #[derive(Default, serde::Serialize, serde::Deserialize)]
    /// struct Display(u64);
    ///
    /// impl Machine for Display {
    ///     type Change = u64;
    ///     fn apply(&mut self, said: u64) {
    ///         self.0 = said;
    ///     }
    /// }
    ///
    /// impl Service for Display {
    ///     fn handle_reply(
    ///         action: &mut Action<'_, Self>,
    ///         _from: ObjectId,
    ///         call: u64,
    ///         reply: Result<Bytes, CallError>,
    ///     ) {
    ///         assert_eq!(call, 17);
    ///         if let Ok(sum) = reply.and_then(|reply| decode_reply("add", &reply)) {
    ///             action.record(sum);
    ///         }
    ///     }
    /// }
    ///
    /// let cluster = Cluster::new().await;
    /// let host = cluster.host("a").await;
    /// host.add::<Counter>("counter").await?;
    /// let display = host.add::<Display>("display").await?;
    /// display.change(|display| {
    ///     display.call(ObjectId::from_name("counter"), 17, "add", encode_value(&5));
    /// }).await?;
    /// cluster.settled().await;
    /// assert_eq!(display.view_released(|display| display.0).await?, 5);
    /// # Ok(())
    /// # });
    /// ```
    pub fn call(&self, to: ObjectId, call: u64, method: &str, body: Bytes) {
        let request = Envelope::Request {
            call,
            method: method.to_owned(),
            body,
        };
        self.context.send(to, request.encode());
    }

    /// Makes another object run a handler, exactly once, without an answer.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// use leap::testing::{Cluster, Counter};
    /// use leap::{ObjectId, encode_value};
    ///
    /// let cluster = Cluster::new().await;
    /// let host = cluster.host("a").await;
    /// let one = host.add::<Counter>("one").await?;
    /// let other = host.add::<Counter>("other").await?;
    /// one.change(|action| {
    ///     action.record(1);
    ///     action.tell(ObjectId::from_name("other"), "add", encode_value(&5));
    /// }).await?;
    /// cluster.settled().await;
    /// assert_eq!(other.view_released(|other| other.0).await?, 5);
    /// # Ok(())
    /// # });
    /// ```
    pub fn tell(&self, to: ObjectId, method: &str, body: Bytes) {
        self.context.send(
            to,
            Envelope::Tell {
                method: method.to_owned(),
                body,
            }
            .encode(),
        );
    }

    /// The action itself: version, world-line, header, sthreads, outputs.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let version = counter.change(|action| {
    ///     action.record(1);
    ///     action.context().version()
    /// });
    /// println!("it is part of version {}", version.await?);
    /// # Ok(())
    /// # });
    /// ```
    pub fn context(&self) -> &ActionContext<'_> {
        self.context
    }

    /// See [`ActionContext::output`].
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let (sum, output) = counter.change(|action| {
    ///     action.record(5);
    ///     (action.0, action.output())
    /// }).await?;
    /// output.await?;
    /// println!("the sum is {sum}, and will never be less");
    /// # Ok(())
    /// # });
    /// ```
    pub fn output(&self) -> Output {
        self.context.output()
    }

    /// See [`ActionContext::detach`].
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # let host = leap::Host::builder().start().await?;
    /// # let counter = host.add::<leap::testing::Counter>("counter").await?;
    /// let (sum, mut sthread) = counter.change(|action| {
    ///     action.record(5);
    ///     (action.0, action.detach())
    /// }).await?;
    /// // Goes on with what was speculated, and waits only before it tells somebody outside.
    /// sthread.barrier().await?;
    /// # Ok(())
    /// # });
    /// ```
    pub fn detach(&self) -> SThread {
        self.context.detach()
    }
}

impl<S: Service> Action<'_, S> {
    pub(super) fn receive(&mut self, from: ObjectId, envelope: Envelope) {
        match envelope {
            Envelope::Request { call, method, body } => {
                let reply = S::call(self, &method, &body);
                self.context
                    .send(from, Envelope::Reply { call, reply }.encode());
            }
            Envelope::Reply { call, reply } => S::handle_reply(self, from, call, reply),
            Envelope::Tell { method, body } => {
                if let Err(error) = S::call(self, &method, &body) {
                    tracing::warn!(%from, %error, "a message could not be handled");
                }
            }
        }
    }
}
