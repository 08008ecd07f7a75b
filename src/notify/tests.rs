//! The domain over a real store, queue and gateway, asked through its own routes.
