//! The workflow that books a trip.

use std::sync::Arc;

use leap::{Call, Host, ObjectOptions, StateError};
use leap_services::workflow::{Engine, EngineClient, EngineError, WorkflowContext, WorkflowError};
use serde::{Deserialize, Serialize};

use crate::inventory::{Rejected, Reservation};
use crate::{BOOK_TRIP, WORKFLOWS};

/// What a traveller wants. The trip's id is that of the workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trip {
    /// Who travels.
    pub traveller: String,
}

/// A booked trip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booking {
    /// The trip's id.
    pub trip: String,
    /// Who travels.
    pub traveller: String,
    /// One for each service.
    pub confirmations: Vec<Confirmation>,
}

/// What one service reserved for a trip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The service.
    pub service: String,
    /// The room, seat or car.
    pub unit: u64,
}

/// Reserves one unit of each service, one after the other. When one refuses, what was reserved is
/// cancelled and the workflow fails.
///
/// # Errors
///
/// [`WorkflowError::Failed`] if a service refuses; those of the steps.
pub async fn book_trip(
    ctx: WorkflowContext,
    trip: Trip,
    services: Arc<[String]>,
) -> Result<Booking, WorkflowError> {
    let mut confirmations = Vec::with_capacity(services.len());
    for service in services.iter() {
        // Before the call: should the workflow be cancelled while the call is under way, nobody knows
        // whether it reserved something. Cancelling what was not reserved does nothing.
        cancel_if_failed(&ctx, service);
        let reserved: Result<Reservation, Rejected> =
            ctx.call(service, "reserve", ctx.id()).await?;
        let Reservation { unit, .. } = reserved
            .map_err(|rejected| WorkflowError::failed(format_args!("{service}: {rejected}")))?;
        confirmations.push(Confirmation {
            service: service.clone(),
            unit,
        });
    }
    Ok(Booking {
        trip: ctx.id().to_owned(),
        traveller: trip.traveller,
        confirmations,
    })
}

fn cancel_if_failed(ctx: &WorkflowContext, service: &str) {
    let service = service.to_owned();
    ctx.compensate(&format!("cancel {service}"), |ctx| async move {
        let _was_held: bool = ctx.call(&service, "cancel", ctx.id()).await?;
        Ok(())
    });
}

/// Hosts an engine that books trips with `services`, in this order, as the object called
/// [`WORKFLOWS`]. Trips that are being booked fail if the engine starts again with other services.
///
/// # Errors
///
/// [`StateError`] if its storage cannot be read.
pub async fn host_workflows(
    host: &Host,
    services: impl IntoIterator<Item = impl Into<String>>,
    options: ObjectOptions,
) -> Result<Engine, StateError> {
    let services: Arc<[String]> = services.into_iter().map(Into::into).collect();
    let book_trip = move |ctx, trip| book_trip(ctx, trip, services.clone());
    Engine::builder()
        .register(BOOK_TRIP, book_trip)
        .start(host, WORKFLOWS, options)
        .await
}

/// Books a trip from outside; asking again with the same id gives the same booking.
///
/// # Errors
///
/// [`EngineError::Workflow`] if a service refused, and then nothing is reserved.
pub async fn book(caller: impl Call, id: &str, trip: &Trip) -> Result<Booking, EngineError> {
    EngineClient::new(caller, WORKFLOWS)
        .run(BOOK_TRIP, id, trip)
        .await
}
