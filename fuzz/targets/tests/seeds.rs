//! Every target over its seeds, and over a few thousand inputs made of them, the same each time.

use fastrand::Rng;
use fuzz_targets::TARGETS;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// As many inputs are made for each target, as long as that takes less than a moment.
const INPUTS: usize = 2_000;
const MOMENT: Duration = Duration::from_secs(4);

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let stem = |path: PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    entries.map(|entry| stem(entry.expect("an entry").path())).collect()
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = folder("seeds").join(target);
    let names = names_in(&folder);
    names.iter().map(|name| fs::read(folder.join(name)).expect("a seed")).collect()
}

#[test]
fn every_target_has_a_program_and_seeds() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len(), "a name stands once");
    assert_eq!(names_in(&folder("fuzz_targets")), targets);
    assert_eq!(names_in(&folder("seeds")), targets);
    let manifest = fs::read_to_string(folder("Cargo.toml")).expect("the manifest");
    for target in &targets {
        assert!(manifest.contains(&format!("name = \"{target}\"\n")), "{target} is not in fuzz/Cargo.toml");
        assert!(!seeds(target).is_empty(), "{target} has no seeds");
    }
}

#[test]
fn targets_hold_over_their_seeds_and_over_mutations() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        seeds.iter().for_each(|seed| run(name, *target, seed));
        let mut random = Rng::with_seed(1);
        let begun = Instant::now();
        for _ in 0..INPUTS {
            if begun.elapsed() > MOMENT {
                break;
            }
            run(name, *target, &mutated(&seeds, &mut random));
        }
    }
}

/// Runs a target, and shows the input when it fails.
fn run(name: &str, target: fn(&[u8]), input: &[u8]) {
    struct Shown<'a>(&'a str, &'a [u8]);
    impl Drop for Shown<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("{} failed on \"{}\"", self.0, self.1.escape_ascii());
            }
        }
    }
    let _shown = Shown(name, input);
    target(input);
}

/// Bytes that mean something to most of what is read.
const SIGNS: &[u8] = b" \"'\\.,:;-+*%{}[]()<>/=|09aZ\n\0\xff";

/// A seed with a few changes: bytes set, removed, repeated, or taken from another seed.
fn mutated(seeds: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let mut input = seeds[random.usize(..seeds.len())].clone();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..=input.len());
        let len = random.usize(..=(input.len() - at).min(8));
        match random.u8(..6) {
            0 => input.insert(at, random.u8(..)),
            1 => drop(input.drain(at..at + len)),
            2 => {
                let part = input[at..at + len].to_vec();
                input.splice(at..at, part.repeat(random.usize(1..4)));
            }
            3 => {
                let other = &seeds[random.usize(..seeds.len())];
                let from = random.usize(..=other.len());
                let part = other[from..].iter().take(random.usize(..24)).copied();
                input.splice(at..at, part.collect::<Vec<_>>());
            }
            4 if at < input.len() => input[at] ^= 1_u8 << random.u8(..8),
            _ if at < input.len() => input[at] = SIGNS[random.usize(..SIGNS.len())],
            _ => {}
        }
    }
    input
}
