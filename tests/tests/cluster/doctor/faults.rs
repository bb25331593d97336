//! What is made wrong, and made good again.

/// A fault, and what is to be said of it.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) cause: Cause,
    pub(crate) check: &'static str,
    pub(crate) verdict: &'static str,
    pub(crate) evidence: &'static str,
    /// Part of the remedy.
    pub(crate) remedy: &'static str,
}

/// What is done.
#[derive(Debug)]
pub(crate) enum Cause {
    /// kube-apiserver runs with these arguments in place of that for anonymous requests.
    Anonymous(&'static [&'static str]),
    /// These commands of kubectl, and those that take it back.
    Kubectl {
        inject: &'static [&'static [&'static str]],
        heal: &'static [&'static [&'static str]],
    },
    /// The chart with these values; an agent that runs is deleted. It is taken back by the values from before.
    Values(&'static str),
    /// The object is deleted, and made again by Helm.
    Deleted(&'static str),
    /// `kube-public/cluster-info` has the CA of another cluster.
    ForeignClusterInfo,
    /// A further authenticator whose issuer is not there.
    UnreachableIssuer,
    /// The authenticator has this audience.
    Audience(&'static str),
}

impl Fault {
    pub(crate) fn closes_the_login_path(&self) -> bool {
        matches!(self.cause, Cause::Anonymous(["--anonymous-auth=false"]))
    }
}

const MANAGER: &str = "kube-controller-manager-node-1";

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        name: "anonymous path closed",
        cause: Cause::Anonymous(&["--anonymous-auth=false"]),
        check: "login-path",
        verdict: "failed",
        evidence: "/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests without credentials: 401",
        remedy: "open exactly this path",
    },
    Fault {
        name: "anonymous open for everything",
        cause: Cause::Anonymous(&[]),
        check: "anonymous-access",
        verdict: "warning",
        evidence: "GET /version without credentials: 200",
        remedy: "open /apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests alone",
    },
    Fault {
        name: "APIService absent",
        cause: Cause::Deleted("apiservice/v1alpha1.login.concierge.pinniped.dev"),
        check: "api-service",
        verdict: "failed",
        evidence: "there is no APIService v1alpha1.login.concierge.pinniped.dev",
        remedy: "helm upgrade haulout",
    },
    Fault {
        name: "webhook down",
        cause: Cause::Kubectl {
            inject: &[&[
                "-n",
                "haulout-system",
                "scale",
                "deployment/haulout-webhook",
                "--replicas=0",
            ]],
            heal: &[&[
                "-n",
                "haulout-system",
                "scale",
                "deployment/haulout-webhook",
                "--replicas=2",
            ]],
        },
        check: "webhook",
        verdict: "failed",
        evidence: "Deployment haulout-system/haulout-webhook is scaled to 0 pods",
        remedy: "kubectl -n haulout-system scale deployment/haulout-webhook --replicas=2",
    },
    Fault {
        name: "agent down",
        cause: Cause::Kubectl {
            inject: &[&[
                "label",
                "node",
                "node-1",
                "node-role.kubernetes.io/control-plane-",
            ]],
            heal: &[&[
                "label",
                "node",
                "node-1",
                "node-role.kubernetes.io/control-plane=",
            ]],
        },
        check: "agent",
        verdict: "failed",
        evidence: "no node has all of the labels kubernetes.io/os=linux, node-role.kubernetes.io/control-plane=",
        remedy: "kubectl label node NODE node-role.kubernetes.io/control-plane=",
    },
    Fault {
        name: "key unreadable",
        cause: Cause::Values(
            "--set=agent.preset=custom,agent.runAsUser=1000,agent.runAsGroup=1000,\
             agent.certFile=/system/secrets/kubernetes/kube-controller-manager/ca.crt,\
             agent.keyFile=/system/secrets/kubernetes/kube-controller-manager/ca.key",
        ),
        check: "signing-key",
        verdict: "failed",
        evidence: "it runs as user 1000, group 1000, and the key \
                   /system/secrets/kubernetes/kube-controller-manager/ca.key is for user 65535, group 65535",
        remedy: "agent.runAsUser=65535,agent.runAsGroup=65535",
    },
    Fault {
        name: "namespace not labelled",
        cause: Cause::Kubectl {
            inject: &[
                &[
                    "label",
                    "namespace",
                    "haulout-agent",
                    "pod-security.kubernetes.io/enforce-",
                ],
                &[
                    "-n",
                    "haulout-agent",
                    "delete",
                    "pods",
                    "--all",
                    "--wait=false",
                ],
            ],
            heal: &[
                &[
                    "label",
                    "namespace",
                    "haulout-agent",
                    "pod-security.kubernetes.io/enforce=privileged",
                ],
                &[
                    "-n",
                    "haulout-agent",
                    "rollout",
                    "restart",
                    "daemonset/haulout-agent",
                ],
            ],
        },
        check: "namespaces",
        verdict: "failed",
        evidence: "namespace haulout-agent: pod-security.kubernetes.io/enforce: no label",
        remedy: "kubectl label --overwrite namespace haulout-agent pod-security.kubernetes.io/enforce=privileged; \
                 kubectl -n haulout-agent rollout restart daemonset/haulout-agent",
    },
    Fault {
        name: "controller-manager without either label",
        cause: Cause::Kubectl {
            inject: &[&[
                "-n",
                "kube-system",
                "label",
                "pod",
                MANAGER,
                "component-",
                "k8s-app-",
            ]],
            heal: &[&[
                "-n",
                "kube-system",
                "label",
                "pod",
                MANAGER,
                "component=kube-controller-manager",
                "k8s-app=kube-controller-manager",
            ]],
        },
        check: "controller-manager",
        verdict: "failed",
        evidence: "has neither the label component=kube-controller-manager nor k8s-app=kube-controller-manager",
        remedy: "kubectl -n kube-system label pod kube-controller-manager-node-1 component=kube-controller-manager",
    },
    Fault {
        name: "CA not the API server's",
        cause: Cause::ForeignClusterInfo,
        check: "advertised-endpoint",
        verdict: "failed",
        evidence: "its certificate is not of the given CA",
        remedy: "certificate-authority-data in ConfigMap kube-public/cluster-info",
    },
    Fault {
        name: "issuer unreachable",
        cause: Cause::UnreachableIssuer,
        check: "authenticator",
        verdict: "failed",
        evidence: "DiscoveryURLValid: could not perform oidc discovery on provider issuer",
        remedy: "let the webhook's pods reach the issuer",
    },
    Fault {
        name: "authenticator with the wrong audience",
        cause: Cause::Audience("another-cluster"),
        check: "token",
        verdict: "failed",
        evidence: "has another audience than the JWTAuthenticator of its issuer",
        remedy: r#"-p '{"spec":{"audience":"#,
    },
];
