//! `cargo xtask test`.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cli::Suite;
use crate::console::{Step, say, seconds};
use crate::failure::{Failure, Result};
use crate::layout::Layout;
use crate::ports::Ports;
use crate::python::{Purpose, Venv};
use crate::services::{Run, use_local_aws};
use crate::{console, deploy, node, tool, up};

/// How a check went.
struct Outcome {
    title: &'static str,
    counts: Counts,
    is_success: bool,
    took: Duration,
}

/// How many tests passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    passed: u32,
    failed: u32,
}

/// Runs the chosen suites, all if none is chosen, and reports on all of them.
pub(crate) fn run(layout: &Layout, only: &[Suite]) -> Result<()> {
    let started = Instant::now();
    layout.create()?;
    let mut outcomes = Vec::new();
    for suite in [Suite::Lint, Suite::Unit, Suite::Local, Suite::Contract, Suite::E2e] {
        if only.is_empty() || only.contains(&suite) {
            match suite {
                Suite::Lint => lint(layout, &mut outcomes)?,
                Suite::Unit => unit(layout, &mut outcomes)?,
                Suite::Local => local(layout, &mut outcomes)?,
                Suite::Contract => contract(layout, &mut outcomes)?,
                Suite::E2e => e2e(layout, &mut outcomes)?,
            }
        }
    }
    summarize(layout, &outcomes, started.elapsed())
}

fn lint(layout: &Layout, outcomes: &mut Vec<Outcome>) -> Result<()> {
    let tools = Venv::ensure(layout, Purpose::Tools)?;
    let checkov = Venv::ensure(layout, Purpose::Checkov)?;
    let mut check = |title, command: &mut Command| check(layout, outcomes, title, command);
    check("format", cargo(layout).args(["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    check("clippy", cargo(layout).args(clippy))?;
    check("spelling", Command::new(tools.program("typos")).current_dir(layout.root()))?;
    let mut validate = deploy::sam(layout, Ports::default(), &tools);
    check(
        "sam-validate",
        validate.args(["validate", "--lint", "--template-file", "template.yaml"]),
    )?;
    check(
        "cfn-lint",
        Command::new(tools.program("cfn-lint")).arg("template.yaml").current_dir(layout.root()),
    )?;
    let policies =
        ["--config-file", ".checkov.yaml", "--file", "template.yaml", "infra/openapi.yaml"];
    check(
        "checkov",
        Command::new(checkov.program("checkov")).args(policies).current_dir(layout.root()),
    )
}

fn unit(layout: &Layout, outcomes: &mut Vec<Outcome>) -> Result<()> {
    if tool::find("cargo-nextest").is_some() {
        check(
            layout,
            outcomes,
            "crates",
            cargo(layout).args(["nextest", "run", "--workspace", "--no-fail-fast"]),
        )?;
        check(layout, outcomes, "doc-tests", cargo(layout).args(["test", "--workspace", "--doc"]))
    } else {
        check(
            layout,
            outcomes,
            "crates",
            cargo(layout).args(["test", "--workspace", "--no-fail-fast"]),
        )
    }
}

fn local(layout: &Layout, outcomes: &mut Vec<Outcome>) -> Result<()> {
    let venv = Venv::ensure(layout, Purpose::LocalAws)?;
    let mut pytest = pytest(layout, &venv, Ports::free()?, "infra/local/tests");
    check(
        layout,
        outcomes,
        "local-aws",
        pytest.env("PYTHONPATH", layout.root().join("infra/local")),
    )
}

fn contract(layout: &Layout, outcomes: &mut Vec<Outcome>) -> Result<()> {
    let tools = Venv::ensure(layout, Purpose::Tools)?;
    check(
        layout,
        outcomes,
        "contract",
        &mut pytest(layout, &tools, Ports::default(), "tests/contract"),
    )
}

fn e2e(layout: &Layout, outcomes: &mut Vec<Outcome>) -> Result<()> {
    let tools = Venv::ensure(layout, Purpose::Tools)?;
    let clients = Venv::ensure(layout, Purpose::Clients)?;
    node::ensure_clients(layout)?;
    let lock = up::Lock::take(layout)?;
    if let Some(run) = Run::load(layout)?.filter(Run::is_healthy) {
        let ports = run.ports;
        say("Using the running stack.");
        if up::update(layout, run, None)? {
            drop(lock);
            return e2e_on(layout, ports, [&clients, &tools], outcomes);
        }
    }
    drop(lock);
    let own = layout.with_stack("test");
    own.create()?;
    let _lock = up::Lock::take(&own)?;
    if let Some(run) = Run::load(&own)? {
        // Left behind by a test run that was killed.
        crate::services::stop(&own, &run)?;
    }
    say("Bringing up a stack for the tests.");
    let ports = Ports::free()?;
    let _guard = up::bring_up(&own, ports, None)?;
    e2e_on(&own, ports, [&clients, &tools], outcomes)
}

fn e2e_on(
    layout: &Layout,
    ports: Ports,
    [clients, tools]: [&Venv; 2],
    outcomes: &mut Vec<Outcome>,
) -> Result<()> {
    let examples = build_clients(layout)?;
    for (title, venv, folder) in [
        ("e2e", clients, "tests/e2e"),
        ("isolation", clients, "tests/isolation"),
        ("watch", tools, "tests/watch"),
    ] {
        let mut pytest = pytest(layout, venv, ports, folder);
        pytest.env("WEIR_STACK", layout.stack_file()).env("WEIR_EXAMPLES", &examples);
        check(layout, outcomes, title, &mut pytest)?;
    }
    Ok(())
}

/// Builds the clients in Rust that tests run, so that no test waits for the compiler; where they are.
fn build_clients(layout: &Layout) -> Result<PathBuf> {
    let mut step = Step::start("Build the clients in Rust");
    let mut build = cargo(layout);
    build.args(["build", "--package", "inference-bedrock", "--examples"]);
    tool::run(layout, &mut step, "cargo-build-clients", &mut build)?;
    step.done("");
    // cargo puts them beside this program, which it has built in the same way.
    let this = std::env::current_exe()
        .map_err(|error| Failure::new(format!("could not find this program: {error}")))?;
    Ok(this.with_file_name("examples"))
}

fn cargo(layout: &Layout) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(layout.root());
    command
}

fn pytest(layout: &Layout, venv: &Venv, ports: Ports, folder: &str) -> Command {
    let mut command = Command::new(venv.program("python"));
    use_local_aws(&mut command, ports);
    command
        .current_dir(layout.root())
        .args(["-m", "pytest", "-p", "no:cacheprovider", folder])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUNBUFFERED", "1");
    command
}

/// Runs one check, showing what it prints. A check that fails does not end the others.
fn check(
    layout: &Layout,
    outcomes: &mut Vec<Outcome>,
    title: &'static str,
    command: &mut Command,
) -> Result<()> {
    say(&format!("\n==> {title}"));
    let started = Instant::now();
    let mut counts = Counts::default();
    let is_success = tool::run_with(command, &layout.log(&log_name(title)), |line| {
        if let Some(line) = line {
            say(line);
            counts.add(line);
        }
    })?;
    outcomes.push(Outcome { title, counts, is_success, took: started.elapsed() });
    Ok(())
}

fn log_name(title: &str) -> String {
    format!("test-{title}")
}

impl Counts {
    /// Adds what a line of a test runner's summary says.
    fn add(&mut self, line: &str) {
        let line = line.trim_matches(|c: char| c == '=' || c.is_whitespace());
        let is_summary = line.starts_with("test result:")
            || (line.starts_with("Summary [") && line.contains("tests run:"))
            || (line.ends_with('s') || line.ends_with(')'))
                && line.contains(" in ")
                && line.starts_with(|c: char| c.is_ascii_digit());
        if is_summary {
            self.passed += number_before(line, &["passed", "passed;"]);
            self.failed += number_before(line, &["failed", "failed;", "error", "errors"]);
        }
    }
}

/// The sum of the numbers that stand before one of `names`.
fn number_before(line: &str, names: &[&str]) -> u32 {
    let words: Vec<&str> = line
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.is_empty())
        .collect();
    words
        .windows(2)
        .filter_map(|pair| match pair {
            [number, name] if names.contains(name) => number.parse::<u32>().ok(),
            _ => None,
        })
        .sum()
}

fn summarize(layout: &Layout, outcomes: &[Outcome], took: Duration) -> Result<()> {
    let mut total = Counts::default();
    let mut lines = vec![String::new()];
    for outcome in outcomes {
        let Counts { passed, failed } = outcome.counts;
        let word = if outcome.is_success { "ok" } else { "FAILED" };
        let mut line = format!("{word:<7} {:<14} {:>12}", outcome.title, seconds(outcome.took));
        if passed + failed > 0 {
            let _ = write!(line, "   {passed} passed, {failed} failed");
        }
        if !outcome.is_success {
            let log = layout.log(&log_name(outcome.title));
            let _ = write!(line, "   see {}", layout.shown(&log));
        }
        lines.push(line);
        // A check without tests of its own counts as one, and so does a runner that failed before its first test.
        total.passed += if outcome.is_success { passed.max(1) } else { passed };
        total.failed += if outcome.is_success { 0 } else { failed.max(1) };
    }
    for line in lines {
        say(&line);
    }
    say(&format!("\nafter {}", seconds(took)));
    console::print(&format!("{} passed, {} failed", total.passed, total.failed))
        .map_err(|error| Failure::new(format!("could not print the result: {error}")))?;
    if total.failed == 0 { Ok(()) } else { Err(Failure::ChecksFailed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, passed: u32, failed: u32) {
        let mut counts = Counts::default();
        counts.add(line);
        assert_eq!(counts, Counts { passed, failed }, "{line:?}");
    }

    #[test]
    fn summaries_of_test_runners_are_counted() {
        check(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            12,
            0,
        );
        check(
            "     Summary [   3.402s] 50 tests run: 48 passed (1 slow), 2 failed, 3 skipped",
            48,
            2,
        );
        check("===== 3 failed, 120 passed, 1 skipped, 2 errors in 61.20s (0:01:01) =====", 120, 5);
        check("7 passed in 0.31s", 7, 0);
    }

    #[test]
    fn other_lines_are_not() {
        check("1 passed it on in haste", 0, 0);
        check("tests/e2e/test_chat.py ..... [ 50%]", 0, 0);
        check("error: 2 failed", 0, 0);
    }
}
