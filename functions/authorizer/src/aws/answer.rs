//! What STS says about a caller.

use roxmltree::{Document, Node};

use super::StsAnswer;
use crate::refusal::{Denial, InvalidToken, Refusal};

/// A session of an IAM role. Its name is left out: whoever assumes the role chooses it, and often it
/// is an e-mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleSession {
    pub(crate) account_id: String,
    /// Without the role's path, which the ARNs of sessions do not have.
    pub(crate) role_name: String,
    /// The role's unique id, `AROA..`; a role made again under the same name has another.
    pub(crate) role_id: String,
}

/// STS answered, but not what it answers about a caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("STS answered {0}")]
    Status(u16),
    #[error("STS answered {status} `{code}`")]
    Busy { status: u16, code: String },
    #[error("the answer {0} is not one of STS")]
    Foreign(u16),
}

/// `GetCallerIdentityResult`.
struct Identity {
    arn: String,
    user_id: String,
    account: String,
}

impl RoleSession {
    /// The session that `answer` names, which must be one of `partition`.
    pub(super) fn of_answer(answer: &StsAnswer, partition: &str) -> Result<Self, Refusal> {
        let status = answer.status;
        let body = std::str::from_utf8(&answer.body).unwrap_or_default();
        match status {
            200 => {
                let identity = Identity::read(body).ok_or(AnswerError::Foreign(status))?;
                Self::of_identity(&identity, partition)
            }
            400 | 401 | 403 => {
                // Anybody between here and STS may say 403; only STS's own word counts against a caller.
                let code = error_code(body).ok_or(AnswerError::Foreign(status))?;
                let is_busy = ["Throttl", "LimitExceeded", "Unavailable", "InternalFailure"]
                    .iter()
                    .any(|sign| code.contains(sign));
                if is_busy {
                    return Err(AnswerError::Busy { status, code }.into());
                }
                tracing::info!(code, "STS refused a token");
                Err(InvalidToken::RefusedBySts.into())
            }
            _ => Err(AnswerError::Status(status).into()),
        }
    }

    /// Users, the root of an account and federated users have ARNs of other forms.
    fn of_identity(identity: &Identity, partition: &str) -> Result<Self, Refusal> {
        let parts: Vec<&str> = identity.arn.splitn(6, ':').collect();
        let ["arn", of_partition, service, "", account_id, resource] = parts.as_slice() else {
            return Err(AnswerError::Foreign(200).into());
        };
        let is_account_id =
            account_id.len() == 12 && account_id.bytes().all(|byte| byte.is_ascii_digit());
        if *of_partition != partition || *account_id != identity.account || !is_account_id {
            return Err(AnswerError::Foreign(200).into());
        }
        let role = resource.strip_prefix("assumed-role/").filter(|_| *service == "sts");
        let Some((role_name, session_name)) = role.and_then(|role| role.split_once('/')) else {
            return Err(Denial::NotARole.into());
        };
        let Some((role_id, _)) = identity.user_id.split_once(':') else {
            return Err(AnswerError::Foreign(200).into());
        };
        let is_id = (1..=128).contains(&role_id.len())
            && role_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_name(role_name) || !is_name(session_name) || !is_id {
            return Err(AnswerError::Foreign(200).into());
        }
        Ok(Self {
            account_id: (*account_id).to_owned(),
            role_name: role_name.to_owned(),
            role_id: role_id.to_owned(),
        })
    }
}

/// What IAM lets roles and sessions be named: no separator of ours.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
}

impl Identity {
    fn read(body: &str) -> Option<Self> {
        let document = Document::parse(body).ok()?;
        let result = only(document.root_element(), "GetCallerIdentityResponse")
            .and_then(|response| child(response, "GetCallerIdentityResult"))?;
        Some(Self {
            arn: text(child(result, "Arn")?)?,
            user_id: text(child(result, "UserId")?)?,
            account: text(child(result, "Account")?)?,
        })
    }
}

/// The `Code` of an `ErrorResponse`, of plain characters only.
fn error_code(body: &str) -> Option<String> {
    let document = Document::parse(body).ok()?;
    let response = only(document.root_element(), "ErrorResponse")?;
    let code = text(child(child(response, "Error")?, "Code")?)?;
    Some(code.chars().filter(char::is_ascii_alphanumeric).take(64).collect())
}

fn only<'a, 'i>(element: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    (element.tag_name().name() == name).then_some(element)
}

/// The one child of that name.
fn child<'a, 'i>(of: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    let mut found = of.children().filter_map(|child| only(child, name));
    found.next().filter(|_| found.next().is_none())
}

fn text(element: Node<'_, '_>) -> Option<String> {
    element.text().map(ToOwned::to_owned)
}
