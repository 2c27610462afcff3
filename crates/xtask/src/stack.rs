//! `stack.json`: what anything outside needs to drive the running stack.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};
use crate::layout::Layout;
use crate::ports::Ports;
use crate::services::{REGION, STACK_NAME, write_private};

/// The running stack. Holds passwords and secrets of local use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names of the file, which others read")]
pub(crate) struct Stack {
    /// The `base_url` of an OpenAI SDK.
    pub(crate) base_url: String,
    /// Where conversations over WebSocket go.
    pub(crate) websocket_url: String,
    /// The local AWS.
    pub(crate) aws_endpoint_url: String,
    /// The simulated models, with what they record.
    pub(crate) model_sim_url: String,
    /// Region of everything.
    pub(crate) region: String,
    /// Name of the deployed stack.
    pub(crate) stack_name: String,
    #[serde(flatten)]
    pub(crate) seeded: Seeded,
}

/// What `seed.py` found and wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seeded {
    /// Outputs of the deployed stack.
    pub(crate) outputs: BTreeMap<String, String>,
    /// Who can sign in.
    pub(crate) tenants: Vec<SeededTenant>,
    /// Ids of the models.
    pub(crate) models: Vec<String>,
}

/// A tenant and who can sign in for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeededTenant {
    /// Its id.
    pub(crate) tenant_id: String,
    /// Its line of business.
    pub(crate) lob_id: String,
    /// People.
    pub(crate) users: Vec<User>,
    /// Its program.
    pub(crate) machine_client: MachineClient,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    /// An e-mail address.
    pub(crate) username: String,
    /// For this stack only.
    pub(crate) password: String,
    /// What they are in the tenant.
    pub(crate) role: String,
}

/// A program that gets tokens by client credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MachineClient {
    /// Its id.
    pub(crate) client_id: String,
    /// For this stack only.
    pub(crate) client_secret: String,
}

impl Stack {
    /// Describes the stack that listens on `ports` from what the seeding wrote to `seed.json`.
    pub(crate) fn of_seeding(layout: &Layout, ports: Ports) -> Result<Self> {
        let path = layout.seed_file();
        let bytes = fs::read(&path).map_err(Failure::at("read", &path))?;
        let seeded: Seeded = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::new(format!("{} is not as expected: {error}", layout.shown(&path)))
        })?;
        Self::new(ports, seeded)
    }

    fn new(ports: Ports, seeded: Seeded) -> Result<Self> {
        let output = |name: &str| {
            seeded
                .outputs
                .get(name)
                .ok_or_else(|| Failure::new(format!("the stack has no output {name}")))
        };
        let (api, socket, stage) = (output("ApiId")?, output("SocketApiId")?, output("StageName")?);
        Ok(Self {
            base_url: format!("{}/_aws/execute-api/{api}/{stage}/v1", ports.aws_url()),
            websocket_url: format!(
                "ws://{}/_aws/execute-api/{socket}/{stage}",
                ports.aws_address()
            ),
            aws_endpoint_url: ports.aws_url(),
            model_sim_url: ports.models_url(),
            region: REGION.to_owned(),
            stack_name: STACK_NAME.to_owned(),
            seeded,
        })
    }

    /// Writes `stack.json`.
    pub(crate) fn save(&self, layout: &Layout) -> Result<()> {
        write_private(&layout.stack_file(), self)
    }

    /// Reads `stack.json`.
    pub(crate) fn load(layout: &Layout) -> Result<Self> {
        let path = layout.stack_file();
        let bytes = fs::read(&path).map_err(|_| {
            Failure::new("no local stack is running; start one with `cargo xtask up --detach`")
        })?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::new(format!(
                "{} is damaged: {error}; run `cargo xtask up` again",
                layout.shown(&path)
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeded() -> Seeded {
        let outputs = [("ApiId", "abc"), ("SocketApiId", "def"), ("StageName", "live")];
        Seeded {
            outputs: outputs.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            tenants: vec![SeededTenant {
                tenant_id: "acme".into(),
                lob_id: "retail".into(),
                users: vec![User {
                    username: "dev".into(),
                    password: "p".into(),
                    role: "developer".into(),
                }],
                machine_client: MachineClient { client_id: "id".into(), client_secret: "s".into() },
            }],
            models: vec!["nova-lite".into()],
        }
    }

    #[test]
    fn the_description_has_the_documented_shape() {
        let stack = Stack::new(Ports { aws: 4766, models: 4767 }, seeded()).unwrap();
        let expected = serde_json::json!({
            "base_url": "http://127.0.0.1:4766/_aws/execute-api/abc/live/v1",
            "websocket_url": "ws://127.0.0.1:4766/_aws/execute-api/def/live",
            "aws_endpoint_url": "http://127.0.0.1:4766",
            "model_sim_url": "http://127.0.0.1:4767",
            "region": "us-east-1",
            "stack_name": "weir-local",
            "outputs": {"ApiId": "abc", "SocketApiId": "def", "StageName": "live"},
            "tenants": [{
                "tenant_id": "acme",
                "lob_id": "retail",
                "users": [{"username": "dev", "password": "p", "role": "developer"}],
                "machine_client": {"client_id": "id", "client_secret": "s"},
            }],
            "models": ["nova-lite"],
        });
        assert_eq!(serde_json::to_value(&stack).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Stack>(expected).unwrap(), stack);
    }

    #[test]
    fn a_missing_output_is_named() {
        let mut seeded = seeded();
        seeded.outputs.remove("ApiId");
        assert!(Stack::new(Ports::default(), seeded).unwrap_err().to_string().contains("ApiId"));
    }
}
