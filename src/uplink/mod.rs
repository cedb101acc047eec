//! Whom the log is told: sinks, each with a cursor of its own, that get every record at least once and in order.
