//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::failure::Result;
use crate::layout::Layout;
use crate::ports::Ports;
use crate::{down, import_prices, test, token, up};

/// Runs Weir on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Builds everything, starts a local AWS, deploys template.yaml to it and seeds two tenants.
    ///
    /// Stays in the foreground until Ctrl-C, unless --detach is given. Run it again on a running stack to
    /// deploy what has changed since.
    Up(Up),
    /// Stops the local stack. What it stored is gone.
    Down,
    /// Prints a bearer token of the running stack, and nothing else.
    Token(Token),
    /// Checks and tests everything.
    Test(Test),
    /// Writes a price book from AWS's bulk price files, and reports what it could not use of them.
    ///
    /// Changes nothing but --out: `infra/seed/seed.py` or the API of prices take it from there.
    ImportPrices(ImportPrices),
}

/// Options of `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Return when the stack is up and leave it running; `cargo xtask down` stops it.
    #[arg(long)]
    pub(crate) detach: bool,
    /// Also register the models of an OpenAI-compatible server for tenant acme, for example those of Ollama:
    /// `http://127.0.0.1:11434/v1`
    #[arg(long, value_name = "URL", value_parser = server_url)]
    pub(crate) models: Option<String>,
    #[command(flatten)]
    ports: PortOptions,
}

fn server_url(text: &str) -> std::result::Result<String, String> {
    if text.starts_with("http://") || text.starts_with("https://") {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err("must be a URL up to and including its /v1, such as http://127.0.0.1:11434/v1".into())
    }
}

#[derive(Debug, Args)]
struct PortOptions {
    /// Port of the local AWS, and with it of the gateway, on 127.0.0.1 [default: 4566].
    #[arg(long, env = "WEIR_PORT", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Port of the simulated models, on 127.0.0.1 [default: 4567].
    #[arg(long, env = "WEIR_MODEL_PORT", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    model_port: Option<u16>,
}

/// Options of `token`.
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// Whose token, for example acme.
    #[arg(long)]
    pub(crate) tenant: String,
    /// A person of the tenant, for example developer@acme.example; the tenant's machine client if left out.
    #[arg(long)]
    pub(crate) user: Option<String>,
}

/// Options of `import-prices`.
#[derive(Debug, Args)]
pub(crate) struct ImportPrices {
    /// Offer files: `index.json` of `AmazonBedrock` and of `AmazonBedrockFoundationModels`.
    #[arg(required = true, value_name = "OFFER")]
    pub(crate) offers: Vec<PathBuf>,
    /// The new book's version; usage records name it.
    #[arg(long)]
    pub(crate) version: String,
    /// From when on it is valid, for example 2026-12-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(crate) valid_from: jiff::Timestamp,
    /// Where to write it.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Only prices of this Region, instead of all; may be repeated.
    #[arg(long = "region", value_name = "REGION")]
    pub(crate) regions: Vec<String>,
    /// The model registry [default: infra/seed/models.json].
    #[arg(long, value_name = "FILE")]
    pub(crate) models: Option<PathBuf>,
    /// A price book that keeps its prices of models that the offers do not price.
    #[arg(long, value_name = "FILE")]
    pub(crate) base: Option<PathBuf>,
    /// Where to write the report, instead of to the terminal.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

/// Options of `test`.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Only these, instead of all; may be repeated.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Suite>,
}

/// A group of checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Suite {
    /// Format, clippy, spelling, template checks.
    Lint,
    /// Tests of the crates and functions.
    Unit,
    /// Smoke tests of the local AWS, one per patch.
    Local,
    /// openapi.yaml, template.yaml and functions agree.
    Contract,
    /// The whole system: on the running stack if there is one, else on one of its own.
    E2e,
}

/// Does what the command line asks for.
pub(crate) fn run(cli: Cli) -> Result<()> {
    let layout = Layout::of_workspace()?;
    match cli.command {
        Command::Up(options) => {
            let wanted = Ports::of_options(options.ports.port, options.ports.model_port)?;
            up::run(&layout, wanted, options.models.as_deref(), options.detach)
        }
        Command::Down => down::run(&layout),
        Command::Token(options) => token::run(&layout, &options),
        Command::Test(options) => test::run(&layout, &options.only),
        Command::ImportPrices(options) => import_prices::run(&layout, &options),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[track_caller]
    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn ports_are_options_of_up() {
        let cli = parse("xtask up --detach --port 4766 --model-port 4767").unwrap();
        let Command::Up(up) = cli.command else { panic!("{cli:?}") };
        assert!(up.detach);
        assert_eq!((up.ports.port, up.ports.model_port), (Some(4766), Some(4767)));
        assert!(parse("xtask up --port 0").is_err());
        assert!(parse("xtask up --port 70000").is_err());
    }

    #[test]
    fn real_models_are_named_by_url() {
        let cli = parse("xtask up --models http://127.0.0.1:11434/v1/").unwrap();
        let Command::Up(up) = cli.command else { panic!("{cli:?}") };
        assert_eq!(up.models.as_deref(), Some("http://127.0.0.1:11434/v1"));
        assert!(parse("xtask up --models ollama").is_err());
    }

    #[test]
    fn several_suites_can_be_chosen() {
        let cli = parse("xtask test --only lint,unit --only e2e").unwrap();
        let Command::Test(test) = cli.command else { panic!("{cli:?}") };
        assert_eq!(test.only, [Suite::Lint, Suite::Unit, Suite::E2e]);
    }

    #[test]
    fn a_token_needs_a_tenant() {
        assert!(parse("xtask token").is_err());
        assert!(parse("xtask token --tenant acme --user developer@acme.example").is_ok());
    }
}
