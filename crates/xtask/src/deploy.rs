//! Building, deploying and seeding, as a person would do it against AWS, aimed at the local one.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::console::Step;
use crate::failure::{Failure, Result};
use crate::layout::Layout;
use crate::ports::Ports;
use crate::python::Venv;
use crate::services::{REGION, STACK_NAME, use_local_aws};
use crate::tool;

const MODEL_SIM: &str = "model-sim";

/// What was built, by its identity: what is equal needs no new deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Built {
    /// The simulator's program.
    pub(crate) model_sim: PathBuf,
    /// Changes with what is deployed: functions, template, API.
    pub(crate) deployment: String,
    /// Changes with what runs beside it: the simulator and the compatibility layer.
    pub(crate) services: String,
}

/// Builds the functions and the simulated models.
///
/// With the same packages selected as by `cargo lambda build`, so that `sam build` finds everything done.
pub(crate) fn build(layout: &Layout) -> Result<Built> {
    let functions = functions(layout)?;
    let mut step = Step::start("Build the functions and the simulated models");
    let mut cargo = Command::new("cargo");
    cargo.arg("build").current_dir(layout.root());
    for name in functions.iter().map(String::as_str).chain([MODEL_SIM]) {
        cargo.args(["--bin", name]);
    }
    tool::run(layout, &mut step, "cargo-build", &mut cargo)?;
    step.done("");

    // cargo puts them beside this program, which it has built in the same way.
    let this = std::env::current_exe()
        .map_err(|error| Failure::new(format!("could not find this program: {error}")))?;
    let programs = this.parent().unwrap_or(Path::new("."));
    let mut deployed: Vec<PathBuf> = functions.iter().map(|name| programs.join(name)).collect();
    deployed.extend(["template.yaml", "infra/openapi.yaml"].map(|file| layout.root().join(file)));
    let model_sim = programs.join(MODEL_SIM);
    let mut beside = vec![model_sim.clone(), layout.root().join("infra/local/requirements.txt")];
    python_files(&layout.root().join("infra/local/weir_local"), &mut beside)?;
    Ok(Built { model_sim, deployment: fingerprint(&deployed)?, services: fingerprint(&beside)? })
}

/// Runs `sam build` and `sam deploy` with the template as it is.
pub(crate) fn deploy(layout: &Layout, ports: Ports, tools: &Venv) -> Result<()> {
    // Heartbeats come often, and changes of models are known soon, so that a person and the tests see them.
    let endpoint = format!("LocalEndpointUrl={}", ports.aws_url());
    let parameters = [
        "Stage=dev",
        "Target=local",
        &endpoint,
        architecture(),
        "LogRetentionDays=1",
        "HeartbeatIntervalMs=1000",
        "CatalogMaxAgeSeconds=20",
    ];

    let mut step = Step::start("sam build");
    let mut build = sam(layout, ports, tools);
    build.args(["build", "--no-cached", "--template-file", "template.yaml", "--build-dir"]);
    build.arg(layout.build_dir()).arg("--parameter-overrides").args(parameters);
    // The dev profile, and the host's own linker instead of zig's: what `cargo build` has built already.
    build.env("SAM_BUILD_MODE", "debug").env("CARGO_LAMBDA_COMPILER", "cargo");
    tool::run(layout, &mut step, "sam-build", &mut build)?;
    step.done("");

    let mut step = Step::start(format!("sam deploy {STACK_NAME}"));
    let mut deploy = sam(layout, ports, tools);
    deploy.args([
        "deploy",
        "--stack-name",
        STACK_NAME,
        "--region",
        REGION,
        "--resolve-s3",
        "--template-file",
    ]);
    deploy.arg(layout.build_dir().join("template.yaml"));
    deploy.args(["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"]);
    deploy.args([
        "--capabilities",
        "CAPABILITY_IAM",
        "CAPABILITY_AUTO_EXPAND",
        "--parameter-overrides",
    ]);
    deploy.args(parameters);
    // In seconds; the default of five is made for AWS.
    deploy.env("SAM_CLI_POLL_DELAY", "0.5");
    tool::run(layout, &mut step, "sam-deploy", &mut deploy)?;
    step.done("");
    Ok(())
}

/// Writes the catalogue, tenants and people into the deployed stack, and the models of a server if one is named.
pub(crate) fn seed(
    layout: &Layout,
    ports: Ports,
    tools: &Venv,
    real_models: Option<&str>,
) -> Result<()> {
    let mut step = Step::start("Seed models, prices, tenants and people");
    let mut seed = Command::new(tools.program("python"));
    use_local_aws(&mut seed, ports);
    seed.current_dir(layout.root()).args(["infra/seed/seed.py", "--stack-name", STACK_NAME]);
    seed.args(["--endpoint-url", &ports.aws_url(), "--region", REGION, "--out"])
        .arg(layout.seed_file())
        .args(["--model-server", &ports.models_url()]);
    if let Some(url) = real_models {
        seed.args(["--real-models", url]);
    }
    tool::run(layout, &mut step, "seed", &mut seed)?;
    step.done("");
    Ok(())
}

/// SAM, with its own files kept in `.local`.
pub(crate) fn sam(layout: &Layout, ports: Ports, tools: &Venv) -> Command {
    let mut command = Command::new(tools.program("sam"));
    use_local_aws(&mut command, ports);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(tools.programs()).chain(std::env::split_paths(&path));
    command
        .current_dir(layout.root())
        .env("PATH", std::env::join_paths(path).unwrap_or_default())
        .env("SAM_CLI_TELEMETRY", "0")
        // The builder looks for programs in the workspace's own target folder, wherever cargo puts them.
        .env_remove("CARGO_TARGET_DIR")
        .env("__SAM_CLI_APP_DIR", layout.local().join("sam-cli"))
        .env("PYTHONUNBUFFERED", "1");
    command
}

/// The parameter that says which processor the functions are built for.
fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "Architecture=arm64" } else { "Architecture=x86_64" }
}

/// Names of the functions: one folder each, its program named like it.
fn functions(layout: &Layout) -> Result<Vec<String>> {
    let folder = layout.root().join("functions");
    let entries = fs::read_dir(&folder).map_err(Failure::at("read", &folder))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| folder.join(name).join("Cargo.toml").is_file())
        .collect();
    names.sort();
    Ok(names)
}

fn python_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(Failure::at("read", folder))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            python_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "py") {
            found.push(path);
        }
    }
    Ok(())
}

/// Tells files that were written since from those that were not; cargo leaves a program alone that did not change.
fn fingerprint(files: &[PathBuf]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        let metadata = fs::metadata(file).map_err(Failure::at("read", file))?;
        let modified = metadata.modified().map_err(Failure::at("read", file))?;
        (file, metadata.len(), modified).hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_written_again_changes_the_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bootstrap");
        fs::write(&file, "one").unwrap();
        let files = [file.clone()];
        let before = fingerprint(&files).unwrap();
        assert_eq!(fingerprint(&files).unwrap(), before);
        fs::write(&file, "three").unwrap();
        assert_ne!(fingerprint(&files).unwrap(), before);
        fs::remove_file(&file).unwrap();
        assert!(fingerprint(&files).is_err());
    }

    #[test]
    fn every_folder_with_a_manifest_is_a_function() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["invoke", "authorizer", "notes"] {
            fs::create_dir_all(folder.path().join("functions").join(name)).unwrap();
        }
        for name in ["invoke", "authorizer"] {
            fs::write(folder.path().join("functions").join(name).join("Cargo.toml"), "").unwrap();
        }
        assert_eq!(functions(&Layout::at(folder.path())).unwrap(), ["authorizer", "invoke"]);
    }
}
