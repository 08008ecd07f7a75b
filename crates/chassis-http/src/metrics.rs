//! Names of metrics and attributes, once.

pub(crate) const AUTH_REQUESTS: &str = "auth_requests_total";
pub(crate) const AUTH_KEY_FILE_RELOADS: &str = "auth_key_file_reloads_total";
pub(crate) const RATE_LIMIT_DECISIONS: &str = "rate_limit_decisions_total";
pub(crate) const RATE_LIMIT_CLIENTS: &str = "rate_limit_clients";
pub(crate) const CONNECTIONS: &str = "http_connections";
pub(crate) const CONNECTIONS_TIMED_OUT: &str = "http_connections_timed_out_total";
pub(crate) const CONNECTIONS_LIMIT_REACHED: &str = "http_connections_limit_reached_total";
pub(crate) const TLS_HANDSHAKES_FAILED: &str = "tls_handshakes_failed_total";
pub(crate) const TLS_CERTIFICATE_RELOADS: &str = "tls_certificate_reloads_total";
pub(crate) const TLS_CERTIFICATE_EXPIRES: &str = "tls_certificate_expires_timestamp_seconds";

/// The attribute of a request's span that holds its key's name.
pub(crate) const USER_NAME: &str = "user.name";
