//! `cargo xtask token`.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::cli;
use crate::failure::{Failure, Result};
use crate::layout::Layout;
use crate::services::Run;
use crate::stack::{SeededTenant, Stack};
use crate::{console, http};

/// Prints a bearer token.
pub(crate) fn run(layout: &Layout, options: &cli::Token) -> Result<()> {
    let stack = Stack::load(layout)?;
    let run = Run::load(layout)?.ok_or_else(|| {
        Failure::new("no local stack is running; start one with `cargo xtask up`")
    })?;
    let tenants = &stack.seeded.tenants;
    let tenant =
        tenants.iter().find(|tenant| tenant.tenant_id == options.tenant).ok_or_else(|| {
            let known: Vec<&str> = tenants.iter().map(|tenant| tenant.tenant_id.as_str()).collect();
            Failure::new(format!(
                "there is no tenant {}; there are {}",
                options.tenant,
                known.join(", ")
            ))
        })?;
    let address = run.ports.aws_address();
    let answer = match &options.user {
        Some(username) => sign_in(&stack, tenant, username, address)?,
        None => client_credentials(tenant, address)?,
    };
    console::print(&answer)
        .map_err(|error| Failure::new(format!("could not print the token: {error}")))
}

/// A person's access token, by user name and password.
fn sign_in(
    stack: &Stack,
    tenant: &SeededTenant,
    username: &str,
    address: std::net::SocketAddr,
) -> Result<String> {
    let user = tenant.users.iter().find(|user| user.username == username).ok_or_else(|| {
        let known: Vec<&str> = tenant.users.iter().map(|user| user.username.as_str()).collect();
        Failure::new(format!(
            "tenant {} has no user {username}; it has {}",
            tenant.tenant_id,
            known.join(", ")
        ))
    })?;
    let request = json!({
        "AuthFlow": "USER_PASSWORD_AUTH",
        "ClientId": stack.seeded.outputs.get("UserPoolClientId"),
        "AuthParameters": {"USERNAME": user.username, "PASSWORD": user.password},
    });
    let headers = [
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", "AWSCognitoIdentityProviderService.InitiateAuth"),
    ];
    let answer = http::post(address, "/", &headers, request.to_string().as_bytes());
    text_at(answer, "/AuthenticationResult/AccessToken")
}

/// A program's access token, by client id and secret.
fn client_credentials(tenant: &SeededTenant, address: std::net::SocketAddr) -> Result<String> {
    let client = &tenant.machine_client;
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope=weir%2Finvoke+weir%2Fread",
        escaped(&client.client_id),
        escaped(&client.client_secret)
    );
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    text_at(http::post(address, "/oauth2/token", &headers, form.as_bytes()), "/access_token")
}

/// `text` as a value of a form.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

fn text_at(answer: std::io::Result<http::Answer>, pointer: &str) -> Result<String> {
    let answer = answer.map_err(|error| {
        Failure::new(format!(
            "the local stack does not answer ({error}); start it with `cargo xtask up`"
        ))
    })?;
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match body.pointer(pointer).and_then(Value::as_str) {
        Some(token) if answer.status == 200 => Ok(token.to_owned()),
        _ => Err(Failure::new(format!(
            "the local Cognito refused with status {}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_survive_the_form() {
        assert_eq!(escaped("aZ9+/=~"), "aZ9%2B%2F%3D%7E");
    }

    #[test]
    fn a_token_comes_only_from_a_success() {
        let answer =
            |status, body: &str| Ok(http::Answer { status, body: body.as_bytes().to_vec() });
        assert_eq!(text_at(answer(200, r#"{"access_token":"t"}"#), "/access_token").unwrap(), "t");
        let refused =
            text_at(answer(400, r#"{"error":"invalid_client"}"#), "/access_token").unwrap_err();
        assert!(refused.to_string().contains("invalid_client"), "{refused}");
        assert!(text_at(answer(200, "{}"), "/access_token").is_err());
    }
}
