//! Packs the built page (`assets/`, made of `ui/` by `./dev ui`) into a table of files.
//!
//! The page is committed as it was built, so that neither Node nor a network is needed here.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let assets = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("assets");
    println!("cargo::rerun-if-changed={}", assets.display());
    assert!(
        assets.join("index.html").exists(),
        "the built page is missing ({}): run ./dev ui, or git checkout crates/web/assets",
        assets.display()
    );
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    let mut files = Vec::new();
    collect(&assets, &mut files);
    files.sort();
    let mut table = String::from("&[\n");
    for (n, file) in files.iter().enumerate() {
        let bytes = fs::read(file).expect("a readable file");
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&bytes).expect("memory takes it");
        let packed = packed.finish().expect("memory takes it");
        let mut sum = flate2::Crc::new();
        sum.update(&bytes);
        let name = format!("page-{n}.gz");
        fs::write(out.join(&name), packed).expect("cargo's folder takes it");
        let path = file.strip_prefix(&assets).expect("below assets").to_str().expect("UTF-8");
        writeln!(
            table,
            "File {{ path: {path:?}, kind: {:?}, etag: \"\\\"{:08x}-{:x}\\\"\", packed: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}\")) }},",
            kind(file),
            sum.sum(),
            bytes.len(),
        )
        .expect("memory takes it");
    }
    table.push(']');
    fs::write(out.join("page.rs"), table).expect("cargo's folder takes it");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

fn kind(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        other => panic!("{}: no media type is known for {other:?}; add it here", file.display()),
    }
}
