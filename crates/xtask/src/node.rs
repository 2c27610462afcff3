//! Node.js, and the clients from npm that the end-to-end tests run.

use std::fs;
use std::process::Command;

use crate::console::Step;
use crate::failure::{Failure, Result};
use crate::layout::Layout;
use crate::tool;

/// Holds `package.json` and `package-lock.json`.
const FOLDER: &str = "tests/e2e/node";

/// Installs the clients from npm as their lock file says, if they are not, or if it has changed since.
pub(crate) fn ensure_clients(layout: &Layout) -> Result<()> {
    let folder = layout.root().join(FOLDER);
    let lock_file = folder.join("package-lock.json");
    let wanted = fs::read_to_string(&lock_file).map_err(Failure::at("read", &lock_file))?;
    let stamp = folder.join("node_modules/weir-lock.json");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    let npm = tool::find("npm").ok_or_else(|| {
        Failure::new(
            "npm is needed for the tests with clients from npm.\n\
             Install Node.js 20 or newer from your distribution or nodejs.org.",
        )
    })?;
    let mut step = Step::start(format!("Install {FOLDER}/package-lock.json"));
    let mut install = Command::new(npm);
    // Nothing here needs an install script, and so none gets to run.
    install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    tool::run(layout, &mut step, "install-node", install.current_dir(&folder))?;
    fs::write(&stamp, wanted).map_err(Failure::at("write", &stamp))?;
    step.done("");
    Ok(())
}
