//! The edge to the machine: environment, clock, AWS.

use std::time::{SystemTime, UNIX_EPOCH};

use admission::{Calendar, UnknownTimeZone};
use events_eventbridge::EventBus;
use lake::focus::Issuer;
use machine::{NotSet, variable};
use reconciliation::{Gateway, InvalidRole, Job, Policy, UsageTypes};
use store_dynamodb::{BillingBooks, Configuration, Rollups};
use store_s3::Bucket;

use crate::{Objects, Reconciler, State};

/// Who tells of what is billed.
const SOURCE: &str = "weir.billing";

/// The function cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A variable of the environment is missing.
    #[error(transparent)]
    Environment(#[from] NotSet),
    /// The day is no number.
    #[error("`CLOSING_DAY` is not a day of a month")]
    ClosingDay(#[from] std::num::ParseIntError),
    /// The table of AWS's usage types cannot be read.
    #[error("the table of usage types is broken")]
    UsageTypes(#[from] serde_json::Error),
    /// The role under which tenants call models is none.
    #[error(transparent)]
    Role(#[from] InvalidRole),
    /// The organisation's time zone is none.
    #[error(transparent)]
    TimeZone(#[from] UnknownTimeZone),
}

impl State<BillingBooks, Rollups, Bucket, EventBus, Bucket, Configuration> {
    /// Connects to the tables, the bucket and the bus that the environment names.
    ///
    /// # Errors
    /// A variable is not set, or makes no sense.
    pub async fn from_env() -> Result<Self, StartError> {
        let (tenancy, ledger) = (variable("TENANCY_TABLE")?, variable("LEDGER_TABLE")?);
        let sdk = aws_config::load_from_env().await;
        let client = store_dynamodb::client(&sdk);
        let reconciler = match variable("CUR_BUCKET")?.as_str() {
            "" => None,
            bucket => {
                let logs = variable("INVOCATION_LOGS_BUCKET")?;
                let prefixes = variable("INVOCATION_LOGS_PREFIXES")?;
                let prefixes = prefixes.split(',').map(str::trim).filter(|it| !it.is_empty());
                Some(Reconciler {
                    job: Job {
                        gateway: Gateway::new(&variable("TENANT_ACCESS_ROLE_ARN")?)?,
                        usage_types: UsageTypes::built_in()?,
                        policy: Policy::default(),
                        bill_prefix: variable("CUR_PREFIX")?,
                        log_prefixes: prefixes.map(str::to_owned).collect(),
                    },
                    bills: Bucket::new(&sdk, bucket.to_owned()),
                    logs: Bucket::new(&sdk, logs),
                    catalog: Configuration::new(client.clone(), tenancy.clone()),
                })
            }
        };
        Ok(Self {
            reconciler,
            rollups: Rollups::new(client.clone(), ledger.clone()),
            books: BillingBooks::new(client, ledger, tenancy),
            documents: Objects(Bucket::new(&sdk, variable("STATEMENTS_BUCKET")?)),
            events: EventBus::new(&sdk, variable("EVENT_BUS_NAME")?, SOURCE),
            calendar: Calendar::of(&variable("TIME_ZONE")?)?,
            closing_day: variable("CLOSING_DAY")?.parse()?,
            issuer: Issuer {
                account_id: variable("BILLING_ACCOUNT_ID")?,
                name: variable("BILLING_ACCOUNT_NAME")?,
            },
            now_ms,
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
