//! Serves the model simulator on a local port until it is stopped.

use std::net::SocketAddr;

use clap::Parser;
use model_sim::{Options, serve};
use tokio::net::TcpListener;

/// A stand-in for model providers: no model is called, every answer says so.
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
    /// The key that the OpenAI-compatible paths want; without it they want none.
    #[arg(long)]
    api_key: Option<String>,
    /// The header that holds this key as it is, instead of `Authorization: Bearer`.
    #[arg(long, requires = "api_key")]
    api_key_header: Option<String>,
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
    let Arguments { authorize_url, api_key, api_key_header, .. } = arguments;
    serve(listener, Options { authorize_url, api_key, api_key_header }).await
}
