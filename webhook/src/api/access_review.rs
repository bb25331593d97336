//! Delegated authorization: SubjectAccessReviews of the API server.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use haulout_api::identity::UserInfo;
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
            let answer = tokio::time::timeout(TIMEOUT, self.reviews.create(&parameters, &review));
            match answer.await {
                Ok(Ok(review)) => decision(review),
                Ok(Err(error)) => Err(ReviewError(error.to_string())),
                Err(_elapsed) => Err(ReviewError(format!(
                    "no answer within {} s",
                    TIMEOUT.as_secs()
                ))),
            }
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
        .ok_or_else(|| ReviewError("the answer has no status".to_owned()))?;
    Ok(Decision {
        allowed: status.allowed,
        reason: status.reason.unwrap_or_default(),
    })
}
