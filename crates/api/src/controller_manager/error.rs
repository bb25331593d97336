//! Why it is not known what a kube-controller-manager signs with.

/// No pod of a kube-controller-manager runs. The text is Pinniped's, which clients match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not find a healthy kube-controller-manager pod ({}", candidates_text(*candidates))]
pub struct NoneRuns {
    /// How many such pods exist.
    pub candidates: usize,
}

/// Why the files of a kube-controller-manager cannot be told from its pod.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningFilesError {
    /// The pod has no containers; the API server makes none like that.
    #[error("the pod has no container")]
    NoContainer,
    /// The command is text for a shell.
    #[error(
        "container \"{container}\" starts kube-controller-manager by a shell, whose text is not read; look into it for \
         --cluster-signing-cert-file and --cluster-signing-key-file and name these files yourself"
    )]
    Shell {
        /// Name of the container.
        container: String,
    },
    /// The path has a part that the kubelet fills in.
    #[error("{flag}={path} refers to a variable, which is not resolved; name the file yourself")]
    Variable {
        /// The flag, with its dashes.
        flag: &'static str,
        /// Its value.
        path: String,
    },
    /// The path depends on a working directory, or leads upwards.
    #[error("{path} is not an absolute path without \"..\"; name the file yourself")]
    NotPlain {
        /// The path inside the container.
        path: String,
    },
    /// Nothing names the file, and its default is not on the node.
    #[error(
        "kube-controller-manager has no {flag}, and nothing of the node is mounted at {path}, its default; where the \
         cluster's CA is kept outside of the cluster, there is no key to sign with"
    )]
    Unset {
        /// The preferred flag, with its dashes.
        flag: &'static str,
        /// The default path.
        path: &'static str,
    },
    /// The file comes with the image.
    #[error("{path} is in no volume of container \"{container}\", so it is not a file of the node")]
    NotMounted {
        /// The path inside the container.
        path: String,
        /// Name of the container.
        container: String,
    },
    /// The file is in a volume of another kind.
    #[error(
        "{path} is in volume \"{volume}\", which is no hostPath, so it is not a file of the node"
    )]
    NotOnHost {
        /// The path inside the container.
        path: String,
        /// Name of the volume.
        volume: String,
    },
    /// The mount has a `subPathExpr`.
    #[error(
        "{path} is mounted from volume \"{volume}\" with a subPathExpr, which is not resolved; name the file yourself"
    )]
    SubPathExpression {
        /// The path inside the container.
        path: String,
        /// Name of the volume.
        volume: String,
    },
}

fn candidates_text(candidates: usize) -> String {
    match candidates {
        0 => "0 candidates): note that this error is the expected behavior for some cluster types, including most cloud \
              provider clusters (e.g. GKE, AKS, EKS)"
            .to_owned(),
        1 => "1 candidate)".to_owned(),
        many => format!("{many} candidates)"),
    }
}
