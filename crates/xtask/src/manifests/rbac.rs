//! Who may do what: one table, from which the Roles, the bindings and the README are made.

use haulout_api::group::ApiGroupSuffix;
use serde_json::{Map, Value, json};

use super::webhook::{AGENT_NAMESPACE, NAMESPACE, SERVICE_ACCOUNT, labels};

/// File of the rights of those who have not logged in, which may be left out.
pub(super) const ANONYMOUS: &str = "rbac/login-anonymous.yaml";

/// Rules for one subject in one scope; becomes a Role or ClusterRole and its binding.
pub(super) struct Grant {
    file: &'static str,
    name: &'static str,
    /// Namespace of the Role; `None` for a ClusterRole.
    namespace: Option<&'static str>,
    subject: Subject,
    rules: &'static [Rule],
}

/// One rule and why it is needed.
struct Rule {
    group: Group,
    resources: &'static [&'static str],
    /// Only objects of these names; empty for all.
    names: &'static [&'static str],
    verbs: &'static [&'static str],
    reason: &'static str,
}

/// API group of a rule.
#[derive(Clone, Copy)]
enum Group {
    /// A group of Kubernetes itself, the empty text for core.
    Kubernetes(&'static str),
    Login,
    Identity,
    Authentication,
    Config,
}

/// Who gets the rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Subject {
    /// The webhook's ServiceAccount.
    Webhook,
    /// Everyone who has logged in.
    Authenticated,
    /// Everyone who has not.
    Unauthenticated,
}

/// All rights that Haulout needs.
pub(super) const GRANTS: &[Grant] = &[
    Grant {
        file: "rbac/webhook.yaml",
        name: "haulout-webhook",
        namespace: None,
        subject: Subject::Webhook,
        rules: &[
            Rule {
                group: Group::Authentication,
                resources: &["jwtauthenticators", "webhookauthenticators"],
                names: &[],
                verbs: &["get", "list", "watch"],
                reason: "reads whose tokens to accept",
            },
            Rule {
                group: Group::Authentication,
                resources: &["jwtauthenticators/status", "webhookauthenticators/status"],
                names: &[],
                verbs: &["update"],
                reason: "reports whether they work",
            },
            Rule {
                group: Group::Config,
                resources: &["credentialissuers"],
                names: &[],
                verbs: &["create", "get", "list", "update", "watch"],
                reason: "makes the one of this installation and keeps its configured spec; its name is a setting",
            },
            Rule {
                group: Group::Config,
                resources: &["credentialissuers/status"],
                names: &[],
                verbs: &["update"],
                reason: "reports whether people can log in",
            },
            Rule {
                group: Group::Kubernetes("authorization.k8s.io"),
                resources: &["subjectaccessreviews"],
                names: &[],
                verbs: &["create"],
                reason: "asks whether a caller may use its API; no `system:auth-delegator`, which would also allow token reviews",
            },
            Rule {
                group: Group::Kubernetes("apiregistration.k8s.io"),
                resources: &["apiservices"],
                names: &[
                    "v1alpha1.identity.concierge.pinniped.dev",
                    "v1alpha1.login.concierge.pinniped.dev",
                ],
                verbs: &["get", "list", "watch", "patch"],
                reason: "keeps `caBundle` right; list and watch need the field selector `metadata.name`",
            },
        ],
    },
    Grant {
        file: "rbac/webhook.yaml",
        name: "haulout-webhook",
        namespace: Some(NAMESPACE),
        subject: Subject::Webhook,
        rules: &[
            Rule {
                group: Group::Kubernetes(""),
                resources: &["secrets"],
                names: &["haulout-serving", "haulout-signing-ca"],
                verbs: &["update"],
                reason: "its serving CA and certificate, and the CA between it and the agents",
            },
            Rule {
                group: Group::Kubernetes(""),
                resources: &["configmaps", "secrets"],
                names: &[],
                verbs: &["get", "list", "watch"],
                reason: "both of these, the CA bundles that authenticators name, and the certificate of the direct endpoint",
            },
            Rule {
                group: Group::Kubernetes(""),
                resources: &["secrets"],
                names: &[],
                verbs: &["create"],
                reason: "the first of both; RBAC cannot limit create by name",
            },
            Rule {
                group: Group::Kubernetes("coordination.k8s.io"),
                resources: &["leases"],
                names: &["haulout-webhook"],
                verbs: &["get", "update"],
                reason: "leader election",
            },
            Rule {
                group: Group::Kubernetes("coordination.k8s.io"),
                resources: &["leases"],
                names: &[],
                verbs: &["create"],
                reason: "the first Lease; RBAC cannot limit create by name",
            },
            Rule {
                group: Group::Kubernetes("apps"),
                resources: &["deployments"],
                names: &["haulout-webhook"],
                verbs: &["get"],
                reason: "its own Deployment, which owns the Secrets: all are removed together",
            },
        ],
    },
    Grant {
        file: "rbac/webhook.yaml",
        name: "haulout-webhook",
        namespace: Some(AGENT_NAMESPACE),
        subject: Subject::Webhook,
        rules: &[
            Rule {
                group: Group::Kubernetes(""),
                resources: &["secrets"],
                names: &["haulout-agent-tls"],
                verbs: &["get", "update"],
                reason: "fills in the agents' certificate; who installs makes the Secret",
            },
            Rule {
                group: Group::Kubernetes("discovery.k8s.io"),
                resources: &["endpointslices"],
                names: &[],
                verbs: &["list", "watch"],
                reason: "finds the agents",
            },
            Rule {
                group: Group::Kubernetes("apps"),
                resources: &["daemonsets"],
                names: &["haulout-agent"],
                verbs: &["get"],
                reason: "says in the status why no agent runs",
            },
            Rule {
                group: Group::Kubernetes(""),
                resources: &["events"],
                names: &[],
                verbs: &["list"],
                reason: "the same; only the events tell that PodSecurity refuses a pod or that a file is missing",
            },
        ],
    },
    Grant {
        file: "rbac/webhook.yaml",
        name: "haulout-webhook",
        namespace: Some("kube-system"),
        subject: Subject::Webhook,
        rules: &[Rule {
            group: Group::Kubernetes(""),
            resources: &["pods"],
            names: &[],
            verbs: &["list"],
            reason: "compares the agent's files with those of kube-controller-manager when no agent signs",
        }],
    },
    Grant {
        file: "rbac/webhook.yaml",
        name: "haulout-webhook",
        namespace: Some("kube-public"),
        subject: Subject::Webhook,
        rules: &[Rule {
            group: Group::Kubernetes(""),
            resources: &["configmaps"],
            names: &["cluster-info"],
            verbs: &["get", "list", "watch"],
            reason: "the API server's address for clients; list and watch need the field selector `metadata.name`",
        }],
    },
    Grant {
        file: "rbac/login.yaml",
        name: "haulout-login",
        namespace: None,
        subject: Subject::Authenticated,
        rules: &[
            Rule {
                group: Group::Login,
                resources: &["tokencredentialrequests"],
                names: &[],
                verbs: &["create", "list"],
                reason: "log in with a token; the list is always empty and lets `kubectl get pinniped` pass",
            },
            Rule {
                group: Group::Identity,
                resources: &["whoamirequests"],
                names: &[],
                verbs: &["create", "list"],
                reason: "ask who one is",
            },
        ],
    },
    Grant {
        file: ANONYMOUS,
        name: "haulout-login-anonymous",
        namespace: None,
        subject: Subject::Unauthenticated,
        rules: &[
            Rule {
                group: Group::Login,
                resources: &["tokencredentialrequests"],
                names: &[],
                verbs: &["create"],
                reason: "log in with a token through the API server",
            },
            Rule {
                group: Group::Identity,
                resources: &["whoamirequests"],
                names: &[],
                verbs: &["create"],
                reason: "ask who one is",
            },
        ],
    },
];

/// Path below `manifests/` and the objects of each file.
pub(super) fn files() -> Vec<(&'static str, Vec<Value>)> {
    let mut files: Vec<(&'static str, Vec<Value>)> = Vec::new();
    for grant in GRANTS {
        let objects = grant.objects();
        match files.iter_mut().find(|(file, _)| *file == grant.file) {
            Some((_, existing)) => existing.extend(objects),
            None => files.push((grant.file, Vec::from(objects))),
        }
    }
    if let Some((_, objects)) = files.first_mut() {
        objects.push(front_proxy_reader());
    }
    files
}

impl Grant {
    /// One Markdown table row for each rule.
    pub(super) fn table_rows(&self) -> impl Iterator<Item = String> {
        self.rules.iter().map(|rule| {
            let names = if rule.names.is_empty() {
                String::new()
            } else {
                format!(" named `{}`", rule.names.join("`, `"))
            };
            format!(
                "| {} | {} | `{}`{names} | {} | {} |",
                self.subject,
                self.namespace.unwrap_or("cluster"),
                rule.resources.join("`, `"),
                rule.verbs.join(", "),
                rule.reason,
            )
        })
    }

    fn objects(&self) -> [Value; 2] {
        let kind = if self.namespace.is_some() {
            "Role"
        } else {
            "ClusterRole"
        };
        let rules: Vec<Value> = self.rules.iter().map(Rule::object).collect();
        [
            object(kind, self.name, self.namespace, [("rules", json!(rules))]),
            binding(self.name, self.namespace, kind, self.name, self.subject),
        ]
    }
}

impl Rule {
    fn object(&self) -> Value {
        let mut rule = Map::from_iter([
            ("apiGroups".to_owned(), json!([self.group.name()])),
            ("resources".to_owned(), json!(self.resources)),
            ("verbs".to_owned(), json!(self.verbs)),
        ]);
        if !self.names.is_empty() {
            rule.insert("resourceNames".to_owned(), json!(self.names));
        }
        Value::Object(rule)
    }
}

impl Group {
    fn name(self) -> String {
        let suffix = ApiGroupSuffix::default();
        match self {
            Self::Kubernetes(name) => name.to_owned(),
            Self::Login => suffix.login_group(),
            Self::Identity => suffix.identity_group(),
            Self::Authentication => suffix.authentication_group(),
            Self::Config => suffix.config_group(),
        }
    }
}

impl Subject {
    fn object(self) -> Value {
        let group = |name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name});
        match self {
            Self::Webhook => {
                json!({"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": NAMESPACE})
            }
            Self::Authenticated => group("system:authenticated"),
            Self::Unauthenticated => group("system:unauthenticated"),
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Webhook => "webhook",
            Self::Authenticated => "`system:authenticated`",
            Self::Unauthenticated => "`system:unauthenticated`",
        })
    }
}

/// Kubernetes ships the Role; it allows to read one ConfigMap: the front proxy's CA and header names.
fn front_proxy_reader() -> Value {
    binding(
        "haulout-extension-apiserver-authentication-reader",
        Some("kube-system"),
        "Role",
        "extension-apiserver-authentication-reader",
        Subject::Webhook,
    )
}

fn binding(
    name: &str,
    namespace: Option<&str>,
    role_kind: &str,
    role: &str,
    subject: Subject,
) -> Value {
    let role_ref =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role});
    let fields = [
        ("roleRef", role_ref),
        ("subjects", json!([subject.object()])),
    ];
    object(&format!("{role_kind}Binding"), name, namespace, fields)
}

fn object<const N: usize>(
    kind: &str,
    name: &str,
    namespace: Option<&str>,
    fields: [(&str, Value); N],
) -> Value {
    let mut metadata = Map::from_iter([
        ("name".to_owned(), json!(name)),
        ("labels".to_owned(), labels()),
    ]);
    if let Some(namespace) = namespace {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    let mut object = Map::from_iter([
        (
            "apiVersion".to_owned(),
            json!("rbac.authorization.k8s.io/v1"),
        ),
        ("kind".to_owned(), json!(kind)),
        ("metadata".to_owned(), Value::Object(metadata)),
    ]);
    object.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that may be done, in short form.
    fn allowed(subject: Subject) -> Vec<(String, &'static str, &'static str, bool)> {
        GRANTS
            .iter()
            .filter(|grant| grant.subject == subject)
            .flat_map(|grant| grant.rules)
            .flat_map(|rule| {
                rule.resources.iter().flat_map(move |resource| {
                    rule.verbs.iter().map(move |verb| {
                        (rule.group.name(), *resource, *verb, rule.names.is_empty())
                    })
                })
            })
            .collect()
    }

    #[test]
    fn nothing_is_granted_by_wildcard() {
        for grant in GRANTS {
            for rule in grant.rules {
                let words = rule.resources.iter().chain(rule.verbs).chain(rule.names);
                assert!(
                    words.into_iter().all(|word| !word.contains('*')),
                    "{}",
                    rule.reason
                );
            }
        }
    }

    #[test]
    fn the_webhook_has_no_way_to_widen_its_rights() {
        let powers = [
            "escalate",
            "bind",
            "impersonate",
            "approve",
            "sign",
            "deletecollection",
        ];
        let resources = [
            "pods/exec",
            "serviceaccounts/token",
            "nodes",
            "tokenreviews",
        ];
        for (group, resource, verb, _) in allowed(Subject::Webhook) {
            assert!(!powers.contains(&verb), "{resource}");
            assert!(!resources.contains(&resource), "{resource}");
            assert_ne!(group, "rbac.authorization.k8s.io");
            assert_ne!(group, "certificates.k8s.io");
        }
    }

    /// Whoever writes a workload can become it; all that the webhook needs is to read.
    #[test]
    fn of_workloads_the_webhook_may_read_its_own_two_and_pods_of_the_system() {
        let granted: Vec<_> = GRANTS
            .iter()
            .flat_map(|grant| grant.rules.iter().map(move |rule| (grant, rule)))
            .filter(|(_, rule)| {
                matches!(rule.group, Group::Kubernetes("apps"))
                    || rule.resources.iter().any(|kind| kind.starts_with("pods"))
            })
            .map(|(grant, rule)| (grant.namespace, rule.resources, rule.names, rule.verbs))
            .collect();
        let readable: [(_, &[&str], &[&str], &[&str]); 3] = [
            (
                Some(NAMESPACE),
                &["deployments"],
                &["haulout-webhook"],
                &["get"],
            ),
            (
                Some(AGENT_NAMESPACE),
                &["daemonsets"],
                &["haulout-agent"],
                &["get"],
            ),
            (Some("kube-system"), &["pods"], &[], &["list"]),
        ];
        assert_eq!(granted, readable);
    }

    #[test]
    fn leases_and_api_services_are_reached_and_secrets_changed_by_name_only() {
        for (_, resource, verb, any_name) in allowed(Subject::Webhook) {
            let reads = resource == "secrets" && ["get", "list", "watch"].contains(&verb);
            if ["secrets", "leases", "apiservices"].contains(&resource) && !reads {
                assert_eq!(any_name, verb == "create", "{verb} {resource}");
            }
        }
    }

    /// All are read in the own namespace; of the agents' one, which is there already.
    #[test]
    fn of_secrets_elsewhere_one_is_reached_by_its_name() {
        let elsewhere: Vec<_> = GRANTS
            .iter()
            .filter(|grant| grant.namespace != Some(NAMESPACE))
            .flat_map(|grant| grant.rules.iter().map(move |rule| (grant, rule)))
            .filter(|(_, rule)| rule.resources.contains(&"secrets"))
            .map(|(grant, rule)| (grant.namespace, rule.names, rule.verbs))
            .collect();
        let agents = (
            Some(AGENT_NAMESPACE),
            &["haulout-agent-tls"][..],
            &["get", "update"][..],
        );
        assert_eq!(elsewhere, [agents]);
    }

    #[test]
    fn anonymous_callers_may_only_create() {
        let verbs: Vec<_> = allowed(Subject::Unauthenticated)
            .into_iter()
            .map(|(_, resource, verb, _)| (resource, verb))
            .collect();
        assert_eq!(
            verbs,
            [
                ("tokencredentialrequests", "create"),
                ("whoamirequests", "create")
            ]
        );
    }
}
