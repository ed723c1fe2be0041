//! The travel-reservation application: a workflow that books a trip with a hotel, an airline and a car
//! rental, or with none of them.
//!
//! Written as any user of Leap would: [`Inventory`] is a service whose handlers are atomic actions,
//! [`book_trip`] a workflow that calls several of them and undoes what it did when one refuses. Nothing
//! here knows of speculation, journals or rollbacks. [`audit`](fn@audit) checks from outside that nothing
//! was lost and nothing was done twice.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use leap::{Host, ObjectOptions};
//!
//! let host = Host::builder().start().await?;
//! for service in travel::SERVICES {
//!     let opening = travel::host_service(&host, service, 100, ObjectOptions::default()).await?;
//!     assert!(opening.done().await);
//! }
//! travel::host_workflows(&host, travel::SERVICES, ObjectOptions::default()).await?;
//!
//! let booking = travel::book(&host, "trip-1", &travel::Trip { traveller: "Ada".into() }).await?;
//! assert_eq!(booking.confirmations.len(), 3);
//! let audit = travel::audit(&host, travel::SERVICES, &[booking]).await?;
//! assert!(audit.is_clean());
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod audit;
mod inventory;
mod trip;

pub use audit::{Audit, audit};
pub use inventory::{
    Inventory, InventoryClient, Opening, Rejected, Reservation, Stats, host_service,
};
pub use trip::{Booking, Confirmation, Trip, book, book_trip, host_workflows};

/// The services of an ordinary trip.
pub const SERVICES: [&str; 3] = ["hotel", "flight", "car"];

/// The name of the object that runs the workflows.
pub const WORKFLOWS: &str = "workflows";

/// The name that [`book_trip`] is registered by.
pub const BOOK_TRIP: &str = "book_trip";
