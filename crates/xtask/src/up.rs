//! `cargo xtask up`.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::thread;
use std::time::Instant;

use crate::console::{say, seconds};
use crate::deploy::{self, Built};
use crate::failure::{Failure, Result};
use crate::layout::Layout;
use crate::ports::Ports;
use crate::process::GLANCE;
use crate::python::{Purpose, Venv};
use crate::services::{self, Guard, Run};
use crate::stack::Stack;
use crate::{interrupt, tool};

/// One command at a time works on a stack; held as long as this value lives.
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it, or fails saying who has it.
    pub(crate) fn take(layout: &Layout) -> Result<Self> {
        let path = layout.stack().join("lock");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Failure::at("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                return Err(Failure::new(format!(
                    "another `cargo xtask` (process {}) is at work on the local stack; wait for it, or end it with Ctrl-C",
                    holder.trim()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(Failure::at("lock", &path)(error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(Failure::at("write", &path))?;
        Ok(Self { _file: file })
    }
}

/// Brings the stack up, or up to date if it runs.
///
/// `real_models` is the URL of an OpenAI-compatible server whose models are registered too.
pub(crate) fn run(
    layout: &Layout,
    wanted: Option<Ports>,
    real_models: Option<&str>,
    detach: bool,
) -> Result<()> {
    let started = Instant::now();
    check_system()?;
    layout.create()?;
    let lock = Lock::take(layout)?;

    if let Some(run) = Run::load(layout)? {
        if run.is_healthy() {
            check_ports(&run, wanted)?;
            if update(layout, run, real_models)? {
                return report(layout, started, "It keeps running in the background.");
            }
        } else {
            say("The last stack has died or was killed; starting a new one.");
            services::stop(layout, &run)?;
        }
    }
    let guard = bring_up(layout, wanted.unwrap_or_default(), real_models)?;
    if detach {
        guard.release();
        return report(layout, started, "It runs in the background; `cargo xtask down` stops it.");
    }
    report(layout, started, "Ctrl-C stops it.")?;
    drop(lock);
    follow(layout, guard)
}

/// Brings a running stack up to date. Returns false, with the stack stopped, if that takes a new one.
pub(crate) fn update(layout: &Layout, mut run: Run, real_models: Option<&str>) -> Result<bool> {
    let tools = Venv::ensure(layout, Purpose::Tools)?;
    let built = deploy::build(layout)?;
    if run.services_built != built.services {
        say("The local AWS or the simulated models have changed; starting a new stack.");
        services::stop(layout, &run)?;
        return Ok(false);
    }
    if run.deployed.as_ref() == Some(&built.deployment) {
        say("ok  Nothing to deploy: functions, template and API are as they were");
    } else {
        deploy::deploy(layout, run.ports, &tools)?;
    }
    finish(layout, &mut run, &built, &tools, real_models)?;
    Ok(true)
}

/// Starts a new stack. It ends with the returned value, unless that is released.
pub(crate) fn bring_up<'a>(
    layout: &'a Layout,
    ports: Ports,
    real_models: Option<&str>,
) -> Result<Guard<'a>> {
    // Before anything that takes long.
    ports.check_free()?;
    let local_aws = Venv::ensure(layout, Purpose::LocalAws)?;
    let tools = Venv::ensure(layout, Purpose::Tools)?;
    let built = deploy::build(layout)?;
    let mut guard = Guard::start(layout, ports, &local_aws, &built)?;
    deploy::deploy(layout, ports, &tools)?;
    finish(layout, guard.run(), &built, &tools, real_models)?;
    Ok(guard)
}

fn finish(
    layout: &Layout,
    run: &mut Run,
    built: &Built,
    tools: &Venv,
    real_models: Option<&str>,
) -> Result<()> {
    deploy::seed(layout, run.ports, tools, real_models)?;
    Stack::of_seeding(layout, run.ports)?.save(layout)?;
    run.deployed = Some(built.deployment.clone());
    run.save(layout)
}

/// Stays until Ctrl-C, or until the stack ends in another way.
fn follow(layout: &Layout, mut guard: Guard<'_>) -> Result<()> {
    loop {
        if interrupt::check().is_err() {
            // Dropping the guard stops everything; that was the wish, so it is a success.
            return Ok(());
        }
        if let Some(service) = guard.run().dead_service().cloned() {
            if is_stopped_by_down(layout)? {
                guard.release();
                say("Stopped by `cargo xtask down`.");
                return Ok(());
            }
            let log = layout.log(&service.name);
            return Err(Failure::new(format!(
                "{} has ended unexpectedly; the end of {}:\n{}",
                service.name,
                layout.shown(&log),
                tool::tail(&log)
            )));
        }
        thread::sleep(GLANCE);
    }
}

/// Whether a process is gone because `down`, which holds the lock meanwhile, has ended it.
fn is_stopped_by_down(layout: &Layout) -> Result<bool> {
    while Lock::take(layout).is_err() {
        interrupt::check()?;
        thread::sleep(GLANCE);
    }
    Ok(Run::load(layout)?.is_none())
}

fn check_system() -> Result<()> {
    if cfg!(target_os = "linux") {
        Ok(())
    } else {
        // The functions are Linux programs, and the local AWS runs them as they are.
        Err(Failure::new("the local stack runs on Linux only (WSL 2 and a container will do)"))
    }
}

fn check_ports(run: &Run, wanted: Option<Ports>) -> Result<()> {
    match wanted {
        Some(wanted) if wanted != run.ports => Err(Failure::new(format!(
            "the stack already runs, on ports {} and {}; stop it with `cargo xtask down` to move it",
            run.ports.aws, run.ports.models
        ))),
        _ => Ok(()),
    }
}

fn report(layout: &Layout, started: Instant, end: &str) -> Result<()> {
    let stack = Stack::load(layout)?;
    say(&format!(
        r#"
Weir is up after {elapsed}. {end}

  base_url   {base_url}
  models     {models_url} (simulated)
  local AWS  {aws_url}
  all of it  {file}

A token:       cargo xtask token --tenant acme
A first call:

curl --no-buffer {base_url}/chat/completions \
  --header "Authorization: Bearer $(cargo xtask token --tenant acme)" \
  --header "Content-Type: application/json" \
  --data '{{"model": "nova-lite", "stream": true, "messages": [{{"role": "user", "content": "Say hello."}}]}}'
"#,
        elapsed = seconds(started.elapsed()),
        base_url = stack.base_url,
        models_url = stack.model_sim_url,
        aws_url = stack.aws_endpoint_url,
        file = layout.shown(&layout.stack_file()),
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_commands_do_not_work_on_one_stack() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path());
        layout.create().unwrap();
        let lock = Lock::take(&layout).unwrap();
        let refused = Lock::take(&layout).err().unwrap().to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(lock);
        Lock::take(&layout).unwrap();
    }

    #[test]
    fn a_running_stack_does_not_move_to_other_ports() {
        let run = Run {
            ports: Ports::default(),
            services: Vec::new(),
            services_built: String::new(),
            deployed: None,
        };
        assert!(check_ports(&run, None).is_ok());
        assert!(check_ports(&run, Some(Ports::default())).is_ok());
        assert!(check_ports(&run, Some(Ports { aws: 1, models: 2 })).is_err());
    }
}
