//! `cargo xtask down`.

use crate::failure::Result;
use crate::layout::Layout;
use crate::services::{self, Run};
use crate::up::Lock;
use crate::{console, process};

/// Stops the stack and whatever it left behind.
pub(crate) fn run(layout: &Layout) -> Result<()> {
    layout.create()?;
    let _lock = Lock::take(layout)?;
    if let Some(run) = Run::load(layout)? {
        return services::stop(layout, &run);
    }
    if process::end_strays(layout.stack()) == 0 {
        console::say("No local stack is running.");
    }
    Ok(())
}
