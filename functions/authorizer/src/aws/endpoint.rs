//! Which gateway and which STS a token must be made for.

/// What a token of an AWS role must be made for.
#[derive(Debug, Clone)]
pub struct AwsTokens {
    server_id: String,
    endpoints: Vec<Endpoint>,
}

/// The settings name no usable server id or Regions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAwsTokens {
    /// The server id cannot be the value of a header.
    #[error("the server id is not 1 to 128 of the characters A-Z a-z 0-9 . _ : / -")]
    ServerId,
    /// Not the name of a Region.
    #[error("`{0}` is not the name of an AWS Region")]
    Region(String),
    /// Account ids are unique in a partition only, so that a role could be taken for one of another partition.
    #[error("the Regions are not all in one partition")]
    Partitions,
}

/// STS of one Region. The global endpoint is none of these: what it signs names no Region of the caller.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) region: String,
    pub(super) host: String,
    pub(super) partition: &'static str,
}

impl AwsTokens {
    /// Tokens are made for the gateway called `server_id`, with STS of one of `regions`, which are joined by commas.
    ///
    /// # Errors
    /// If a name is not one, or the Regions are of several partitions.
    pub fn new(server_id: &str, regions: &str) -> Result<Self, InvalidAwsTokens> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
        if !(1..=128).contains(&server_id.len()) || !server_id.bytes().all(is_plain) {
            return Err(InvalidAwsTokens::ServerId);
        }
        let endpoints: Vec<Endpoint> = regions
            .split(',')
            .map(|region| Endpoint::of(region.trim()))
            .collect::<Result<_, _>>()?;
        if endpoints
            .windows(2)
            .any(|pair| matches!(pair, [one, other] if one.partition != other.partition))
        {
            return Err(InvalidAwsTokens::Partitions);
        }
        Ok(Self { server_id: server_id.to_owned(), endpoints })
    }

    pub(super) fn server_id(&self) -> &str {
        &self.server_id
    }

    /// The endpoint of exactly that host.
    pub(super) fn endpoint(&self, host: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.host == host)
    }
}

/// Partitions by how their Regions' names begin, with the suffix of their hosts. `us-` and others are AWS proper.
const PARTITIONS: [(&str, &str, &str); 7] = [
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
    ("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"),
    ("eusc-", "aws-eusc", "amazonaws.eu"),
];

impl Endpoint {
    fn of(region: &str) -> Result<Self, InvalidAwsTokens> {
        if !is_region(region) {
            return Err(InvalidAwsTokens::Region(region.chars().take(64).collect()));
        }
        let (partition, suffix) = PARTITIONS
            .iter()
            .find(|(prefix, ..)| region.starts_with(prefix))
            .map_or(("aws", "amazonaws.com"), |(_, partition, suffix)| (partition, suffix));
        Ok(Self { region: region.to_owned(), host: format!("sts.{region}.{suffix}"), partition })
    }
}

/// Whether `name` looks like `eu-west-1`.
fn is_region(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    words.len() >= 2
        && words.iter().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(regions: &str, hosts: &[&str]) {
        let tokens = AwsTokens::new("weir", regions).unwrap();
        let found: Vec<_> =
            tokens.endpoints.iter().map(|endpoint| endpoint.host.as_str()).collect();
        assert_eq!(found, hosts);
    }

    #[test]
    fn each_partition_has_hosts_of_its_own() {
        check(
            "eu-west-1,us-east-1",
            &["sts.eu-west-1.amazonaws.com", "sts.us-east-1.amazonaws.com"],
        );
        check("cn-north-1", &["sts.cn-north-1.amazonaws.com.cn"]);
        check("us-gov-west-1", &["sts.us-gov-west-1.amazonaws.com"]);
        check("eusc-de-east-1", &["sts.eusc-de-east-1.amazonaws.eu"]);
        check("us-isob-east-1", &["sts.us-isob-east-1.sc2s.sgov.gov"]);
        check(
            " eu-west-1 , ap-southeast-2",
            &["sts.eu-west-1.amazonaws.com", "sts.ap-southeast-2.amazonaws.com"],
        );
    }

    #[test]
    fn settings_that_could_lead_elsewhere_are_refused() {
        for region in [
            "",
            "global",
            "us-east",
            "evil.example/#",
            "eu-west-1.evil",
            "US-EAST-1",
            "eu--1",
            "aws-global",
        ] {
            assert_eq!(
                AwsTokens::new("weir", region).unwrap_err(),
                InvalidAwsTokens::Region(region.into())
            );
        }
        assert_eq!(
            AwsTokens::new("weir", "eu-west-1,").unwrap_err(),
            InvalidAwsTokens::Region(String::new())
        );
        assert_eq!(
            AwsTokens::new("weir", "eu-west-1,cn-north-1").unwrap_err(),
            InvalidAwsTokens::Partitions
        );
        for server_id in ["", "two words", "line\nbreak", &"x".repeat(129)] {
            assert_eq!(
                AwsTokens::new(server_id, "eu-west-1").unwrap_err(),
                InvalidAwsTokens::ServerId
            );
        }
    }
}
