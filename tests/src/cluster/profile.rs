//! What distinguishes the clusters that the tests run against.

use std::fmt;
use std::str::FromStr;

/// Path that a login posts to, with the default API group suffix.
pub const LOGIN_PATH: &str = "/apis/login.concierge.pinniped.dev/v1alpha1/tokencredentialrequests";

/// Health paths that Talos 1.14 opens to anonymous probes.
const HEALTH_PATHS: [&str; 3] = ["/livez", "/readyz", "/healthz"];

/// Whose cluster it resembles.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Profile {
    /// RSA-2048 CA named `kubernetes`, its key PKCS#1 0600; anonymous requests on; `kube-public/cluster-info` present.
    #[default]
    Kubeadm,
    /// P-256 CA with subject `O=kubernetes`, its key SEC1 0400 of user 65535; anonymous requests on named paths only;
    /// PodSecurity `baseline` enforced; TLS 1.3 only; no cluster-info.
    Talos,
}

impl Profile {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Kubeadm, Self::Talos];

    /// `kubeadm` or `talos`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kubeadm => "kubeadm",
            Self::Talos => "talos",
        }
    }

    /// What the profile opens to anonymous requests unless a test asks for something else.
    pub fn anonymous(self) -> Anonymous {
        match self {
            Self::Kubeadm => Anonymous::Everything,
            Self::Talos => Anonymous::login_only(LOGIN_PATH),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.name() == name)
            .ok_or_else(|| format!("no profile `{name}`: use kubeadm or talos"))
    }
}

/// Which requests without credentials kube-apiserver lets in as `system:anonymous`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Anonymous {
    /// All; RBAC decides. The default of kube-apiserver.
    Everything,
    /// Exactly these paths, by an `AuthenticationConfiguration`; 401 elsewhere.
    Paths(Vec<String>),
    /// None (`--anonymous-auth=false`), as Talos up to 1.12 ships.
    Off,
}

impl Anonymous {
    /// What the Talos patch opens: the login path and the three health paths.
    pub fn login_only(login_path: &str) -> Self {
        let paths = HEALTH_PATHS.into_iter().chain([login_path]);
        Self::Paths(paths.map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_back() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        assert!("Talos".parse::<Profile>().is_err());
    }

    #[test]
    fn talos_opens_four_paths_and_no_more() {
        let Anonymous::Paths(paths) = Profile::Talos.anonymous() else {
            panic!("talos must name paths");
        };
        assert_eq!(paths, ["/livez", "/readyz", "/healthz", LOGIN_PATH]);
    }
}
