//! Speculation across gRPC and HTTP: `leap::tower` around real tonic and axum services.
//!
//! Most tests call services without a socket, on a paused clock; `loopback` goes over TCP.

mod counter;
mod inside;
mod loopback;
mod outside;
mod refusals;
mod streams;
