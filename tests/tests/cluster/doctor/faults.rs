//! What is made wrong, and what is to be said of it.

/// A fault.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) cause: Cause,
    pub(crate) check: &'static str,
    pub(crate) verdict: &'static str,
    /// Part of the evidence.
    pub(crate) evidence: &'static str,
    /// Part of the remedy.
    pub(crate) remedy: &'static str,
}

/// What is done.
#[derive(Debug)]
pub(crate) enum Cause {
    /// kube-apiserver runs with these arguments in place of that for anonymous requests.
    Anonymous(&'static [&'static str]),
    /// An administrator runs these commands. They are made good by those that the remedy has.
    Commands(&'static str),
    /// `kube-public/cluster-info` has the CA of another cluster.
    ForeignClusterInfo,
    /// A further authenticator has an issuer that is not there.
    UnreachableIssuer,
}

impl Fault {
    pub(crate) fn closes_the_login_path(&self) -> bool {
        matches!(self.cause, Cause::Anonymous(["--anonymous-auth=false"]))
    }
}

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
        cause: Cause::Commands("kubectl delete apiservice v1alpha1.login.concierge.pinniped.dev"),
        check: "api-service",
        verdict: "failed",
        evidence: "there is no APIService v1alpha1.login.concierge.pinniped.dev",
        remedy: "helm upgrade haulout",
    },
    Fault {
        name: "webhook down",
        cause: Cause::Commands("kubectl -n haulout-system scale deployment/haulout-webhook --replicas=0
            kubectl -n haulout-system delete pods --all --now"),
        check: "webhook",
        verdict: "failed",
        evidence: "Deployment haulout-system/haulout-webhook is scaled to 0 pods",
        remedy: "`kubectl -n haulout-system scale deployment/haulout-webhook --replicas=2`",
    },
    Fault {
        name: "agent down",
        cause: Cause::Commands("kubectl label node node-1 node-role.kubernetes.io/control-plane-
            kubectl -n haulout-agent delete pods --all --now"),
        check: "agent",
        verdict: "failed",
        evidence: "no node has all of the labels kubernetes.io/os=linux, node-role.kubernetes.io/control-plane=",
        remedy: "`kubectl label node NODE node-role.kubernetes.io/control-plane=`",
    },
    Fault {
        name: "key unreadable",
        // The agent from before would sign until its successor is ready, which that never is.
        cause: Cause::Commands(
            "FOLDER=/system/secrets/kubernetes/kube-controller-manager
            helm upgrade haulout manifests/helm/haulout -n haulout-system --reset-then-reuse-values \\
                --set agent.preset=custom,agent.certFile=$FOLDER/ca.crt,agent.keyFile=$FOLDER/ca.key \\
                --set agent.runAsUser=1000,agent.runAsGroup=1000
            kubectl -n haulout-agent delete pods --all --wait=false",
        ),
        check: "signing-key",
        verdict: "failed",
        evidence: "it runs as user 1000, group 1000, and the key \
                   /system/secrets/kubernetes/kube-controller-manager/ca.key is for user 65535, group 65535",
        remedy: "agent.runAsUser=65535,agent.runAsGroup=65535`",
    },
    Fault {
        name: "namespace not labelled",
        cause: Cause::Commands(
            "kubectl label namespace haulout-agent pod-security.kubernetes.io/enforce-
            kubectl -n haulout-agent delete pods --all --wait=false",
        ),
        check: "namespaces",
        verdict: "failed",
        evidence: "namespace haulout-agent: pod-security.kubernetes.io/enforce: no label",
        remedy: "`kubectl label --overwrite namespace haulout-agent pod-security.kubernetes.io/enforce=privileged`",
    },
    Fault {
        name: "controller-manager without either label",
        cause: Cause::Commands(
            "kubectl -n kube-system label pod kube-controller-manager-node-1 component- k8s-app-",
        ),
        check: "controller-manager",
        verdict: "failed",
        evidence: "has neither the label component=kube-controller-manager nor k8s-app=kube-controller-manager",
        remedy: "`kubectl -n kube-system label pod kube-controller-manager-node-1 component=kube-controller-manager`",
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
        cause: Cause::Commands(
            r#"kubectl patch jwtauthenticator test-issuer --type=merge -p '{"spec":{"audience":"another-cluster"}}'"#,
        ),
        check: "token",
        verdict: "failed",
        evidence: r#"has another audience than the JWTAuthenticator of its issuer: test-issuer has "another-cluster""#,
        remedy: r#"test-issuer --type=merge -p '{"spec":{"audience":"local-cluster"}}'`"#,
    },
];
