//! Every metric, field and attribute name, once.
