//! Against a server that records what Cognito is asked, and answers as it does.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use administration::{UserPool as _, UserPoolError};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::CognitoPool;

type Answers = Arc<Mutex<VecDeque<(u16, Value)>>>;
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

struct Fake {
    pool: CognitoPool,
    asked: Asked,
}

/// A pool that gives these answers, one after the other.
async fn pool(answers: impl IntoIterator<Item = (u16, Value)>) -> Fake {
    let (asked, answers): (Asked, Answers) =
        (Asked::default(), Arc::new(Mutex::new(answers.into_iter().collect())));
    let router = Router::new().fallback(answer).with_state((Arc::clone(&asked), answers));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let credentials = Credentials::new("test", "test", None, None, "test");
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(url)
        .build();
    Fake { pool: CognitoPool::new(&sdk, "us-east-1_pool".to_owned(), "us-east-1"), asked }
}

async fn answer(
    State((asked, answers)): State<(Asked, Answers)>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    let target = headers["x-amz-target"].to_str().unwrap().rsplit('.').next().unwrap().to_owned();
    asked.lock().unwrap().push((target, serde_json::from_str(&body).unwrap()));
    let (status, body) = answers.lock().unwrap().pop_front().unwrap_or((200, json!({})));
    (
        StatusCode::from_u16(status).unwrap(),
        [("content-type", "application/x-amz-json-1.1")],
        body.to_string(),
    )
}

fn refusal(code: &str) -> (u16, Value) {
    (400, json!({"__type": code, "message": "ann@acme.example is not there"}))
}

fn ann() -> Value {
    json!({
        "Username": "u-1", "Enabled": true, "UserStatus": "CONFIRMED",
        "Attributes": [{"Name": "sub", "Value": "u-1"}, {"Name": "email", "Value": "Ann@acme.example"}],
    })
}

impl Fake {
    fn targets(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(target, _)| target.clone()).collect()
    }

    fn request(&self, index: usize) -> Value {
        self.asked.lock().unwrap()[index].1.clone()
    }
}

#[tokio::test]
async fn a_person_is_made_once_and_has_no_password_of_ours() {
    let fake = pool([(200, json!({"User": ann()}))]).await;
    let user = fake.pool.create_user("ann@acme.example", false).await.unwrap();
    assert_eq!((user.id.as_str(), user.email.as_str()), ("u-1", "ann@acme.example"));
    let request = fake.request(0);
    assert_eq!(
        (&request["MessageAction"], &request["UserPoolId"]),
        (&json!("SUPPRESS"), &json!("us-east-1_pool"))
    );
    assert!(!request.to_string().contains("Password"));

    let found = json!({
        "Username": "u-1", "Enabled": false, "UserStatus": "CONFIRMED",
        "UserAttributes": [{"Name": "sub", "Value": "u-1"}],
    });
    let fake = pool([refusal("UsernameExistsException"), (200, found)]).await;
    let user = fake.pool.create_user("ann@acme.example", true).await.unwrap();
    assert!(!user.is_enabled);
    assert_eq!(fake.targets(), ["AdminCreateUser", "AdminGetUser"]);
}

#[tokio::test]
async fn a_group_is_made_when_somebody_is_put_into_it() {
    let fake = pool([refusal("ResourceNotFoundException"), refusal("GroupExistsException")]).await;
    fake.pool.add_to_group("u-1", "acme:developer").await.unwrap();
    assert_eq!(fake.targets(), ["AdminAddUserToGroup", "CreateGroup", "AdminAddUserToGroup"]);
    assert_eq!(fake.request(1)["GroupName"], "acme:developer");
    let fake = pool([refusal("ResourceNotFoundException")]).await;
    fake.pool.remove_from_group("u-1", "acme:developer").await.unwrap();
    let fake = pool([refusal("ResourceNotFoundException")]).await;
    assert_eq!(fake.pool.users_in("acme:developer").await.unwrap(), []);
}

#[tokio::test]
async fn every_page_of_a_group_is_read() {
    let first = json!({"Users": [ann()], "NextToken": "2"});
    let fake = pool([(200, first), (200, json!({"Users": [ann()]}))]).await;
    assert_eq!(fake.pool.users_in("acme:viewer").await.unwrap().len(), 2);
    assert_eq!(fake.request(1)["NextToken"], "2");
}

#[tokio::test]
async fn a_client_has_no_flow_but_its_own() {
    let made = json!({"UserPoolClient": {"ClientId": "c-1", "ClientSecret": "hidden"}});
    let fake = pool([(200, made)]).await;
    let scopes = BTreeSet::from(["weir/invoke".to_owned()]);
    let new = fake.pool.create_client("acme.1", &scopes).await.unwrap();
    assert_eq!((new.client_id.as_str(), new.secret.expose()), ("c-1", "hidden"));
    let request = fake.request(0);
    assert_eq!(request["AllowedOAuthFlows"], json!(["client_credentials"]));
    assert_eq!(
        (&request["AllowedOAuthScopes"], &request["GenerateSecret"]),
        (&json!(["weir/invoke"]), &json!(true))
    );
    assert!(request["ExplicitAuthFlows"].is_null());
    let described = json!({"UserPoolClient": {"ClientId": "c-1", "ClientSecret": "hidden"}});
    let fake = pool([(200, described)]).await;
    assert_eq!(fake.pool.secret_of("c-1").await.unwrap().expose(), "hidden");
    assert_eq!(fake.targets(), ["DescribeUserPoolClient"]);
}

#[tokio::test]
async fn what_cannot_be_done_is_told_apart_and_names_nobody() {
    let fake = pool([refusal("UserNotFoundException")]).await;
    assert_eq!(fake.pool.user("ann@acme.example").await.unwrap(), None);
    let fake = pool([refusal("InvalidAction")]).await;
    assert!(matches!(fake.pool.secrets_of("c").await, Err(UserPoolError::Unsupported)));
    let fake = pool([refusal("NotAuthorizedException")]).await;
    let error = fake.pool.user("ann@acme.example").await.unwrap_err();
    assert!(!format!("{error:?}").contains("ann"), "{error:?}");
}

#[tokio::test]
async fn groups_members_and_clients_of_a_tenant_are_found_to_the_last_page() {
    use offboarding::{Estate as _, Store, Whose, classify};

    let clients = |ids: &[(&str, &str)]| -> Vec<Value> {
        ids.iter().map(|(id, name)| json!({"ClientId": id, "ClientName": name})).collect()
    };
    let groups = |names: &[&str]| -> Vec<Value> {
        names.iter().map(|name| json!({"GroupName": name})).collect()
    };
    let fake = pool([
        (200, json!({"UserPoolClients": clients(&[("c-1", "acme.1"), ("c-2", "acme-2.1")]), "NextToken": "2"})),
        (200, json!({"UserPoolClients": clients(&[("c-3", "seeded"), ("c-4", "acme")])})),
        (200, json!({"Groups": groups(&["acme:viewer", "acme-2:viewer"]), "NextToken": "2"})),
        (200, json!({"Groups": groups(&["acme2:viewer", "acme:unknown"])})),
        (200, json!({"Users": [ann()]})),
        (200, json!({"Users": []})),
    ])
    .await;
    let clients = BTreeSet::from(["c-3".to_owned()]);
    let whose = Whose { tenant_id: "acme".parse().unwrap(), clients };
    let page = fake.pool.list(&whose, Store::UserPool, None).await.unwrap();
    assert_eq!(page.next, None);
    let own = page.found.into_iter().filter(|it| matches!(classify(&whose, it), Ok(Some(_))));
    let own: Vec<_> = own.collect();
    let named: Vec<_> = own.iter().map(|it| (it.place.as_str(), it.name.as_str())).collect();
    assert_eq!(
        named,
        [
            ("clients", "c-1"),
            ("clients", "c-3"),
            ("clients", "c-4"),
            ("members/acme:viewer", "u-1"),
            ("groups", "acme:viewer"),
            ("groups", "acme:unknown"),
        ]
    );
    let gone = |code| pool([refusal(code), refusal(code)]);
    for (it, remove, look) in [
        (&own[0], "DeleteUserPoolClient", "DescribeUserPoolClient"),
        (&own[3], "AdminRemoveUserFromGroup", "AdminListGroupsForUser"),
        (&own[4], "DeleteGroup", "GetGroup"),
    ] {
        let fake = gone("ResourceNotFoundException").await;
        fake.pool.remove(it).await.unwrap();
        assert!(!fake.pool.is_there(it).await.unwrap());
        assert_eq!(fake.targets(), [remove, look]);
    }
    let fake = pool([(200, json!({"Groups": groups(&["acme:viewer"])}))]).await;
    assert!(fake.pool.is_there(&own[3]).await.unwrap());
}
