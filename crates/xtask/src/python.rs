//! Python, and the virtual environments in `.local`.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::console::Step;
use crate::failure::{Failure, Result};
use crate::layout::Layout;
use crate::tool;

const PROGRAMS: [&str; 7] =
    ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python"];

/// The oldest version that the requirements support.
const OLDEST: (u32, u32) = (3, 10);

/// What a virtual environment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Runs the local AWS and its smoke tests.
    LocalAws,
    /// Builds, deploys, seeds, tests.
    Tools,
    /// Runs checkov.
    Checkov,
    /// Runs the end-to-end tests, with the SDKs and frameworks that they try against the gateway.
    Clients,
}

impl Purpose {
    fn folder(self) -> &'static str {
        match self {
            Self::LocalAws => "venv",
            Self::Tools => "venv-tools",
            Self::Checkov => "venv-checkov",
            Self::Clients => "venv-clients",
        }
    }

    fn requirements(self) -> &'static str {
        match self {
            Self::LocalAws => "infra/local/requirements.txt",
            Self::Tools => "infra/local/requirements-tools.txt",
            Self::Checkov => "infra/local/requirements-checkov.txt",
            Self::Clients => "tests/e2e/clients/requirements.txt",
        }
    }

    /// Whether the requirements name everything that they need in turn.
    fn is_complete(self) -> bool {
        matches!(self, Self::Tools | Self::Clients)
    }
}

/// An installed virtual environment.
#[derive(Debug, Clone)]
pub(crate) struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// The environment for `purpose`, installed if it is not, or if its requirements have changed since.
    pub(crate) fn ensure(layout: &Layout, purpose: Purpose) -> Result<Self> {
        let venv = Self { folder: layout.local().join(purpose.folder()) };
        let requirements = layout.root().join(purpose.requirements());
        let wanted =
            fs::read_to_string(&requirements).map_err(Failure::at("read", &requirements))?;
        let stamp = venv.folder.join("weir-requirements");
        let fingerprint = fingerprint(&wanted, &venv.folder);
        if fs::read_to_string(&stamp).is_ok_and(|found| found == fingerprint)
            && venv.program("python").exists()
        {
            return Ok(venv);
        }
        let python = find()?;
        let mut step = Step::start(format!("Install {}", purpose.requirements()));
        let name = format!("install-{}", purpose.folder());
        let mut create = Command::new(python);
        create.args(["-m", "venv", "--clear"]).arg(&venv.folder);
        tool::run(layout, &mut step, &name, &mut create)?;
        let mut install = Command::new(venv.program("python"));
        install.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input"]);
        // Compiling everything takes longer than compiling what is used when it is used.
        install.arg("--no-compile");
        if purpose.is_complete() {
            install.arg("--no-deps");
        }
        tool::run(layout, &mut step, &name, install.arg("--requirement").arg(&requirements))?;
        fs::write(&stamp, fingerprint).map_err(Failure::at("write", &stamp))?;
        step.done("");
        Ok(venv)
    }

    /// Where an installed program is.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }

    /// Where the installed programs are.
    pub(crate) fn programs(&self) -> PathBuf {
        self.folder.join("bin")
    }
}

/// Changes with the requirements, and with the place: a virtual environment cannot be moved.
fn fingerprint(requirements: &str, folder: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    let lines = requirements
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.collect::<Vec<_>>().hash(&mut hasher);
    folder.hash(&mut hasher);
    format!("{:016x}\n", hasher.finish())
}

/// A Python that is new enough and can make virtual environments.
fn find() -> Result<PathBuf> {
    let mut rejected = Vec::new();
    for program in PROGRAMS.iter().filter_map(|program| tool::find(program)) {
        match probe(&program) {
            Some((version, true)) if version >= OLDEST => return Ok(program),
            Some((version, has_venv)) if version >= OLDEST && !has_venv => {
                rejected.push(format!("{} lacks the venv module", program.display()));
            }
            Some(((major, minor), _)) => {
                rejected.push(format!("{} is {major}.{minor}", program.display()));
            }
            None => {}
        }
    }
    let found = if rejected.is_empty() { "none".to_owned() } else { rejected.join("; ") };
    let (major, minor) = OLDEST;
    Err(Failure::new(format!(
        "Python {major}.{minor} or newer with the venv module is needed (found: {found}).\n\
         Install it from your distribution (Debian and Ubuntu: packages python3 and python3-venv), python.org or pyenv."
    )))
}

/// The version of a Python, and whether it can make virtual environments; `None` if it does not run.
fn probe(program: &Path) -> Option<((u32, u32), bool)> {
    let script = "import sys, importlib.util as u; \
                  print(*sys.version_info[:2], all(u.find_spec(m) for m in ('venv', 'ensurepip')))";
    let output = Command::new(program).args(["-c", script]).stdin(Stdio::null()).output().ok()?;
    parse_probe(std::str::from_utf8(&output.stdout).ok()?)
}

fn parse_probe(line: &str) -> Option<((u32, u32), bool)> {
    let mut words = line.split_whitespace();
    let version = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((version, words.next()? == "True"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_installed_changes_the_fingerprint() {
        let fingerprint = |text: &str| fingerprint(text, Path::new("/checkout/.local/venv"));
        let before = fingerprint("# why\nministack==1.5.33\n");
        assert_eq!(before, fingerprint("# another reason\n\n  ministack==1.5.33"));
        assert_ne!(before, fingerprint("ministack==1.5.34\n"));
        assert_ne!(
            before,
            super::fingerprint("ministack==1.5.33\n", Path::new("/moved/.local/venv"))
        );
    }

    #[test]
    fn a_probe_tells_version_and_venv() {
        assert_eq!(parse_probe("3 11 True\n"), Some(((3, 11), true)));
        assert_eq!(parse_probe("3 9 False\n"), Some(((3, 9), false)));
        assert_eq!(parse_probe(""), None);
    }
}
