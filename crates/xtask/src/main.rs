//! `cargo xtask`: runs and tests Weir on a developer's machine, with no more than Rust and Python installed.

mod cli;
mod console;
mod deploy;
mod down;
mod failure;
mod http;
mod import_prices;
mod interrupt;
mod layout;
mod node;
mod ports;
mod process;
mod python;
mod services;
mod stack;
mod test;
mod token;
mod tool;
mod up;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let outcome = interrupt::listen().and_then(|()| cli::run(cli::Cli::parse()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}
