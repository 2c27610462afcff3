//! Registered OIDC issuers, and what may be registered.

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenancy::{Issuer, PrincipalId};
use url::{Host, Url};

use crate::callers::InvalidCaller;

/// Names that mean a host of one's own network, wherever they are asked for.
const PRIVATE_SUFFIXES: [&str; 7] =
    ["localhost", "local", "localdomain", "internal", "intranet", "lan", "home.arpa"];

/// An issuer as it is listed for who registered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredIssuer {
    /// What its tokens are checked against.
    #[serde(flatten)]
    pub issuer: Issuer,
    /// Counts its changes.
    pub version: u64,
    /// When it was changed last.
    pub changed_at: Timestamp,
    /// Who did it.
    pub changed_by: PrincipalId,
}

/// Checks what somebody wants to register: that it means something, and that nobody is sent by it to
/// fetch keys from where only they can reach. `allow_local`: from this machine they may come, as on a
/// local stack.
///
/// # Errors
/// Naming the field that is wrong.
pub fn check_issuer(issuer: &Issuer, allow_local: bool) -> Result<(), (&'static str, String)> {
    let refuse = |error: InvalidCaller| (error.field, error.rule.to_owned());
    check_name(&issuer.issuer).map_err(refuse)?;
    let is_local = check_address(&issuer.jwks_url, allow_local).map_err(refuse)?;
    let mut checked = issuer.clone();
    if is_local {
        // What comes from this machine needs no TLS.
        "https://localhost/".clone_into(&mut checked.jwks_url);
    }
    checked.check().map_err(|error| (error.field(), error.to_string()))
}

/// An `iss` stands in a key and is compared as text, so it is a plain address that is written one way.
fn check_name(text: &str) -> Result<(), InvalidCaller> {
    let rule = "An issuer is an https:// address of at most 512 bytes, without user, query or fragment, exactly as its tokens have it in `iss`.";
    let invalid = InvalidCaller { field: "issuer", rule };
    let is_plain = text.len() <= 512 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let url =
        Url::parse(text).ok().filter(|url| is_plain && is_bare(url)).ok_or(invalid.clone())?;
    // A host in capitals or with its port written out is the same place under another name.
    let is_one_way = url.as_str() == text || url.as_str().strip_suffix('/') == Some(text);
    if url.scheme() == "https" && url.query().is_none() && is_one_way {
        Ok(())
    } else {
        Err(invalid)
    }
}

/// Where keys are fetched from; whether that is this machine.
fn check_address(text: &str, allow_local: bool) -> Result<bool, InvalidCaller> {
    let rule = "Keys are fetched from a public https:// address of at most 1,024 bytes, without user or fragment: no private, loopback or link-local address, and no name of an internal network.";
    let invalid = InvalidCaller { field: "jwks_url", rule };
    let is_plain = text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let url =
        Url::parse(text).ok().filter(|url| is_plain && is_bare(url)).ok_or(invalid.clone())?;
    let is_loopback = matches!(url.host(), Some(Host::Ipv4(ip)) if ip.is_loopback())
        || url.host() == Some(Host::Domain("localhost"));
    if allow_local && is_loopback && ["http", "https"].contains(&url.scheme()) {
        return Ok(true);
    }
    let is_public = match url.host() {
        Some(Host::Domain(name)) => is_public_name(name),
        Some(Host::Ipv4(ip)) => is_public_v4(ip),
        Some(Host::Ipv6(ip)) => is_public_v6(ip),
        None => false,
    };
    if url.scheme() == "https" && is_public { Ok(false) } else { Err(invalid) }
}

fn is_bare(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
}

fn is_public_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let is_private = |suffix: &&str| {
        name.strip_suffix(*suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    name.contains('.') && !PRIVATE_SUFFIXES.iter().any(is_private)
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [first, second, third, _] = ip.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    let is_special = first == 192 && second == 0 && third == 0;
    let is_benchmark = first == 198 && (18..20).contains(&second);
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || is_shared
        || is_special
        || is_benchmark
        || first == 0
        || first >= 224)
}

/// Only what is routed at all, and nothing that wraps an address of the older kind.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    let is_global = first & 0xe000 == 0x2000;
    let is_wrapped = first == 0x2002 || (first == 0x2001 && second == 0);
    let is_documentation = first == 0x2001 && second == 0xdb8;
    is_global && !is_wrapped && !is_documentation
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn issuer(name: &str, jwks_url: &str) -> Issuer {
        serde_json::from_value(json!({
            "issuer": name, "jwks_url": jwks_url, "audiences": ["weir"], "tenant_id": "acme", "role": "viewer",
        }))
        .unwrap()
    }

    #[track_caller]
    fn check(name: &str, jwks_url: &str, allow_local: bool, wrong: Option<&str>) {
        let outcome = check_issuer(&issuer(name, jwks_url), allow_local);
        assert_eq!(outcome.err().map(|(field, _)| field), wrong, "{name} {jwks_url}");
    }

    #[test]
    fn an_issuer_is_written_one_way() {
        let keys = "https://login.acme.example/keys?v=2";
        for name in [
            "https://login.acme.example",
            "https://login.acme.example/",
            "https://x.example/a/v2.0",
        ] {
            check(name, keys, false, None);
        }
        for name in [
            "http://login.acme.example",
            "https://LOGIN.acme.example",
            "https://login.acme.example:443",
            "https://a@login.acme.example",
            "https://login.acme.example/#x",
            "https://login.acme.example/?x",
            "https://login.acme.example/a b",
            "https://login.acme.example/a/../b",
            "https://l\u{43e}gin.acme.example",
            "login.acme.example",
            "",
        ] {
            check(name, keys, false, Some("issuer"));
        }
        check(&format!("https://x.example/{}", "a".repeat(600)), keys, false, Some("issuer"));
    }

    #[test]
    fn keys_come_from_public_places_only() {
        let name = "https://login.acme.example";
        for url in [
            "https://login.acme.example/keys",
            "https://8.8.8.8/keys",
            "https://[2606:4700::1111]/",
        ] {
            check(name, url, false, None);
        }
        for url in [
            "http://login.acme.example/keys",
            "https://localhost/keys",
            "https://keys.localhost/",
            "https://127.0.0.1/keys",
            "https://0x7f.1/keys",
            "https://2130706433/",
            "https://017700000001/",
            "https://10.1.2.3/",
            "https://172.16.0.1/",
            "https://192.168.1.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://100.64.0.1/",
            "https://0.0.0.0/",
            "https://224.0.0.1/",
            "https://[::1]/",
            "https://[::]/",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://metadata.google.internal/",
            "https://printer.local./",
            "https://intranet/",
            "https://user@login.acme.example/",
            "file:///etc/passwd",
            "",
        ] {
            check(name, url, false, Some("jwks_url"));
        }
        check(name, "http://127.0.0.1:8080/jwks.json", true, None);
        check(name, "http://10.0.0.1/jwks.json", true, Some("jwks_url"));
        check(name, "http://127.0.0.1@evil.example/", true, Some("jwks_url"));
    }
}
