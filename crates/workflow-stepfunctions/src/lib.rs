//! Tasks as executions of a state machine of AWS Step Functions.

use aws_config::SdkConfig;
use aws_sdk_sfn::Client;
use aws_sdk_sfn::operation::start_execution::StartExecutionError;
use orchestration::{Workflow, WorkflowError};
use serde_json::json;

/// The state machine that does the steps of tasks.
#[derive(Debug)]
pub struct StateMachine {
    client: Client,
    arn: String,
}

impl StateMachine {
    /// The state machine of that ARN.
    pub fn new(sdk: &SdkConfig, arn: String) -> Self {
        Self { client: Client::new(sdk), arn }
    }
}

impl Workflow for StateMachine {
    async fn start(&self, task_id: &str, version: u64) -> Result<(), WorkflowError> {
        let answer = self
            .client
            .start_execution()
            .state_machine_arn(&self.arn)
            // A name is taken for ninety days, so a task is set going from one version once.
            .name(format!("{task_id}-{version}"))
            .input(json!({ "task_id": task_id }).to_string())
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(StartExecutionError::is_execution_already_exists) =>
            {
                Ok(())
            }
            Err(error) => {
                Err(WorkflowError { task_id: task_id.to_owned(), source: Box::new(error) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aws_config::{BehaviorVersion, Region};
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;
    use axum::Router;
    use axum::extract::State;
    use axum::http::StatusCode;
    use axum::routing::post;
    use serde_json::Value;

    use super::*;

    type Asked = Arc<Mutex<Vec<Value>>>;

    /// Takes every name once, and none of a task `lost`.
    async fn start_execution(State(asked): State<Asked>, body: String) -> (StatusCode, String) {
        let request: Value = serde_json::from_str(&body).unwrap();
        let mut asked = asked.lock().unwrap();
        let is_taken = asked.iter().any(|other| other["name"] == request["name"]);
        let is_lost = request["name"].as_str().unwrap().starts_with("lost");
        asked.push(request);
        let refuse = |code: &str| (StatusCode::BAD_REQUEST, json!({"__type": code}).to_string());
        if is_lost {
            return refuse("StateMachineDoesNotExist");
        }
        if is_taken {
            return refuse("ExecutionAlreadyExists");
        }
        (StatusCode::OK, json!({"executionArn": "arn:e", "startDate": 1_795_435_200}).to_string())
    }

    #[tokio::test]
    async fn a_task_is_set_going_once_from_each_version() {
        let asked = Asked::default();
        let router = Router::new().route("/", post(start_execution)).with_state(Arc::clone(&asked));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let credentials = Credentials::new("test", "test", None, None, "test");
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(endpoint)
            .build();
        let machine = StateMachine::new(&sdk, "arn:m".to_owned());
        machine.start("t1", 0).await.unwrap();
        machine.start("t1", 0).await.unwrap();
        machine.start("t1", 4).await.unwrap();
        let error = machine.start("lost", 0).await.unwrap_err();
        assert_eq!(error.task_id, "lost");
        let asked = asked.lock().unwrap();
        let names: Vec<_> = asked.iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["t1-0", "t1-0", "t1-4", "lost-0"]);
        assert_eq!(asked[0]["stateMachineArn"], "arn:m");
        assert_eq!(asked[0]["input"], json!({"task_id": "t1"}).to_string());
    }
}
