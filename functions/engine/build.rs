//! Embeds every file of `sql/`, so that a new one is noticed.

use std::{env, fmt::Write, fs, path::Path};

fn main() {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("set by cargo"))
        .join("../../sql")
        .canonicalize()
        .expect("the folder sql/");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut list = String::from("/// Name and text of each model.\npub(crate) const EMBEDDED: &[(&str, &str)] = &[\n");
    for layer in ["checks", "facts", "measures", "staging", "windows"] {
        let mut files: Vec<_> =
            fs::read_dir(root.join(layer)).expect("a layer").map(|file| file.expect("a file").path()).collect();
        files.sort();
        for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "sql")) {
            let name = file.file_stem().expect("a name").to_string_lossy();
            println!("cargo::rerun-if-changed={}", file.display());
            writeln!(list, "    ({:?}, include_str!({file:?})),", format!("{layer}/{name}")).expect("a string grows");
        }
    }
    fs::write(Path::new(&env::var("OUT_DIR").expect("set by cargo")).join("models.rs"), list + "];\n")
        .expect("OUT_DIR is writable");
}
