//! The fuzz targets without libFuzzer: each over its seeds and over inputs near them, the same ones on every
//! run. `cargo xtask fuzz` looks further.

mod targets;

use chassis_test::mutate::Mutator;
use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};
use targets::{ALL, PLANTED, Target};

/// Inputs for each target besides its seeds.
const INPUTS: usize = 400;

fn corpus() -> PathBuf {
    PathBuf::from("corpus")
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(corpus().join(target.name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// The first input that breaks the target.
fn breaks(target: &Target, seeds: &[Vec<u8>], inputs: usize) -> Option<Vec<u8>> {
    let mut mutator = Mutator::new(target.name.bytes().map(u64::from).sum());
    let near = (0..inputs).map(|_| mutator.near(seeds)).collect::<Vec<_>>();
    let mut all = seeds.iter().cloned().chain(near);
    all.find(|input| catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err())
}

#[test]
fn no_target_breaks_on_its_seeds_or_near_them() {
    for target in ALL {
        let broken = breaks(target, &seeds(target), INPUTS);
        assert!(broken.is_none(), "{}: {}", target.name, broken.unwrap_or_default().escape_ascii());
    }
}

#[test]
fn a_planted_bug_is_found() {
    assert!(breaks(&PLANTED, &[b"fuzy".to_vec(), b"buzz".to_vec()], 20_000).is_some());
    assert!(breaks(&PLANTED, &[b"fuzzing".to_vec()], 0).is_some());
}

#[test]
fn each_target_has_seeds_and_each_seed_a_target() {
    let folders =
        fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = ALL.iter().map(|target| target.name.to_owned());
    assert_eq!(folders.collect::<BTreeSet<_>>(), names.collect::<BTreeSet<_>>());
    for target in ALL {
        let seeds = seeds(target);
        assert!(seeds.len() > 1, "{}", target.name);
        assert!(seeds.iter().all(|seed| seed.len() <= 1024), "{}: seeds are small", target.name);
    }
}
