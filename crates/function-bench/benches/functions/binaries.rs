//! The functions' programs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Result;

/// Header, directory entry and end record of a zip file with one entry named `bootstrap`.
const ZIP_FRAME_BYTES: usize = 30 + 46 + 22 + 2 * "bootstrap".len();

/// The best compression that `zip -9` does as well.
const DEFLATE_LEVEL: u8 = 9;

/// Names of the functions.
pub(crate) const FUNCTIONS: [&str; 3] = ["authorizer", "invoke", "metering-aggregator"];

/// Where each function's program is.
pub(crate) type Binaries = BTreeMap<String, PathBuf>;

/// How large a program is, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) binary: usize,
    pub(crate) zip: usize,
}

/// Builds what is not up to date, with the same packages selected as by `cargo lambda build`: so
/// the features are those of what is deployed.
pub(crate) fn build(root: &Path, profile: &str) -> Result<Binaries> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root).args([
        "build",
        "--profile",
        profile,
        "--message-format",
        "json-render-diagnostics",
    ]);
    for name in FUNCTIONS {
        cargo.args(["--bin", name]);
    }
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("cargo could not build the functions".into());
    }
    let mut binaries = Binaries::new();
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let message: Value = serde_json::from_slice(line)?;
        let name = message.pointer("/target/name").and_then(Value::as_str).unwrap_or_default();
        if let Some(path) = message.get("executable").and_then(Value::as_str)
            && FUNCTIONS.contains(&name)
        {
            binaries.insert(name.to_owned(), PathBuf::from(path));
        }
    }
    if binaries.len() < FUNCTIONS.len() {
        return Err(format!("cargo built only {:?}", binaries.keys()).into());
    }
    Ok(binaries)
}

/// How large the program at `path` is, and a zip file with it.
pub(crate) fn size(path: &Path) -> Result<Size> {
    let program = fs::read(path)?;
    let zip =
        miniz_oxide::deflate::compress_to_vec(&program, DEFLATE_LEVEL).len() + ZIP_FRAME_BYTES;
    Ok(Size { binary: program.len(), zip })
}
