//! Whether forks work: both kinds are made, built, tested, started and called.
