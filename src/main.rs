//! The program `epro-notify`.

fn main() {}
