//! What becomes of what a tenant has: one table, by which everything that is found is deleted or kept.

use serde::{Deserialize, Serialize};
use tenancy::TenantId;

use crate::naming::{glob, is_of};
use crate::port::{Found, Store, Whose};

/// A retention class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Prompts, answers, files: the tenant's data.
    Content,
    /// What the tenant was set to.
    Configuration,
    /// Who could call for it.
    Identity,
    /// What it used, and what that cost.
    Financial,
    /// Who did what to it, and what became of it.
    Audit,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 5] =
        [Self::Content, Self::Configuration, Self::Identity, Self::Financial, Self::Audit];

    /// Whether it goes when the tenant goes.
    pub fn is_deleted(self) -> bool {
        matches!(self, Self::Content | Self::Configuration | Self::Identity)
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Configuration => "configuration",
            Self::Identity => "identity",
            Self::Financial => "financial",
            Self::Audit => "audit",
        }
    }

    /// Why it is deleted or kept.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Content => "The tenant's own data; nobody has a use for it without the tenant.",
            Self::Configuration => "It describes a tenant that is no more; the export has a copy.",
            Self::Identity => "Nobody is to be let in for a tenant that is no more.",
            Self::Financial => {
                "Months that are not closed are closed as always, and closed ones can be checked."
            }
            Self::Audit => "Who did what stays provable, this off-boarding included.",
        }
    }
}

/// What one kind of thing is called, and its class.
///
/// In patterns `{t}` is the tenant's id and `*` any text. The first rule that fits counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Where it is.
    pub store: Store,
    /// What it is.
    pub kind: &'static str,
    /// A partition, or what takes its place.
    pub place: &'static str,
    /// The name there.
    pub name: &'static str,
    /// Its class.
    pub class: Class,
    /// Whether the name may hold personal data: evidence has its digest.
    pub is_personal: bool,
    /// Whether there are so many that evidence counts them by place. Only what is kept is ever counted.
    pub is_counted: bool,
    /// Until when it is kept; empty for what is deleted.
    pub until: &'static str,
}

/// What a line of [`RULES`] says that most do not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    Personal,
    Counted,
}

const fn deleted(
    store: Store,
    kind: &'static str,
    place: &'static str,
    name: &'static str,
    class: Class,
    mark: Mark,
) -> Rule {
    let is_personal = matches!(mark, Mark::Personal);
    Rule { store, kind, place, name, class, is_personal, is_counted: false, until: "" }
}

const fn kept(
    store: Store,
    kind: &'static str,
    place: &'static str,
    name: &'static str,
    class: Class,
    mark: Mark,
    until: &'static str,
) -> Rule {
    let is_counted = matches!(mark, Mark::Counted);
    Rule { store, kind, place, name, class, is_personal: false, is_counted, until }
}

const LEDGER: &str = "for ever: the ledger is the organisation's books";
const TTL: &str = "expires_at: DynamoDB deletes it by itself";
const TRAIL: &str = "for ever: the audit trail has no end";
const LOCKED: &str = "at least AuditRetentionDays from when it was written (S3 Object Lock); nothing deletes it later";
const STATEMENTS: &str = "for ever: the statements bucket expires no statement";

/// What there is of a tenant. Whatever is found and fits no line stops the off-boarding before anything
/// is deleted: whoever adds a kind of key adds a line.
pub const RULES: &[Rule] = {
    use Class::{Audit, Configuration, Content, Financial, Identity};
    use Mark::{Counted, None, Personal};
    use Store::{
        AuditBucket, ContentTable, LedgerTable, StatementsBucket, TenancyTable, UploadsBucket,
        UserPool,
    };
    &[
        // The tenancy table.
        kept(
            TenancyTable,
            "tombstone",
            "TENANT#{t}",
            "TOMBSTONE",
            Audit,
            None,
            "for ever: the id is not given out again",
        ),
        kept(TenancyTable, "audit_entry", "TENANT#{t}", "AUDIT#*", Audit, Counted, TRAIL),
        kept(TenancyTable, "audit_head", "AUDIT#HEADS", "tenant={t}", Audit, None, TRAIL),
        kept(
            TenancyTable,
            "audit_segment",
            "AUDIT#CHAIN#tenant={t}",
            "SEGMENT#*",
            Audit,
            Counted,
            TRAIL,
        ),
        kept(
            TenancyTable,
            "audit_entry_note",
            "AUDIT#CHAIN#tenant={t}",
            "ENTRY#*",
            Audit,
            Counted,
            TRAIL,
        ),
        deleted(TenancyTable, "tenant", "TENANT#{t}", "META", Configuration, None),
        deleted(TenancyTable, "version", "TENANT#{t}", "VERSION#*", Configuration, None),
        deleted(
            TenancyTable,
            "model_request",
            "TENANT#{t}",
            "MODELREQUEST#*",
            Configuration,
            Personal,
        ),
        deleted(TenancyTable, "raise_request", "TENANT#{t}", "RAISE#*", Configuration, Personal),
        deleted(TenancyTable, "note", "UNFINISHED", "tenants/{t}", Configuration, Personal),
        deleted(TenancyTable, "note", "UNFINISHED", "tenants/{t}/*", Configuration, Personal),
        deleted(TenancyTable, "provisioned_user", "TENANT#{t}#SCIM", "USER#*", Identity, Personal),
        deleted(
            TenancyTable,
            "provisioned_group",
            "TENANT#{t}#SCIM",
            "GROUP#*",
            Identity,
            Personal,
        ),
        deleted(
            TenancyTable,
            "provisioned_name",
            "TENANT#{t}#SCIM",
            "UNIQUE#*",
            Identity,
            Personal,
        ),
        deleted(TenancyTable, "roster", "TENANT#{t}#SCIM", "ROSTER", Identity, None),
        deleted(TenancyTable, "listed_client", "CALLERS#{t}", "CLIENT#*", Identity, None),
        deleted(TenancyTable, "listed_aws_role", "CALLERS#{t}", "AWSROLE#*", Identity, None),
        deleted(TenancyTable, "listed_issuer", "CALLERS#{t}", "ISSUER#*", Identity, None),
        deleted(TenancyTable, "client", "CLIENT#*", "META", Identity, None),
        deleted(TenancyTable, "parked_client", "CLIENT#*", "PARKED", Identity, None),
        deleted(TenancyTable, "aws_role", "AWSROLE#*", "META", Identity, None),
        deleted(TenancyTable, "issuer", "ISSUER#*", "META", Identity, None),
        // What it was asked for has people's addresses.
        deleted(TenancyTable, "task", "TASK#*", "ONBOARD", Configuration, Personal),
        deleted(TenancyTable, "task", "TASK#*", "MOVE", Configuration, Personal),
        kept(
            TenancyTable,
            "offboarding_task",
            "TASK#*",
            "OFFBOARD",
            Audit,
            None,
            "for ever: it leads to this evidence",
        ),
        kept(
            TenancyTable,
            "task_lock",
            "TASKS",
            "tenants/{t}",
            Audit,
            None,
            "until the task that off-boards the tenant is over",
        ),
        // The ledger.
        deleted(LedgerTable, "meter", "TENANT#{t}", "METER*", Configuration, Personal),
        deleted(LedgerTable, "meter", "TENANT#{t}#SHARD#*", "METER*", Configuration, Personal),
        kept(
            LedgerTable,
            "usage_record",
            "TENANT#{t}#USAGE#*",
            "USAGE#*",
            Financial,
            Counted,
            LEDGER,
        ),
        kept(LedgerTable, "call_detail", "TENANT#{t}#USAGE#*", "OPEN#*", Financial, Counted, TTL),
        kept(LedgerTable, "live_rollup", "TENANT#{t}#ROLLUP", "LIVE#*", Financial, Counted, TTL),
        kept(LedgerTable, "rollup", "TENANT#{t}#ROLLUP", "HOUR#*", Financial, Counted, LEDGER),
        kept(LedgerTable, "rollup", "TENANT#{t}#ROLLUP", "DAY#*", Financial, Counted, LEDGER),
        kept(LedgerTable, "rollup", "TENANT#{t}#ROLLUP", "MONTH#*", Financial, Counted, LEDGER),
        kept(LedgerTable, "rollup_mark", "PERIOD#*", "TENANT#{t}", Financial, Counted, LEDGER),
        kept(LedgerTable, "plan", "TENANT#{t}#BILLING", "PLAN#*", Financial, None, LEDGER),
        kept(
            LedgerTable,
            "billing_entry",
            "TENANT#{t}#BILLING",
            "ENTRY#*",
            Financial,
            Counted,
            LEDGER,
        ),
        kept(
            LedgerTable,
            "billing_entry_id",
            "TENANT#{t}#BILLING",
            "ENTRY_ID#*",
            Financial,
            Counted,
            LEDGER,
        ),
        kept(
            LedgerTable,
            "statement",
            "TENANT#{t}#BILLING",
            "STATEMENT#*",
            Financial,
            None,
            LEDGER,
        ),
        kept(LedgerTable, "alert", "ALERTS", "tenants/{t}*", Financial, Counted, TTL),
        // Content.
        deleted(ContentTable, "response", "TENANT#{t}", "RESPONSE#*", Content, None),
        deleted(ContentTable, "cached_answer", "TENANT#{t}", "CACHE#*", Content, None),
        deleted(ContentTable, "file", "TENANT#{t}", "FILE#*", Content, None),
        deleted(ContentTable, "socket_turn", "TENANT#{t}", "SOCKET#*", Content, None),
        deleted(UploadsBucket, "upload", "", "tenant={t}/*", Content, None),
        // Documents.
        kept(
            StatementsBucket,
            "statement_document",
            "",
            "statements/*/tenant={t}/*",
            Financial,
            None,
            STATEMENTS,
        ),
        kept(
            StatementsBucket,
            "draft_document",
            "",
            "drafts/*/tenant={t}/*",
            Financial,
            None,
            "90 days (lifecycle of the statements bucket)",
        ),
        kept(
            StatementsBucket,
            "export",
            "",
            "exports/tenant={t}/*",
            Audit,
            Counted,
            "for ever: the statements bucket expires no export",
        ),
        kept(AuditBucket, "audit_file", "", "audit/dt=*/tenant/{t}/*", Audit, Counted, LOCKED),
        // The user pool.
        deleted(UserPool, "membership", "members/{t}:*", "*", Identity, Personal),
        deleted(UserPool, "group", "groups", "{t}:*", Identity, None),
        deleted(UserPool, "pool_client", "clients", "*", Identity, None),
    ]
};

/// Something of the tenant that no class claims: nobody has said whether it may be deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no retention class claims `{}` / `{}` in the {}: say in `offboarding::RULES` whether it is deleted or kept",
    found.place, found.name, found.store.as_str()
)]
pub struct Unclaimed {
    /// What it is.
    pub found: Found,
}

/// The rule of what was found; none if it is not the tenant's at all.
///
/// # Errors
/// It is the tenant's, and no rule fits.
pub fn classify(whose: &Whose, found: &Found) -> Result<Option<&'static Rule>, Unclaimed> {
    if !is_of(whose, found) {
        return Ok(None);
    }
    let rule = RULES.iter().find(|rule| rule.fits(&whose.tenant_id, found));
    rule.map(Some).ok_or_else(|| Unclaimed { found: found.clone() })
}

impl Rule {
    /// Whether something of the tenant is of this kind.
    fn fits(&self, tenant_id: &TenantId, found: &Found) -> bool {
        self.store == found.store
            && glob(self.place, tenant_id, &found.place)
            && glob(self.name, tenant_id, &found.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_kept_says_until_when_and_is_counted() {
        for rule in RULES {
            assert_eq!(rule.until.is_empty(), rule.class.is_deleted(), "{rule:?}");
            assert!(!(rule.is_counted && rule.class.is_deleted()), "{rule:?}");
        }
    }

    #[test]
    fn whatever_is_called_alike_becomes_the_same() {
        for (one, other) in RULES.iter().flat_map(|it| RULES.iter().map(move |other| (it, other))) {
            if (one.store, one.kind) == (other.store, other.kind) {
                let what = |it: &Rule| (it.class, it.is_personal, it.is_counted);
                assert_eq!(what(one), what(other), "{}", one.kind);
            }
        }
    }
}
