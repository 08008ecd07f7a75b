//! The program `ctms`, the second service of the example.

fn main() {}
