//! A listener whose connections acknowledge at once what they receive.
//!
//! The Lambda runtime's client writes the head of a streamed answer in pieces, and its system holds the second piece
//! back until the first is acknowledged (Nagle). A receiver that has nothing to say waits 40 ms before it
//! does: a time that would hide everything which is measured here.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// A listener of [`Prompt`] connections.
#[derive(Debug)]
pub(crate) struct PromptListener(pub(crate) TcpListener);

/// A connection that acknowledges at once.
#[derive(Debug)]
pub(crate) struct Prompt(TcpStream);

impl Listener for PromptListener {
    type Io = Prompt;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        _ = stream.set_nodelay(true);
        (Prompt(stream), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.0).poll_read(cx, buffer);
        // Linux forgets this whenever it thinks that the connection has become a dialogue.
        _ = self.0.set_quickack(true);
        poll
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.0).poll_write(cx, bytes);
        _ = self.0.set_quickack(true);
        poll
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
