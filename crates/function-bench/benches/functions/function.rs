//! A function's process, and its Runtime API.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use function_bench::{Memory, cpu_time, memory};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::Result;
use crate::aws::Aws;
use crate::binaries::Binaries;
use crate::runtime_api::{Answer, RuntimeApi};

/// How functions are started.
#[derive(Debug)]
pub(crate) struct Launcher {
    pub(crate) binaries: Binaries,
    pub(crate) aws: Aws,
    /// Where the processes write what they have to say.
    pub(crate) logs: PathBuf,
}

/// One process of a function.
#[derive(Debug)]
pub(crate) struct Function {
    name: &'static str,
    child: Child,
    api: RuntimeApi,
    started_at: Instant,
}

/// One invocation, as it looked from outside.
#[derive(Debug)]
pub(crate) struct Invocation {
    /// From the event's delivery to the first byte of the answer's body.
    pub(crate) first: Duration,
    /// To the last.
    pub(crate) total: Duration,
    /// Processor time of the process, until it was ready for the next.
    pub(crate) cpu: Duration,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// How a process came up.
#[derive(Debug)]
pub(crate) struct Start {
    /// From its start until it asked for an invocation.
    pub(crate) init: Duration,
    /// Until it had answered the first.
    pub(crate) first_answer: Duration,
}

impl Launcher {
    pub(crate) async fn start(&self, name: &'static str) -> Result<Function> {
        let path = self.binaries.get(name).ok_or("no such function")?;
        let api = RuntimeApi::serve().await?;
        fs::create_dir_all(&self.logs)?;
        let log = File::create(self.logs.join(format!("{name}.log")))?;
        let mut command = Command::new(path);
        command
            .env_clear()
            .envs(self.aws.environment())
            .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .env("AWS_LAMBDA_LOG_LEVEL", "INFO")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        let started_at = Instant::now();
        Ok(Function { name, child: command.spawn()?, api, started_at })
    }
}

impl Function {
    /// Hands over the first event, and says how long everything took since the process was started.
    pub(crate) async fn first_call(&mut self, event: &Bytes) -> Result<Start> {
        let ready_at = self.api.ready().await.map_err(|error| self.blame(&*error))?;
        let (_, answer) = self.ask(event).await?;
        Ok(Start {
            init: ready_at - self.started_at,
            first_answer: answer.end_at - self.started_at,
        })
    }

    /// Hands over one event; the answer must be what a caller wants.
    pub(crate) async fn call(&mut self, event: &Bytes) -> Result<Invocation> {
        self.api.ready().await.map_err(|error| self.blame(&*error))?;
        let cpu_before = self.cpu_time()?;
        let (asked_at, answer) = self.ask(event).await?;
        self.api.ready().await.map_err(|error| self.blame(&*error))?;
        Ok(Invocation {
            first: answer.first_at - asked_at,
            total: answer.end_at - asked_at,
            cpu: self.cpu_time()?.saturating_sub(cpu_before),
            body: answer.body,
        })
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        Ok(memory(self.pid()?)?)
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    async fn ask(&mut self, event: &Bytes) -> Result<(Instant, Answer)> {
        let (asked_at, answer) =
            self.api.invoke(event.clone()).await.map_err(|error| self.blame(&*error))?;
        let head: Value =
            answer.head.as_deref().map(serde_json::from_slice).transpose()?.unwrap_or_default();
        match head.get("statusCode").and_then(Value::as_u64) {
            None | Some(200) => Ok((asked_at, answer)),
            Some(status) => {
                Err(self.blame(&format!("{status}: {}", String::from_utf8_lossy(&answer.body))))
            }
        }
    }

    fn cpu_time(&self) -> Result<Duration> {
        Ok(cpu_time(self.pid()?)?)
    }

    fn pid(&self) -> Result<u32> {
        self.child.id().ok_or_else(|| self.blame("it has ended"))
    }

    fn blame(&self, error: &(impl ToString + ?Sized)) -> Box<dyn std::error::Error + Send + Sync> {
        let (name, error) = (self.name, error.to_string());
        format!("{name}: {error}; its log is target/function-bench/{name}.log").into()
    }
}
