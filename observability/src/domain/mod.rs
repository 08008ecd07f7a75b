//! Dashboards of the sample: a fork replaces them.
