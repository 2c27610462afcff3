//! The two ports of a stack.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

const DEFAULT: Ports = Ports { aws: 4566, models: 4567 };

/// The ports of a stack, on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    /// The local AWS.
    pub(crate) aws: u16,
    /// The simulated models.
    pub(crate) models: u16,
}

impl Ports {
    /// What the command line asks for; `None` if it leaves both open.
    pub(crate) fn of_options(aws: Option<u16>, models: Option<u16>) -> Result<Option<Self>> {
        if aws.is_none() && models.is_none() {
            return Ok(None);
        }
        let ports =
            Self { aws: aws.unwrap_or(DEFAULT.aws), models: models.unwrap_or(DEFAULT.models) };
        if ports.aws == ports.models {
            let port = ports.aws;
            return Err(Failure::new(format!(
                "--port and --model-port are both {port}; they must differ"
            )));
        }
        Ok(Some(ports))
    }

    /// Two that are free at the moment.
    pub(crate) fn free() -> Result<Self> {
        let failed = |error| Failure::new(format!("found no free port on 127.0.0.1: {error}"));
        // Both are held until both are known, so that they differ.
        let (first, second) = (bind(0).map_err(failed)?, bind(0).map_err(failed)?);
        let port = |listener: &TcpListener| {
            listener.local_addr().map(|address| address.port()).map_err(failed)
        };
        Ok(Self { aws: port(&first)?, models: port(&second)? })
    }

    /// Fails, naming the port and its option, unless both can be listened on.
    pub(crate) fn check_free(self) -> Result<()> {
        for (port, option, variable) in
            [(self.aws, "--port", "WEIR_PORT"), (self.models, "--model-port", "WEIR_MODEL_PORT")]
        {
            bind(port).map_err(|error| {
                Failure::new(format!(
                    "port {port} on 127.0.0.1 cannot be used ({error}).\n\
                     Another program has it; stop that, or choose another port with {option} or {variable}."
                ))
            })?;
        }
        Ok(())
    }

    /// Address of the local AWS.
    pub(crate) fn aws_address(self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.aws).into()
    }

    /// Address of the simulated models.
    pub(crate) fn models_address(self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.models).into()
    }

    /// URL of the local AWS.
    pub(crate) fn aws_url(self) -> String {
        format!("http://{}", self.aws_address())
    }

    /// URL of the simulated models.
    pub(crate) fn models_url(self) -> String {
        format!("http://{}", self.models_address())
    }
}

impl Default for Ports {
    fn default() -> Self {
        DEFAULT
    }
}

fn bind(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_its_option() {
        let taken = bind(0).unwrap();
        let port = taken.local_addr().unwrap().port();
        let free = Ports::free().unwrap();
        let message = Ports { models: port, ..free }.check_free().unwrap_err().to_string();
        assert!(
            message.contains(&port.to_string()) && message.contains("--model-port"),
            "{message}"
        );
        let message = Ports { aws: port, ..free }.check_free().unwrap_err().to_string();
        assert!(message.contains("--port or WEIR_PORT"), "{message}");
    }

    #[test]
    fn free_ports_are_free_and_differ() {
        let ports = Ports::free().unwrap();
        assert_ne!(ports.aws, ports.models);
        ports.check_free().unwrap();
    }

    #[test]
    fn the_ports_must_differ() {
        assert!(Ports::of_options(Some(4567), None).is_err());
        assert_eq!(Ports::of_options(None, None).unwrap(), None);
        assert_eq!(Ports::of_options(Some(1), None).unwrap(), Some(Ports { aws: 1, models: 4567 }));
    }
}
