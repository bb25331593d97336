//! Delegated authorization: SubjectAccessReviews of the API server.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use haulout_api::identity::UserInfo;
use haulout_operate::cluster::call_within;
use haulout_serve::authorize::{AccessReviewer, Attributes, Decision, ReviewError};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

/// How long the API server may take, as in `k8s.io/apiserver`.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the API server. Needs `create` on `subjectaccessreviews.authorization.k8s.io`.
#[derive(Clone)]
pub struct SubjectAccessReviewer {
    reviews: Api<SubjectAccessReview>,
}

impl SubjectAccessReviewer {
    /// Asks through `client`.
    pub fn new(client: Client) -> Self {
        Self {
            reviews: Api::all(client),
        }
    }
}

impl std::fmt::Debug for SubjectAccessReviewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SubjectAccessReviewer")
    }
}

impl AccessReviewer for SubjectAccessReviewer {
    fn review<'a>(
        &'a self,
        user: &'a UserInfo,
        attributes: &'a Attributes,
    ) -> BoxFuture<'a, Result<Decision, ReviewError>> {
        async move {
            let review = SubjectAccessReview {
                spec: spec(user, attributes),
                ..Default::default()
            };
            let parameters = PostParams::default();
            let answer = call_within(TIMEOUT, self.reviews.create(&parameters, &review));
            decision(answer.await.map_err(ReviewError::new)?)
        }
        .boxed()
    }
}

fn spec(user: &UserInfo, attributes: &Attributes) -> SubjectAccessReviewSpec {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (resource_attributes, non_resource_attributes) = match attributes {
        Attributes::Resource {
            verb,
            group,
            version,
            resource,
            subresource,
            name,
            namespace,
        } => {
            let attributes = ResourceAttributes {
                verb: some(verb),
                group: some(group),
                version: some(version),
                resource: some(resource),
                subresource: some(subresource),
                name: some(name),
                namespace: some(namespace),
                ..Default::default()
            };
            (Some(attributes), None)
        }
        Attributes::Path { verb, path } => (
            None,
            Some(NonResourceAttributes {
                verb: some(verb),
                path: some(path),
            }),
        ),
    };
    SubjectAccessReviewSpec {
        user: some(&user.username),
        uid: some(&user.uid),
        groups: (!user.groups.is_empty()).then(|| user.groups.clone()),
        extra: (!user.extra.is_empty()).then(|| user.extra.clone()),
        resource_attributes,
        non_resource_attributes,
    }
}

/// An answer without a status decides nothing, which is not to be taken for a denial.
fn decision(review: SubjectAccessReview) -> Result<Decision, ReviewError> {
    let status = review
        .status
        .ok_or_else(|| ReviewError::new("the answer has no status"))?;
    Ok(Decision {
        allowed: status.allowed,
        reason: status.reason.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use axum::http::{Request, Response};
    use haulout_operate::error::chain;
    use http_body_util::BodyExt;
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// Asks an API server that answers with `status` and `answer`; also gives what it was asked.
    async fn ask(
        user: &UserInfo,
        attributes: &Attributes,
        status: u16,
        answer: Value,
    ) -> (Result<Decision, ReviewError>, Value) {
        let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let reviewer = SubjectAccessReviewer::new(Client::new(service, "default"));
        let api_server = async {
            let (request, reply) = handle.next_request().await.unwrap();
            assert_eq!(request.method(), "POST");
            assert_eq!(
                request.uri().path(),
                "/apis/authorization.k8s.io/v1/subjectaccessreviews"
            );
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let response = Response::builder()
                .status(status)
                .body(answer.to_string().into_bytes().into());
            reply.send_response(response.unwrap());
            serde_json::from_slice::<Value>(&body).unwrap()["spec"].clone()
        };
        tokio::join!(reviewer.review(user, attributes), api_server)
    }

    fn review(status: &Value) -> Value {
        json!({
            "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {},
            "spec": {}, "status": status,
        })
    }

    fn discovery() -> Attributes {
        Attributes::Path {
            verb: "get".into(),
            path: "/apis".into(),
        }
    }

    #[tokio::test]
    async fn user_and_resource_are_put_in_full() {
        let user = UserInfo {
            username: "alice".into(),
            uid: "42".into(),
            groups: vec!["b".into(), "a".into()],
            extra: [("scopes".to_owned(), vec!["x".to_owned()])].into(),
        };
        let attributes = Attributes::Resource {
            verb: "create",
            group: "login.concierge.pinniped.dev".into(),
            version: "v1alpha1".into(),
            resource: "tokencredentialrequests".into(),
            subresource: String::new(),
            name: String::new(),
            namespace: String::new(),
        };
        let (decision, asked) =
            ask(&user, &attributes, 201, review(&json!({"allowed": true}))).await;
        assert_eq!(
            decision.unwrap(),
            Decision {
                allowed: true,
                reason: String::new()
            }
        );
        let expected = json!({
            "user": "alice", "uid": "42", "groups": ["b", "a"], "extra": {"scopes": ["x"]},
            "resourceAttributes": {
                "verb": "create", "group": "login.concierge.pinniped.dev", "version": "v1alpha1",
                "resource": "tokencredentialrequests",
            },
        });
        assert_eq!(asked, expected);
    }

    #[tokio::test]
    async fn paths_are_no_resources_and_denials_have_their_reason() {
        let user = UserInfo {
            username: "bob".into(),
            ..UserInfo::default()
        };
        let denial = review(&json!({"allowed": false, "reason": "not bob"}));
        let (decision, asked) = ask(&user, &discovery(), 201, denial).await;
        assert_eq!(
            decision.unwrap(),
            Decision {
                allowed: false,
                reason: "not bob".into()
            }
        );
        let expected =
            json!({"user": "bob", "nonResourceAttributes": {"verb": "get", "path": "/apis"}});
        assert_eq!(asked, expected);
    }

    #[tokio::test]
    async fn what_is_no_decision_is_an_error() {
        let user = UserInfo::default();
        let forbidden = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "no right to ask", "reason": "Forbidden", "code": 403,
        });
        let refused = ask(&user, &discovery(), 403, forbidden).await.0;
        assert_eq!(
            chain(&refused.unwrap_err()),
            "failed to ask the API server for a SubjectAccessReview: no right to ask"
        );
        let undecided = ask(&user, &discovery(), 201, review(&Value::Null)).await.0;
        assert_eq!(
            chain(&undecided.unwrap_err()),
            "failed to ask the API server for a SubjectAccessReview: the answer has no status"
        );
    }

    #[tokio::test]
    async fn an_api_server_that_is_away_is_told_of_with_its_cause() {
        let nowhere = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let reviewer = SubjectAccessReviewer::new(Client::try_from(nowhere).unwrap());
        let outcome = reviewer.review(&UserInfo::default(), &discovery()).await;
        let text = chain(&outcome.unwrap_err());
        assert!(text.contains("Connection refused"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_api_server_is_an_error() {
        let (service, _handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let reviewer = SubjectAccessReviewer::new(Client::new(service, "default"));
        let error = reviewer
            .review(&UserInfo::default(), &discovery())
            .await
            .unwrap_err();
        let text = chain(&error);
        assert!(text.ends_with("did not answer within 10 s"), "{text}");
    }
}
