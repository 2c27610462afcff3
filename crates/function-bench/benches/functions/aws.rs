//! What the functions talk to: DynamoDB, STS, the user pool's keys and the models, all in this process.

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::Result;
use crate::token::SigningKey;

/// The tenant whose calls are measured, and its line of business.
pub(crate) const TENANT: &str = "acme";
pub(crate) const LOB: &str = "retail";

pub(crate) const REGION: &str = "us-east-1";
pub(crate) const USER_POOL: &str = "us-east-1_Bench";
pub(crate) const USER_POOL_CLIENT: &str = "people";

const TENANCY: &str = "tenancy";
const LEDGER: &str = "ledger";
const CONTENT: &str = "content";

/// Never refuses a call of the benchmark; the conditions are written all the same.
const PLENTY: u64 = 1_000_000_000_000_000;

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Aws {
    client: reqwest::Client,
    dynamodb_url: String,
    /// STS and the user pool's keys.
    identity_url: String,
    /// The model simulator.
    pub(crate) models_url: String,
}

impl Aws {
    /// Starts everything and onboards the tenant, with the models and prices in `infra/seed`.
    pub(crate) async fn start(key: &SigningKey, models: &Value, prices: &Value) -> Result<Self> {
        let (dynamodb, dynamodb_url) = listen().await?;
        tokio::spawn(dynoxide::server::serve_on(dynamodb, dynoxide::Database::memory()?));
        let (simulator, models_url) = listen().await?;
        tokio::spawn(model_sim::serve(simulator, model_sim::Options::default()));
        let (identity, identity_url) = listen().await?;
        let router = Router::new()
            .route("/", post(assume_role))
            .route(
                &format!("/{USER_POOL}/.well-known/jwks.json"),
                get(|State(keys): State<String>| async move { keys }),
            )
            .with_state(key.jwks().to_string());
        tokio::spawn(async move { axum::serve(identity, router).await });
        let client = reqwest::Client::builder().no_proxy().build()?;
        let aws = Self { client, dynamodb_url, identity_url, models_url };
        aws.seed(models, prices).await?;
        Ok(aws)
    }

    /// What a function's process gets in its environment.
    pub(crate) fn environment(&self) -> [(&'static str, &str); 17] {
        [
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_SESSION_TOKEN", "test"),
            ("AWS_ENDPOINT_URL", &self.dynamodb_url),
            ("AWS_ENDPOINT_URL_STS", &self.identity_url),
            ("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", &self.identity_url),
            ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &self.models_url),
            ("AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME", &self.models_url),
            ("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", &self.models_url),
            ("TENANCY_TABLE", TENANCY),
            ("LEDGER_TABLE", LEDGER),
            ("CONTENT_TABLE", CONTENT),
            ("UPLOADS_BUCKET", "uploads"),
            ("TENANT_ACCESS_ROLE_ARN", "arn:aws:iam::111122223333:role/tenant-access"),
            ("USER_POOL_ID", USER_POOL),
            ("USER_POOL_CLIENT_ID", USER_POOL_CLIENT),
        ]
    }

    /// Usage records after the one with sort key `after`, in DynamoDB's JSON, oldest first.
    pub(crate) async fn usage_records(&self, after: &str, limit: usize) -> Result<Vec<Value>> {
        let query = json!({
            "TableName": LEDGER,
            "KeyConditionExpression": "PK = :tenant AND SK > :after",
            "ExpressionAttributeValues": { ":tenant": { "S": format!("TENANT#{TENANT}") }, ":after": { "S": after } },
            "Limit": limit,
        });
        let mut answer = self.dynamodb("Query", &query).await?;
        match answer.get_mut("Items").map(Value::take) {
            Some(Value::Array(items)) => Ok(items),
            _ => Err(format!("Query answered {answer}").into()),
        }
    }

    /// How many reservations are open, in all scopes.
    pub(crate) async fn open_reservations(&self) -> Result<usize> {
        let mut open = 0;
        for scope in scopes() {
            let key = json!({ "PK": { "S": scope }, "SK": { "S": "METER" } });
            let answer =
                self.dynamodb("GetItem", &json!({ "TableName": LEDGER, "Key": key })).await?;
            open += answer.pointer("/Item/open/M").and_then(Value::as_object).map_or(0, Map::len);
        }
        Ok(open)
    }

    /// One write of one item, for comparison.
    pub(crate) async fn write(&self) -> Result<()> {
        let update = json!({
            "TableName": TENANCY,
            "Key": { "PK": { "S": "BENCH" }, "SK": { "S": "COUNTER" } },
            "UpdateExpression": "ADD calls :one",
            "ExpressionAttributeValues": { ":one": { "N": "1" } },
        });
        self.dynamodb("UpdateItem", &update).await.map(|_| ())
    }

    async fn seed(&self, models: &Value, prices: &Value) -> Result<()> {
        for table in [TENANCY, LEDGER, CONTENT] {
            let key = |name: &str, kind: &str| json!({ "AttributeName": name, "KeyType": kind });
            let attribute = |name: &str| json!({ "AttributeName": name, "AttributeType": "S" });
            let definition = json!({
                "TableName": table,
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [attribute("PK"), attribute("SK"), attribute("meter_kind")],
                "KeySchema": [key("PK", "HASH"), key("SK", "RANGE")],
                "GlobalSecondaryIndexes": [{
                    "IndexName": "meters",
                    "KeySchema": [key("meter_kind", "HASH"), key("PK", "RANGE")],
                    "Projection": { "ProjectionType": "KEYS_ONLY" },
                }],
            });
            self.dynamodb("CreateTable", &definition).await?;
        }
        let models = models.as_array().ok_or("models.json is no list")?;
        let ids: Vec<&Value> = models.iter().filter_map(|model| model.get("id")).collect();
        for model in models {
            let id = model.get("id").and_then(Value::as_str).unwrap_or_default();
            self.put(TENANCY, "CATALOG", &format!("MODEL#{id}"), model).await?;
        }
        let version = prices.get("version").and_then(Value::as_str).unwrap_or_default();
        self.put(TENANCY, "CATALOG", &format!("PRICES#{version}"), prices).await?;

        let limits = json!({
            "requests_per_minute": PLENTY, "tokens_per_minute": PLENTY, "tokens_per_day": PLENTY, "budget_per_month": PLENTY,
        });
        let scope = json!({ "status": "active", "entitlement_version": 1, "limits": limits, "lob_id": LOB });
        self.put(TENANCY, &format!("LOB#{LOB}"), "META", &scope).await?;
        let mut tenant = scope;
        if let Value::Object(tenant) = &mut tenant {
            tenant.insert("tenant_id".to_owned(), json!(TENANT));
            tenant.insert("models".to_owned(), json!(ids));
        }
        self.put(TENANCY, &format!("TENANT#{TENANT}"), "META", &tenant).await?;
        for scope in scopes() {
            let meter = json!({ "meter_kind": "METER", "status": "active", "entitlement_version": 1, "open": {} });
            self.put(LEDGER, &scope, "METER", &meter).await?;
        }
        Ok(())
    }

    async fn put(&self, table: &str, pk: &str, sk: &str, fields: &Value) -> Result<()> {
        let mut item = fields.as_object().map(attributes).unwrap_or_default();
        item.insert("PK".to_owned(), json!({ "S": pk }));
        item.insert("SK".to_owned(), json!({ "S": sk }));
        self.dynamodb("PutItem", &json!({ "TableName": table, "Item": item })).await.map(|_| ())
    }

    async fn dynamodb(&self, operation: &str, body: &Value) -> Result<Value> {
        let answer = self
            .client
            .post(&self.dynamodb_url)
            .header(CONTENT_TYPE, "application/x-amz-json-1.0")
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("x-amz-date", "20260101T000000Z")
            // It wants to see a signature, but does not check it.
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature=00",
            )
            .body(body.to_string())
            .send()
            .await?;
        let (status, text) = (answer.status(), answer.text().await?);
        if status.is_success() {
            Ok(serde_json::from_str(&text)?)
        } else {
            Err(format!("{operation}: {text}").into())
        }
    }
}

fn scopes() -> [String; 2] {
    [format!("TENANT#{TENANT}"), format!("LOB#{LOB}")]
}

async fn listen() -> Result<(TcpListener, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok((listener, url))
}

/// A session for whoever asks.
async fn assume_role() -> impl IntoResponse {
    let body = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
        <AssumedRoleUser><AssumedRoleId>AROATEST:t-acme</AssumedRoleId>\
        <Arn>arn:aws:sts::111122223333:assumed-role/tenant-access/t-acme</Arn></AssumedRoleUser>\
        <Credentials><AccessKeyId>ASIATEST</AccessKeyId><SecretAccessKey>test</SecretAccessKey>\
        <SessionToken>test</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
        </AssumeRoleResult></AssumeRoleResponse>";
    ([(CONTENT_TYPE, "text/xml")], body)
}

fn attributes(fields: &Map<String, Value>) -> Map<String, Value> {
    fields.iter().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

/// A JSON value as DynamoDB writes it.
fn attribute(value: &Value) -> Value {
    match value {
        Value::Null => json!({ "NULL": true }),
        Value::Bool(claim) => json!({ "BOOL": claim }),
        Value::Number(number) => json!({ "N": number.to_string() }),
        Value::String(text) => json!({ "S": text }),
        Value::Array(items) => json!({ "L": items.iter().map(attribute).collect::<Vec<_>>() }),
        Value::Object(fields) => json!({ "M": attributes(fields) }),
    }
}
