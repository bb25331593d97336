//! `haulout whoami`: who the API server takes the kubeconfig's user for.

use std::io::Write;
use std::time::Duration;

use haulout_api::group::{ApiGroupSuffix, SuffixError, VERSION};
use haulout_api::identity::{KIND, PLURAL, WhoAmIRequestStatus};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use serde::{Deserialize, Serialize};

use crate::arguments::{AnswerFormat, WhoAmIFlags};
use crate::audit_id::audit_id;
use crate::cluster::{Cluster, ClusterError, NamedCluster, shown_server};
use crate::console::Console;
use crate::document::{self, EncodeError};
use crate::standard_output::{PrintError, print};
use crate::{Environment, after_colon, printable};

/// Most bytes of an answer.
const MAX_BYTES: usize = 1 << 20;

/// Why nobody knows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WhoAmIError {
    #[error("invalid API group suffix")]
    Suffix(#[source] SuffixError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("could not complete WhoAmIRequest")]
    Call(#[source] ClusterError),
    #[error(
        "could not complete WhoAmIRequest: the API server did not answer within {} s; give it more by --timeout",
        .0.as_secs_f64()
    )]
    TimedOut(Duration),
    #[error(
        "could not complete WhoAmIRequest (is the Pinniped WhoAmI API running and healthy?): {group} is not installed in this \
         cluster; check --api-group-suffix, and that this kubeconfig is of the right cluster"
    )]
    NotInstalled { group: String },
    #[error(
        "could not complete WhoAmIRequest: 401 Unauthorized: the API server does not accept the credential of the kubeconfig's \
         user; log in again, or ask haulout doctor why"
    )]
    Unauthorized,
    #[error("could not complete WhoAmIRequest: {status}{}", after_colon(message))]
    Refused { status: StatusCode, message: String },
    #[error(
        "could not complete WhoAmIRequest: the answer is no WhoAmIRequest; is {server} a Kubernetes API server?"
    )]
    NotAnAnswer { server: String },
    #[error("failed to encode the request")]
    Request(#[source] serde_json::Error),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Print(#[from] PrintError),
}

impl WhoAmIError {
    /// Whether the command line is at fault.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::Suffix(_))
    }
}

/// The request, and with a status the answer, in the order in which Pinniped's CLI prints it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WhoAmIRequest {
    kind: &'static str,
    api_version: String,
    metadata: Empty,
    spec: Empty,
    status: WhoAmIRequestStatus,
}

#[derive(Debug, Serialize)]
struct Empty {}

/// What of an answer, or of a refusal, is read.
#[derive(Deserialize)]
#[serde(tag = "kind")]
enum Answer {
    WhoAmIRequest {
        status: WhoAmIRequestStatus,
    },
    Status {
        #[serde(default)]
        message: String,
    },
}

/// Asks, and prints the answer.
pub(crate) fn run(
    flags: &WhoAmIFlags,
    environment: Environment<'_>,
    console: &Console<'_>,
    stdout: &mut dyn Write,
) -> Result<(), WhoAmIError> {
    let suffix = ApiGroupSuffix::parse(flags.api_group_suffix.as_str());
    let suffix = suffix.map_err(WhoAmIError::Suffix)?;
    let selected = flags.cluster();
    let mut request = WhoAmIRequest {
        kind: KIND,
        api_version: format!("{}/{VERSION}", suffix.identity_group()),
        metadata: Empty {},
        spec: Empty {},
        status: WhoAmIRequestStatus::default(),
    };
    request.status = Cluster::with(&selected, environment, async |cluster| {
        let asked = ask(cluster, &request, console);
        if flags.timeout.is_zero() {
            return asked.await;
        }
        let in_time = tokio::time::timeout(flags.timeout, asked).await;
        in_time.unwrap_or(Err(WhoAmIError::TimedOut(flags.timeout)))
    })?;
    let text = match flags.output {
        AnswerFormat::Text => {
            let cluster = NamedCluster::of(&selected, environment);
            text(cluster.as_ref(), &request.status)
        }
        AnswerFormat::Json => document::to_json(&request)?,
        AnswerFormat::Yaml => document::to_yaml(&request)?,
    };
    Ok(print(stdout, &text)?)
}

async fn ask(
    cluster: &Cluster,
    request: &WhoAmIRequest,
    console: &Console<'_>,
) -> Result<WhoAmIRequestStatus, WhoAmIError> {
    let what = "who you are";
    let body = serde_json::to_vec(request).map_err(WhoAmIError::Request)?;
    let path = format!("/apis/{}/{PLURAL}", request.api_version);
    let call = Request::post(&path)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        .body(Body::from(body));
    // Neither path nor headers can be malformed: the suffix is a DNS name.
    let failed = |error| WhoAmIError::Call(cluster.error(what, error));
    let call = call.map_err(|error| failed(kube::Error::HttpError(error)))?;
    let answer = cluster.client().send(call).await.map_err(failed)?;
    let (head, body) = answer.into_parts();
    let url = format!("{}{path}", shown_server(cluster.server()));
    let id = audit_id(&head.headers);
    console.debug_answer(&"ask who you are", (&Method::POST, &url), head.status, id);
    console.warn(&head.headers, &[]);
    let body = Limited::new(body, MAX_BYTES).collect().await;
    let body = body.map_err(|error| failed(kube::Error::Service(error)))?;
    let answer = serde_json::from_slice(&body.to_bytes()).ok();
    match (head.status, answer) {
        (status, Some(Answer::WhoAmIRequest { status: found })) if status.is_success() => Ok(found),
        (status, _) if status.is_success() => Err(WhoAmIError::NotAnAnswer {
            server: shown_server(cluster.server()),
        }),
        (StatusCode::NOT_FOUND, _) => Err(WhoAmIError::NotInstalled {
            group: request.api_version.clone(),
        }),
        (StatusCode::UNAUTHORIZED, _) => Err(WhoAmIError::Unauthorized),
        (status, answer) => {
            let message = match answer {
                Some(Answer::Status { message }) => haulout_https::foreign(&message),
                _ => String::new(),
            };
            Err(WhoAmIError::Refused { status, message })
        }
    }
}

/// The answer for people, as Pinniped's CLI lays it out.
fn text(cluster: Option<&NamedCluster>, status: &WhoAmIRequestStatus) -> String {
    let (name, url) = cluster.map_or(("???", "???"), |cluster| (&cluster.name, &cluster.server));
    let user = &status.kubernetes_user_info.user;
    format!(
        "Current cluster info:\n\nName: {}\nURL: {}\n\nCurrent user info:\n\nUsername: {}\nGroups: {}\n",
        printable(name),
        printable(url),
        printable(&user.username),
        printable(&user.groups.join(", ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use haulout_api::identity::{KubernetesUserInfo, UserInfo};

    fn status(groups: &[&str]) -> WhoAmIRequestStatus {
        WhoAmIRequestStatus {
            kubernetes_user_info: KubernetesUserInfo {
                user: UserInfo {
                    username: "alice".to_owned(),
                    groups: groups.iter().map(ToString::to_string).collect(),
                    ..UserInfo::default()
                },
                audiences: Vec::new(),
            },
        }
    }

    /// That of a pod, which has no kubeconfig, has no name.
    #[test]
    fn c122_cluster_without_a_name_shows_as_question_marks() {
        let expected = "Current cluster info:\n\nName: ???\nURL: ???\n\n\
                        Current user info:\n\nUsername: alice\nGroups: \n";
        assert_eq!(text(None, &status(&[])), expected);
    }

    #[test]
    fn names_steer_no_terminal() {
        let shown = text(None, &status(&["a\u{1b}[2J\nGroups: b"]));
        assert!(
            shown.ends_with("Groups: a\\u{1b}[2J Groups: b\n"),
            "{shown}"
        );
    }
}
