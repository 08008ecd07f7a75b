//! The hermetic tests, in one binary: no network, no root, no other program.

mod file_shape;
mod import_rule;
mod source;
