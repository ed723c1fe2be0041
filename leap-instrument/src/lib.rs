//! Bus stops.
