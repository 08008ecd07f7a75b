//! Where Alertmanager sends each alert.
