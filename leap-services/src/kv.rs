//! A key-value store: get, put, delete, compare and swap, scan.
//!
//! [`KeyValueStore`] is the state object, [`KeyValueClient`] calls it from anywhere. It lives in memory;
//! its journal holds the changes since the last checkpoint, and what is older is dropped. So storage and
//! recovery time grow with what is stored, not with how often it changed.
//!
//! Whoever reads depends on what was read: another state object through the message, a caller from
//! outside by waiting until what it saw can never be lost (rule P8). Reading changes nothing, and seals
//! no version.
//!
//! # Limits
//!
//! Keys are text of up to [`MAX_KEY_BYTES`], values any bytes up to [`MAX_VALUE_BYTES`].
//!
//! ```
//! # leap::testing::run_example(async {
//! use leap::Host;
//! use leap_services::kv::{KeyValueClient, KeyValueStore};
//!
//! let host = Host::builder().start().await?;
//! host.add::<KeyValueStore>("settings").await?;
//! let settings = KeyValueClient::new(&host, "settings");
//! settings.put("colour", "blue").await?;
//! settings.compare_and_swap("colour", Some("blue".into()), Some("green".into())).await?;
//! assert_eq!(settings.get("colour").await?, Some("green".into()));
//! # Ok(())
//! # });
//! ```

mod client;

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

use bytes::Bytes;
use leap::{Action, CallError, Machine, Service, decode_request, encode_value};
use serde::{Deserialize, Serialize};

use crate::Payload;
pub use client::{KeyValueCallError, KeyValueClient};

/// The longest key, in bytes.
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap_services::kv::*;
/// # let host = leap::Host::builder().start().await?;
/// # let object = host.add::<KeyValueStore>("settings").await?;
/// # let settings = KeyValueClient::new(&host, "settings");
/// let longest = "k".repeat(MAX_KEY_BYTES);
/// settings.put(longest.clone(), "blue").await?;
/// assert!(settings.put(longest + "k", "blue").await.is_err());
/// # Ok(())
/// # });
/// ```
pub const MAX_KEY_BYTES: usize = 4096;

/// The largest value, in bytes.
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap_services::kv::*;
/// # let host = leap::Host::builder().start().await?;
/// # let object = host.add::<KeyValueStore>("settings").await?;
/// # let settings = KeyValueClient::new(&host, "settings");
/// let refused = settings.put("colour", vec![0; MAX_VALUE_BYTES + 1]).await;
/// let bytes = MAX_VALUE_BYTES + 1;
/// assert_eq!(refused, Err(KeyValueCallError::Refused(KeyValueError::ValueTooLarge { bytes })));
/// # Ok(())
/// # });
/// ```
pub const MAX_VALUE_BYTES: usize = 1 << 20;

/// How much a page of a scan holds at most, unless a single entry is larger.
const PAGE_BYTES: usize = 1 << 20;
const PAGE_ENTRIES: usize = 1000;

/// A state object that keeps values by key.
///
/// Handlers, requests and replies in JSON (values as [`Payload`] writes them):
///
/// | handler | request | reply |
/// |---|---|---|
/// | `get` | key | value or null |
/// | `scan` | [`Scan`] | [`Page`] |
/// | `put` | [`Put`] | `Result<(), KeyValueError>` |
/// | `delete` | key | whether there was one |
/// | `compare_and_swap` | [`CompareAndSwap`] | `Result<(), KeyValueError>` |
///
/// ```
/// # leap::testing::run_example(async {
/// use leap::{Host, encode_value};
/// use leap_services::kv::KeyValueStore;
/// # use serde_json::json;
///
/// let host = Host::builder().start().await?;
/// host.add::<KeyValueStore>("settings").await?;
/// // As any program that speaks JSON does it; in Rust there is `KeyValueClient`.
/// let put = json!({ "key": "colour", "value": "blue" });
/// host.call("settings", "put", encode_value(&put)).await?;
/// assert_eq!(host.call("settings", "get", encode_value("colour")).await?, r#""blue""#);
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct KeyValueStore {
    entries: BTreeMap<String, Payload>,
}

/// What is recorded.
///
/// ```
/// use leap::Machine;
/// use leap_services::kv::{Change, KeyValueStore, Put};
///
/// let mut store = KeyValueStore::default();
/// // What recovery does with each change in the journal.
/// store.apply(Change::Put(Put { key: "colour".into(), value: "blue".into() }));
/// assert_eq!(store.get("colour"), Some(&"blue".into()));
/// store.apply(Change::Deleted("colour".into()));
/// assert_eq!(store.get("colour"), None);
/// ```
#[derive(Serialize, Deserialize)]
pub enum Change {
    /// The key has this value.
    Put(Put),
    /// The key has none.
    Deleted(String),
}

/// Gives a key a value.
///
/// ```
/// use leap_services::kv::Put;
///
/// let put = Put { key: "colour".into(), value: "blue".into() };
/// assert_eq!(serde_json::to_string(&put)?, r#"{"key":"colour","value":"blue"}"#);
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// The key.
    pub key: String,
    /// Its value.
    pub value: Payload,
}

/// Gives a key a value, or none, if it has an expected one.
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap_services::kv::*;
/// # let host = leap::Host::builder().start().await?;
/// # let object = host.add::<KeyValueStore>("settings").await?;
/// # let settings = KeyValueClient::new(&host, "settings");
/// // In an action of one's own, together with whatever else it does:
/// let swap = CompareAndSwap { key: "leader".into(), expected: None, new: Some("a".into()) };
/// object.change_released(|store| KeyValueStore::compare_and_swap(store, swap.clone())).await??;
/// assert_eq!(settings.get("leader").await?, Some("a".into()));
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompareAndSwap {
    /// The key.
    pub key: String,
    /// What it must have now; nothing if it must not be there.
    pub expected: Option<Payload>,
    /// What it has then; nothing to delete it.
    pub new: Option<Payload>,
}

/// Asks for a range of keys, in order.
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap_services::kv::*;
/// # let host = leap::Host::builder().start().await?;
/// # let object = host.add::<KeyValueStore>("settings").await?;
/// # let settings = KeyValueClient::new(&host, "settings");
/// for key in ["room 1", "room 2", "suite"] {
///     settings.put(key, "free").await?;
/// }
/// let rooms = Scan { from: Some("room".into()), to: Some("room~".into()), limit: None };
/// assert_eq!(settings.scan(&rooms).await?.entries.len(), 2);
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Scan {
    /// The first key, or the [`next`](Page::next) of the page before; without, from the beginning.
    pub from: Option<String>,
    /// The first key that is not wanted any more; without, to the end.
    pub to: Option<String>,
    /// How many entries are wanted at most; a page has no more than 1000 entries or 1 MiB anyway.
    pub limit: Option<usize>,
}

/// A part of a scan.
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap_services::kv::*;
/// # let host = leap::Host::builder().start().await?;
/// # let object = host.add::<KeyValueStore>("settings").await?;
/// # let settings = KeyValueClient::new(&host, "settings");
/// settings.put("colour", "blue").await?;
/// settings.put("size", "7").await?;
/// let mut scan = Scan { limit: Some(1), ..Scan::default() };
/// let mut keys = Vec::new();
/// loop {
///     let page = settings.scan(&scan).await?;
///     keys.extend(page.entries.into_iter().map(|(key, _value)| key));
///     match page.next {
///         Some(next) => scan.from = Some(next),
///         None => break,
///     }
/// }
/// assert_eq!(keys, ["colour", "size"]);
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Keys and values, in the order of keys.
    pub entries: Vec<(String, Payload)>,
    /// Where to go on; nothing when the range is done.
    pub next: Option<String>,
}

/// Why a store does not do what it is asked for. It is unchanged then.
///
/// ```
/// # leap::testing::run_example(async {
/// # use leap_services::kv::*;
/// # let host = leap::Host::builder().start().await?;
/// # let object = host.add::<KeyValueStore>("settings").await?;
/// # let settings = KeyValueClient::new(&host, "settings");
/// settings.put("size", "7").await?;
/// let refused = settings.compare_and_swap("size", Some("6".into()), None).await;
/// match refused {
///     Err(KeyValueCallError::Refused(KeyValueError::Mismatch { found })) => {
///         assert_eq!(found, Some("7".into()), "somebody was faster");
///     }
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum KeyValueError {
    /// The key has another value than expected.
    #[error("the value is another one: {found:?}")]
    Mismatch {
        /// What it has; nothing if it is not there.
        found: Option<Payload>,
    },
    /// The key is too long.
    #[error("a key of {bytes} bytes; the longest has {MAX_KEY_BYTES}")]
    KeyTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The value is too large.
    #[error("a value of {bytes} bytes; the largest has {MAX_VALUE_BYTES}")]
    ValueTooLarge {
        /// Its size.
        bytes: usize,
    },
}

impl Machine for KeyValueStore {
    type Change = Change;

    fn apply(&mut self, change: Change) {
        match change {
            Change::Put(Put { key, value }) => drop(self.entries.insert(key, value)),
            Change::Deleted(key) => drop(self.entries.remove(&key)),
        }
    }
}

/// Reading.
impl KeyValueStore {
    /// The value of `key`.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::kv::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<KeyValueStore>("settings").await?;
    /// # let settings = KeyValueClient::new(&host, "settings");
    /// settings.put("colour", "blue").await?;
    /// // In the process that hosts it, without a call.
    /// let (has_colour, _seen) = object.view(|store| store.get("colour").is_some()).await?;
    /// assert!(has_colour);
    /// # Ok(())
    /// # });
    /// ```
    pub fn get(&self, key: &str) -> Option<&Payload> {
        self.entries.get(key)
    }

    /// A page of a range of keys.
    ///
    /// ```
    /// use leap_services::kv::{KeyValueStore, Scan};
    ///
    /// let page = KeyValueStore::default().scan(&Scan::default());
    /// assert!(page.entries.is_empty() && page.next.is_none());
    /// ```
    pub fn scan(&self, scan: &Scan) -> Page {
        let Scan { from, to, limit } = scan;
        let mut page = Page {
            entries: Vec::new(),
            next: None,
        };
        if from
            .as_ref()
            .zip(to.as_ref())
            .is_some_and(|(from, to)| from >= to)
        {
            return page;
        }
        let from = from.as_deref().map_or(Unbounded, Included);
        let to = to.as_deref().map_or(Unbounded, Excluded);
        // A page without entries would lead nowhere.
        let limit = limit.unwrap_or(PAGE_ENTRIES).clamp(1, PAGE_ENTRIES);
        let mut bytes = 0;
        for (key, value) in self.entries.range::<str, _>((from, to)) {
            bytes += key.len() + value.len();
            if page.entries.len() == limit || bytes > PAGE_BYTES && !page.entries.is_empty() {
                page.next = Some(key.clone());
                break;
            }
            page.entries.push((key.clone(), value.clone()));
        }
        page
    }
}

/// Writing.
impl KeyValueStore {
    /// Gives a key a value.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::kv::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<KeyValueStore>("settings").await?;
    /// # let settings = KeyValueClient::new(&host, "settings");
    /// // In an action of one's own, together with whatever else it does:
    /// object.change_released(|store| {
    ///     KeyValueStore::put(store, Put { key: "colour".into(), value: "blue".into() })?;
    ///     KeyValueStore::put(store, Put { key: "size".into(), value: "7".into() })
    /// }).await??;
    /// assert_eq!(settings.get("size").await?, Some("7".into()));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`KeyValueError::KeyTooLong`], [`KeyValueError::ValueTooLarge`].
    pub fn put(action: &mut Action<'_, Self>, put: Put) -> Result<(), KeyValueError> {
        check(&put.key, Some(&put.value))?;
        action.record(Change::Put(put));
        Ok(())
    }

    /// Takes a key's value away; tells whether it had one.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::kv::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<KeyValueStore>("settings").await?;
    /// # let settings = KeyValueClient::new(&host, "settings");
    /// settings.put("colour", "blue").await?;
    /// let delete = |store: &mut leap::Action<'_, _>| KeyValueStore::delete(store, "colour".into());
    /// assert!(object.change_released(delete).await?);
    /// assert!(!object.change_released(delete).await?);
    /// # Ok(())
    /// # });
    /// ```
    pub fn delete(action: &mut Action<'_, Self>, key: String) -> bool {
        let is_there = action.get(&key).is_some();
        if is_there {
            action.record(Change::Deleted(key));
        }
        is_there
    }

    /// Gives a key a value, or none, if it has the expected one.
    ///
    /// ```
    /// # leap::testing::run_example(async {
    /// # use leap_services::kv::*;
    /// # let host = leap::Host::builder().start().await?;
    /// # let object = host.add::<KeyValueStore>("settings").await?;
    /// # let settings = KeyValueClient::new(&host, "settings");
    /// let swap = CompareAndSwap { key: "leader".into(), expected: Some("b".into()), new: None };
    /// let refused = object.change_released(|store| KeyValueStore::compare_and_swap(store, swap.clone()));
    /// assert_eq!(refused.await?, Err(KeyValueError::Mismatch { found: None }));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`KeyValueError`].
    pub fn compare_and_swap(
        action: &mut Action<'_, Self>,
        swap: CompareAndSwap,
    ) -> Result<(), KeyValueError> {
        let CompareAndSwap { key, expected, new } = swap;
        check(&key, new.as_ref())?;
        let found = action.get(&key);
        if found != expected.as_ref() {
            return Err(KeyValueError::Mismatch {
                found: found.cloned(),
            });
        }
        match new {
            Some(value) => action.record(Change::Put(Put { key, value })),
            None if expected.is_some() => action.record(Change::Deleted(key)),
            None => {}
        }
        Ok(())
    }
}

fn check(key: &str, value: Option<&Payload>) -> Result<(), KeyValueError> {
    let value_bytes = value.map_or(0, |value| value.len());
    if key.len() > MAX_KEY_BYTES {
        Err(KeyValueError::KeyTooLong { bytes: key.len() })
    } else if value_bytes > MAX_VALUE_BYTES {
        Err(KeyValueError::ValueTooLarge { bytes: value_bytes })
    } else {
        Ok(())
    }
}

impl Service for KeyValueStore {
    fn call(action: &mut Action<'_, Self>, method: &str, body: &[u8]) -> Result<Bytes, CallError> {
        Ok(match method {
            "put" => encode_value(&Self::put(action, decode_request(method, body)?)),
            "delete" => encode_value(&Self::delete(action, decode_request(method, body)?)),
            "compare_and_swap" => encode_value(&Self::compare_and_swap(
                action,
                decode_request(method, body)?,
            )),
            _ => return Self::query(action, method, body),
        })
    }

    fn is_query(method: &str) -> bool {
        matches!(method, "get" | "scan")
    }

    fn query(&self, method: &str, body: &[u8]) -> Result<Bytes, CallError> {
        Ok(match method {
            "get" => {
                let key: String = decode_request(method, body)?;
                encode_value(&self.get(&key))
            }
            "scan" => encode_value(&self.scan(&decode_request(method, body)?)),
            _ => return Err(CallError::no_such_method(method)),
        })
    }
}
