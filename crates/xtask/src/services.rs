//! The processes of a stack: the local AWS and the simulated models.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::console::Step;
use crate::deploy::Built;
use crate::failure::{Failure, Result};
use crate::layout::Layout;
use crate::ports::Ports;
use crate::process::{self, GLANCE, Leader, STACK_VARIABLE};
use crate::python::Venv;
use crate::{http, interrupt, tool};

/// Where everything is deployed to.
pub(crate) const REGION: &str = "us-east-1";

/// Name of the local deployed stack.
pub(crate) const STACK_NAME: &str = "weir-local";

/// What the simulated models want of who calls them as an OpenAI-compatible server; the secret of
/// `infra/seed/local.json` holds it.
const API_KEY: &str = "local-vllm-key";

const HEALTH_OF_AWS: &str = "/_ministack/health";
const HEALTH_OF_MODELS: &str = "/_sim/health";

/// How long a service may take to answer its first health check.
const START_LIMIT: Duration = Duration::from_mins(1);

/// A running stack, as it is remembered between commands in `run.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Where it listens.
    pub(crate) ports: Ports,
    /// Its processes.
    pub(crate) services: Vec<Service>,
    /// What its processes were built from, see `deploy::Built`.
    pub(crate) services_built: String,
    /// What was deployed last, see `deploy::Built`; `None` as long as nothing is.
    pub(crate) deployed: Option<String>,
}

/// One process, with all that it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Service {
    /// What a person calls it; also the name of its log.
    pub(crate) name: String,
    /// The process.
    pub(crate) leader: Leader,
}

impl Run {
    /// The stack that was started last and not stopped since; it may have died.
    pub(crate) fn load(layout: &Layout) -> Result<Option<Self>> {
        let path = layout.run_file();
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                Failure::new(format!("{} is damaged: {error}", layout.shown(&path)))
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::at("read", &path)(error)),
        }
    }

    /// Remembers it.
    pub(crate) fn save(&self, layout: &Layout) -> Result<()> {
        write_private(&layout.run_file(), self)
    }

    /// Whether every process lives and answers.
    pub(crate) fn is_healthy(&self) -> bool {
        self.services.iter().all(|service| service.leader.is_alive())
            && is_healthy(self.ports.aws_address(), HEALTH_OF_AWS)
            && is_healthy(self.ports.models_address(), HEALTH_OF_MODELS)
    }

    /// Its first process that has ended.
    pub(crate) fn dead_service(&self) -> Option<&Service> {
        self.services.iter().find(|service| !service.leader.is_alive())
    }
}

/// Writes `content` as JSON to a file that only its owner can read, replacing it in one step.
pub(crate) fn write_private(path: &Path, content: &impl Serialize) -> Result<()> {
    let draft = path.with_extension("new");
    let _ = fs::remove_file(&draft);
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .map_err(Failure::at("write", &draft))?;
    serde_json::to_writer_pretty(file, content)
        .map_err(|error| Failure::at("write", &draft)(error.into()))?;
    fs::rename(&draft, path).map_err(Failure::at("write", path))
}

/// Services that end with this value, unless they were handed over.
pub(crate) struct Guard<'a> {
    layout: &'a Layout,
    run: Run,
    is_armed: bool,
}

impl<'a> Guard<'a> {
    /// Starts the services and waits until they answer.
    pub(crate) fn start(
        layout: &'a Layout,
        ports: Ports,
        venv: &Venv,
        built: &Built,
    ) -> Result<Self> {
        ports.check_free()?;
        let mut step = Step::start("Start the local AWS and the simulated models");
        let state = layout.stack().join("state");
        if state.exists() {
            fs::remove_dir_all(&state).map_err(Failure::at("empty", &state))?;
        }
        let temporary = state.join("tmp");
        fs::create_dir_all(&temporary).map_err(Failure::at("create", &temporary))?;
        let run = Run {
            ports,
            services: Vec::new(),
            services_built: built.services.clone(),
            deployed: None,
        };
        let mut guard = Self { layout, run, is_armed: true };
        guard.spawn("local-aws", &mut local_aws(layout, ports, venv, &state))?;
        guard.spawn("model-sim", &mut simulated_models(layout, ports, &built.model_sim))?;
        guard.await_health(&mut step, ports.aws_address(), HEALTH_OF_AWS)?;
        guard.await_health(&mut step, ports.models_address(), HEALTH_OF_MODELS)?;
        step.done(&format!("ports {} and {}", ports.aws, ports.models));
        Ok(guard)
    }

    /// What runs.
    pub(crate) fn run(&mut self) -> &mut Run {
        &mut self.run
    }

    /// Leaves the services running.
    pub(crate) fn release(mut self) {
        self.is_armed = false;
    }

    fn spawn(&mut self, name: &str, command: &mut Command) -> Result<()> {
        let log = self.layout.log(name);
        let output = tool::create(&log)?;
        let errors = output.try_clone().map_err(Failure::at("write", &log))?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let (leader, _child) = Leader::spawn(command.env(STACK_VARIABLE, self.layout.stack()))?;
        self.run.services.push(Service { name: name.to_owned(), leader });
        self.run.save(self.layout)
    }

    fn await_health(
        &self,
        step: &mut Step,
        address: std::net::SocketAddr,
        path: &str,
    ) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while !is_healthy(address, path) {
            interrupt::check()?;
            step.progress(&format!("waiting for http://{address}{path}"));
            if let Some(service) = self.run.dead_service() {
                return Err(tool::failed(
                    self.layout,
                    &service.name,
                    &self.layout.log(&service.name),
                ));
            }
            if Instant::now() >= deadline {
                let logs = self.layout.shown(&self.layout.log("")).to_string();
                return Err(Failure::new(format!(
                    "http://{address}{path} does not answer; see the logs beside {logs}"
                )));
            }
            thread::sleep(GLANCE);
        }
        Ok(())
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.is_armed
            && let Err(failure) = stop(self.layout, &self.run)
        {
            crate::console::say(&failure.to_string());
        }
    }
}

/// Ends the processes of `run`, and everything they started, and forgets it.
pub(crate) fn stop(layout: &Layout, run: &Run) -> Result<()> {
    let step = Step::start("Stop the local stack");
    // In the order they were started: the local AWS ends its workers, which may still talk to the models.
    for service in &run.services {
        service.leader.end()?;
    }
    process::end_strays(layout.stack());
    for file in [layout.run_file(), layout.stack_file(), layout.seed_file()] {
        if file.exists() {
            fs::remove_file(&file).map_err(Failure::at("remove", &file))?;
        }
    }
    step.done("");
    Ok(())
}

fn is_healthy(address: std::net::SocketAddr, path: &str) -> bool {
    http::get(address, path).is_ok_and(|answer| answer.status == 200)
}

/// Makes `command` talk to the local AWS, and neither read nor write the person's own AWS configuration.
pub(crate) fn use_local_aws(command: &mut Command, ports: Ports) {
    for (name, _) in std::env::vars_os() {
        let is_aws = name
            .to_str()
            .is_some_and(|name| name.starts_with("AWS_") && name != "AWS_LC_SYS_NO_JITTER_ENTROPY");
        if is_aws {
            command.env_remove(name);
        }
    }
    let no_proxy =
        ["no_proxy", "NO_PROXY"].into_iter().find_map(std::env::var_os).unwrap_or_default();
    let no_proxy = format!("127.0.0.1,localhost,{}", no_proxy.to_string_lossy());
    command
        .env("AWS_ENDPOINT_URL", ports.aws_url())
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", REGION)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("NO_PROXY", &no_proxy)
        .env("no_proxy", &no_proxy);
}

fn local_aws(layout: &Layout, ports: Ports, venv: &Venv, state: &Path) -> Command {
    let mut command = Command::new(venv.program("python"));
    use_local_aws(&mut command, ports);
    command
        .args(["-m", "weir_local"])
        .current_dir(layout.root())
        .env("PYTHONPATH", layout.root().join("infra/local"))
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("GATEWAY_PORT", ports.aws.to_string())
        .env("BIND_HOST", "127.0.0.1")
        .env("MINISTACK_HOST", "127.0.0.1")
        .env("STATE_DIR", state)
        // It unpacks the functions there.
        .env("TMPDIR", state.join("tmp"))
        .env("AUTH", "true")
        .env("LOG_LEVEL", "INFO")
        // Both would listen on fixed ports of their own.
        .env("IOT_MTLS_ENABLED", "0")
        .env("SFTP_ENABLED", "0")
        // Functions inherit this, and so call the simulated models where they would call Bedrock.
        .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", ports.models_url())
        .env("AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME", ports.models_url())
        .env("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", ports.models_url());
    command
}

fn simulated_models(layout: &Layout, ports: Ports, model_sim: &Path) -> Command {
    let mut command = Command::new(model_sim);
    command
        .current_dir(layout.root())
        .args(["--port", &ports.models.to_string(), "--api-key", API_KEY])
        .args(["--authorize-url", &format!("{}/_weir/authorize", ports.aws_url())]);
    command
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_run_is_remembered_privately_and_forgotten_when_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path());
        layout.create().unwrap();
        assert_eq!(Run::load(&layout).unwrap(), None);
        let (leader, _child) = Leader::spawn(Command::new("sleep").arg("600")).unwrap();
        let services = vec![Service { name: "local-aws".into(), leader: leader.clone() }];
        let run = Run {
            ports: Ports::default(),
            services,
            services_built: String::new(),
            deployed: Some("x".into()),
        };
        run.save(&layout).unwrap();
        assert_eq!(Run::load(&layout).unwrap().as_ref(), Some(&run));
        assert_eq!(fs::metadata(layout.run_file()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(run.dead_service(), None);
        stop(&layout, &run).unwrap();
        assert!(!leader.is_alive());
        assert_eq!(Run::load(&layout).unwrap(), None);
    }

    #[test]
    fn the_seeded_secret_is_the_key_of_the_simulated_models() {
        let seed = include_str!("../../../infra/seed/local.json");
        let seed: serde_json::Value = serde_json::from_str(seed).unwrap();
        assert_eq!(seed["secrets"]["weir/providers/vllm"], API_KEY);
    }

    #[test]
    fn the_persons_own_aws_configuration_is_out_of_reach() {
        let mut command = Command::new("true");
        use_local_aws(&mut command, Ports::default());
        let value = |name: &str| {
            command.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value)
        };
        assert_eq!(value("AWS_CONFIG_FILE").unwrap(), "/dev/null");
        assert_eq!(value("AWS_SHARED_CREDENTIALS_FILE").unwrap(), "/dev/null");
        assert_eq!(value("AWS_ENDPOINT_URL").unwrap(), "http://127.0.0.1:4566");
    }
}
