//! The travel-reservation application: hotel, flight and car services and the workflow that books trips.
