//! The server: hosts objects, the coordinator and the HTTP and gRPC APIs.
