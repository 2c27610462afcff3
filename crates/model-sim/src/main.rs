//! Serves the model simulator on a local port until it is stopped.

use std::net::SocketAddr;

use clap::Parser;
use model_sim::{Options, serve};
use tokio::net::TcpListener;

/// A stand-in for the Bedrock runtime: no model is called, every answer says so.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    host: std::net::IpAddr,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 4567)]
    port: u16,
    /// Asks this URL whether a signed request may call its model; without it requests are only recorded.
    #[arg(long)]
    authorize_url: Option<String>,
    /// Prints nothing at start-up.
    #[arg(long)]
    quiet: bool,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "one start-up line tells a person the address")]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind(SocketAddr::new(arguments.host, arguments.port)).await?;
    if !arguments.quiet {
        println!("model-sim listens on http://{}", listener.local_addr()?);
    }
    serve(listener, Options { authorize_url: arguments.authorize_url }).await
}
