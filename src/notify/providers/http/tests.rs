//! The provider against gateways that break at chosen moments.
