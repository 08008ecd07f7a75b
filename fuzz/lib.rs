//! Nothing: a package has to have a library or a program. The targets are in `targets/`, libFuzzer's entry
//! point in `main.rs`.
