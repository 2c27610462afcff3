//! Where things are in the checkout.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// The checkout, and the folder in which one local stack keeps its files.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
    /// Everything of one stack: logs, process ids, `stack.json`. `.local`, or a folder in it for the stack
    /// that `test` brings up for itself.
    stack: PathBuf,
}

impl Layout {
    /// That of the workspace that this program was built from.
    pub(crate) fn of_workspace() -> Result<Self> {
        // `cargo run` says where it found the package; without it, where it was built.
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package.ancestors().nth(2).unwrap_or(&package).to_path_buf();
        if !root.join("template.yaml").is_file() {
            return Err(Failure::new(format!("found no template.yaml in {}", root.display())));
        }
        Ok(Self::at(&root))
    }

    /// That of the checkout in `root`.
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf(), stack: root.join(".local") }
    }

    /// The same checkout with a stack of another name beside the usual one.
    pub(crate) fn with_stack(&self, name: &str) -> Self {
        Self { root: self.root.clone(), stack: self.local().join(name) }
    }

    /// The checkout.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The git-ignored folder that all stacks share.
    pub(crate) fn local(&self) -> PathBuf {
        self.root.join(".local")
    }

    /// The folder of this stack.
    pub(crate) fn stack(&self) -> &Path {
        &self.stack
    }

    /// What runs: processes and ports, see `services`.
    pub(crate) fn run_file(&self) -> PathBuf {
        self.stack.join("run.json")
    }

    /// What drives the stack from outside, see `stack`.
    pub(crate) fn stack_file(&self) -> PathBuf {
        self.stack.join("stack.json")
    }

    /// What `seed.py` wrote.
    pub(crate) fn seed_file(&self) -> PathBuf {
        self.stack.join("seed.json")
    }

    /// Where `sam build` puts its artifacts; apart from `.aws-sam`, so that nobody deploys a debug build to AWS.
    pub(crate) fn build_dir(&self) -> PathBuf {
        self.stack.join("sam/build")
    }

    /// The log of a process or step.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.stack.join("logs").join(format!("{name}.log"))
    }

    /// `path` as a person in the checkout would type it.
    pub(crate) fn shown<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }

    /// Creates the folders.
    pub(crate) fn create(&self) -> Result<()> {
        let logs = self.stack.join("logs");
        fs::create_dir_all(&logs).map_err(Failure::at("create", &logs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_do_not_share_files_but_share_the_checkout() {
        let layout = Layout::at(Path::new("/checkout"));
        let other = layout.with_stack("test");
        assert_eq!(layout.stack_file(), Path::new("/checkout/.local/stack.json"));
        assert_eq!(other.stack_file(), Path::new("/checkout/.local/test/stack.json"));
        assert_eq!(other.local(), layout.local());
        assert_eq!(other.shown(&other.log("deploy")).to_string(), ".local/test/logs/deploy.log");
    }
}
