use serde_json::{Value, json};

use super::*;

fn pod(value: Value) -> Pod {
    serde_json::from_value(value).unwrap()
}

/// A pod with one container, which has `command` and `mounts` of `volumes`.
fn plain(command: &[&str], mounts: &Value, volumes: &Value) -> Pod {
    pod(json!({
        "metadata": {"name": "kube-controller-manager-a", "namespace": "kube-system"},
        "spec": {
            "containers": [{"name": "manager", "command": command, "volumeMounts": mounts}],
            "volumes": volumes,
        },
    }))
}

/// The same with one folder of the node at `/pki`.
fn with_folder(command: &[&str]) -> Pod {
    plain(
        command,
        &json!([{"name": "pki", "mountPath": "/pki"}]),
        &json!([{"name": "pki", "hostPath": {"path": "/srv/pki"}}]),
    )
}

/// As kubeadm 1.36 writes it.
fn kubeadm() -> Pod {
    let conf = "/etc/kubernetes/controller-manager.conf";
    pod(json!({
        "metadata": {
            "name": "kube-controller-manager-a",
            "namespace": "kube-system",
            "labels": {"component": "kube-controller-manager", "tier": "control-plane"},
        },
        "spec": {
            "nodeName": "a",
            "hostNetwork": true,
            "priorityClassName": "system-node-critical",
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "kube-controller-manager",
                "command": [
                    "kube-controller-manager",
                    "--allocate-node-cidrs=true",
                    format!("--authentication-kubeconfig={conf}"),
                    format!("--authorization-kubeconfig={conf}"),
                    "--bind-address=127.0.0.1",
                    "--client-ca-file=/etc/kubernetes/pki/ca.crt",
                    "--cluster-cidr=10.244.0.0/16",
                    "--cluster-name=kubernetes",
                    "--cluster-signing-cert-file=/etc/kubernetes/pki/ca.crt",
                    "--cluster-signing-key-file=/etc/kubernetes/pki/ca.key",
                    "--controllers=*,bootstrapsigner,tokencleaner",
                    format!("--kubeconfig={conf}"),
                    "--leader-elect=true",
                    "--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt",
                    "--root-ca-file=/etc/kubernetes/pki/ca.crt",
                    "--service-account-private-key-file=/etc/kubernetes/pki/sa.key",
                    "--service-cluster-ip-range=10.96.0.0/12",
                    "--use-service-account-credentials=true",
                ],
                "volumeMounts": [
                    {"name": "ca-certs", "mountPath": "/etc/ssl/certs", "readOnly": true},
                    {"name": "flexvolume-dir", "mountPath": "/usr/libexec/kubernetes/kubelet-plugins/volume/exec"},
                    {"name": "k8s-certs", "mountPath": "/etc/kubernetes/pki", "readOnly": true},
                    {"name": "kubeconfig", "mountPath": conf, "readOnly": true},
                ],
            }],
            "volumes": [
                {"name": "ca-certs", "hostPath": {"path": "/etc/ssl/certs", "type": "DirectoryOrCreate"}},
                {"name": "flexvolume-dir", "hostPath": {
                    "path": "/usr/libexec/kubernetes/kubelet-plugins/volume/exec", "type": "DirectoryOrCreate",
                }},
                {"name": "k8s-certs", "hostPath": {"path": "/etc/kubernetes/pki", "type": "DirectoryOrCreate"}},
                {"name": "kubeconfig", "hostPath": {"path": conf, "type": "FileOrCreate"}},
            ],
        },
        "status": {"phase": "Running"},
    }))
}

/// As Talos renders it: `newer` is 1.14, whose command has one flag twice and which mounts memory for temporary files.
fn talos(newer: bool) -> Pod {
    let folder = "/system/secrets/kubernetes/kube-controller-manager";
    let mut command = vec![
        "/usr/local/bin/kube-controller-manager".to_owned(),
        "--use-service-account-credentials".to_owned(),
        "--allocate-node-cidrs=true".to_owned(),
        format!("--authentication-kubeconfig={folder}/kubeconfig"),
        format!("--authorization-kubeconfig={folder}/kubeconfig"),
        "--bind-address=127.0.0.1".to_owned(),
        "--cluster-cidr=10.244.0.0/16".to_owned(),
        format!("--cluster-signing-cert-file={folder}/ca.crt"),
        format!("--cluster-signing-key-file={folder}/ca.key"),
        "--configure-cloud-routes=false".to_owned(),
        format!(
            "--controllers=*{}",
            if newer { "" } else { ",tokencleaner" }
        ),
        format!("--kubeconfig={folder}/kubeconfig"),
        "--leader-elect=true".to_owned(),
        "--profiling=false".to_owned(),
        format!("--root-ca-file={folder}/ca.crt"),
        format!("--service-account-private-key-file={folder}/service-account.key"),
        "--service-cluster-ip-range=10.96.0.0/12".to_owned(),
    ];
    let mut mounts = vec![json!({"name": "secrets", "mountPath": folder, "readOnly": true})];
    let mut volumes = vec![json!({"name": "secrets", "hostPath": {"path": folder}})];
    let mut context = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    if newer {
        command.push("--terminated-pod-gc-threshold=100".to_owned());
        for (name, path) in [("tmp", "/tmp"), ("run", "/var/run/kubernetes")] {
            mounts.push(json!({"name": name, "mountPath": path}));
            volumes.push(json!({"name": name, "emptyDir": {"medium": "Memory"}}));
        }
        context["readOnlyRootFilesystem"] = json!(true);
    }
    command.push("--tls-min-version=VersionTLS13".to_owned());
    if newer {
        command.push("--use-service-account-credentials=true".to_owned());
    }
    pod(json!({
        "metadata": {
            "name": "kube-controller-manager-cp-1",
            "namespace": "kube-system",
            "labels": {
                "tier": "control-plane",
                "k8s-app": "kube-controller-manager",
                "component": "kube-controller-manager",
                "app.kubernetes.io/name": "kube-controller-manager",
                "app.kubernetes.io/component": "control-plane",
                "app.kubernetes.io/managed-by": "Talos",
            },
        },
        "spec": {
            "nodeName": "cp-1",
            "hostNetwork": true,
            "priorityClassName": "system-cluster-critical",
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65535, "runAsGroup": 65535},
            "containers": [{
                "name": "kube-controller-manager",
                "command": command,
                "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "volumeMounts": mounts,
                "securityContext": context,
            }],
            "volumes": volumes,
        },
        "status": {"phase": "Running"},
    }))
}

/// As RKE2 writes it: one volume for each file, flags of one signer only, and all of them arguments.
fn rke2() -> Pod {
    let tls = "/var/lib/rancher/rke2/server/tls";
    pod(json!({
        "metadata": {
            "name": "kube-controller-manager-a",
            "namespace": "kube-system",
            "labels": {"component": "kube-controller-manager", "tier": "control-plane"},
        },
        "spec": {
            "containers": [{
                "name": "kube-controller-manager",
                "command": ["kube-controller-manager"],
                "args": [
                    format!("--cluster-signing-kube-apiserver-client-cert-file={tls}/client-ca.nochain.crt"),
                    format!("--cluster-signing-kube-apiserver-client-key-file={tls}/client-ca.key"),
                    format!("--cluster-signing-kubelet-serving-cert-file={tls}/server-ca.nochain.crt"),
                    format!("--cluster-signing-kubelet-serving-key-file={tls}/server-ca.key"),
                ],
                "volumeMounts": [
                    {"name": "file0", "mountPath": format!("{tls}/client-ca.key"), "readOnly": true},
                    {"name": "file1", "mountPath": format!("{tls}/client-ca.nochain.crt"), "readOnly": true},
                ],
            }],
            "volumes": [
                {"name": "file0", "hostPath": {"path": format!("{tls}/client-ca.key"), "type": "File"}},
                {"name": "file1", "hostPath": {"path": format!("{tls}/client-ca.nochain.crt"), "type": "File"}},
            ],
        },
    }))
}

fn file(flag: Option<&'static str>, path: &str, host_path: &str) -> SigningFile {
    SigningFile {
        flag,
        path: path.to_owned(),
        host_path: host_path.to_owned(),
    }
}

#[test]
fn files_of_each_distribution_are_found() {
    const CERT: &str = "--cluster-signing-cert-file";
    const KEY: &str = "--cluster-signing-key-file";
    let root = RunAs { user: 0, group: 0 };
    let nobody = RunAs {
        user: 65535,
        group: 65535,
    };
    let pki = "/etc/kubernetes/pki/ca";
    let system = "/system/secrets/kubernetes/kube-controller-manager/ca";
    let rancher = "/var/lib/rancher/rke2/server/tls/client-ca";
    let cases = [
        (
            kubeadm(),
            [CERT, KEY],
            [format!("{pki}.crt"), format!("{pki}.key")],
            root,
        ),
        (
            talos(false),
            [CERT, KEY],
            [format!("{system}.crt"), format!("{system}.key")],
            nobody,
        ),
        (
            talos(true),
            [CERT, KEY],
            [format!("{system}.crt"), format!("{system}.key")],
            nobody,
        ),
        (
            rke2(),
            [
                "--cluster-signing-kube-apiserver-client-cert-file",
                "--cluster-signing-kube-apiserver-client-key-file",
            ],
            [format!("{rancher}.nochain.crt"), format!("{rancher}.key")],
            root,
        ),
    ];
    for (pod, [cert_flag, key_flag], [cert, key], run_as) in cases {
        let expected = SigningFiles {
            certificate: file(Some(cert_flag), &cert, &cert),
            key: file(Some(key_flag), &key, &key),
            run_as,
        };
        assert_eq!(signing_files(&pod), Ok(expected));
    }
}

#[test]
fn the_common_flag_wins_over_the_signers_own() {
    let pod = with_folder(&[
        "--cluster-signing-kube-apiserver-client-cert-file=/pki/one.crt",
        "--cluster-signing-kube-apiserver-client-key-file=/pki/one.key",
        "--cluster-signing-cert-file=/pki/all.crt",
        "--cluster-signing-key-file=",
    ]);
    let files = signing_files(&pod).unwrap();
    assert_eq!(files.certificate.path, "/pki/all.crt");
    assert_eq!(
        files.key.path, "/pki/one.key",
        "an empty value counts as none"
    );
}

#[test]
fn the_path_on_the_node_goes_through_the_innermost_mount() {
    let mount = |name: &str, path: &str, sub: Option<&str>| json!({"name": name, "mountPath": path, "subPath": sub});
    let outer = mount("outer", "/etc", None);
    let cases = [
        (json!([outer]), "/etc/pki/ca.key", "/host/outer/pki/ca.key"),
        (
            json!([outer, mount("inner", "/etc/pki/", None)]),
            "/etc/pki/ca.key",
            "/host/inner/ca.key",
        ),
        (
            json!([mount("inner", "/etc/pki", None), outer]),
            "/etc//pki/./ca.key",
            "/host/inner/ca.key",
        ),
        (
            json!([mount("inner", "/etc/pki", Some("x/y/"))]),
            "/etc/pki/ca.key",
            "/host/inner/x/y/ca.key",
        ),
        (
            json!([mount("inner", "/etc/pki/ca.key", None)]),
            "/etc/pki/ca.key",
            "/host/inner",
        ),
        (
            json!([outer, mount("inner", "/etc/pk", None)]),
            "/etc/pki/ca.key",
            "/host/outer/pki/ca.key",
        ),
        (
            json!([mount("inner", "/", None)]),
            "/ca.key",
            "/host/inner/ca.key",
        ),
    ];
    for (mounts, path, expected) in cases {
        let pod = plain(
            &[],
            &mounts,
            &json!([
                {"name": "outer", "hostPath": {"path": "/host/outer"}},
                {"name": "inner", "hostPath": {"path": "/host/inner/"}},
            ]),
        );
        let spec = pod.spec.unwrap();
        let found = host_path(&spec, &spec.containers[0], path);
        assert_eq!(found.as_deref(), Ok(expected), "{mounts}");
    }
}

/// A pod whose key file is named as `key`.
fn with_key(key: &str) -> Pod {
    let key = format!("--cluster-signing-key-file={key}");
    with_folder(&["--cluster-signing-cert-file=/pki/ca.crt", &key])
}

#[test]
fn a_command_that_names_no_plain_path_is_an_error() {
    use SigningFilesError::{NoContainer, NotPlain, Shell, Unset, Variable};
    let flag = "--cluster-signing-key-file";
    let shell = [
        "/bin/sh",
        "-ec",
        "exec kube-controller-manager --cluster-signing-key-file=/pki/a",
    ];
    let container = "manager".to_owned();
    let variable = "$(DIR)/ca.key".to_owned();
    let default = "/etc/kubernetes/ca/ca.key";
    let cases = [
        (Pod::default(), NoContainer),
        (with_folder(&shell), Shell { container }),
        (
            with_key(&variable),
            Variable {
                flag,
                path: variable.clone(),
            },
        ),
        (
            with_key("pki/ca.key"),
            NotPlain {
                path: "pki/ca.key".to_owned(),
            },
        ),
        (
            with_key("/pki/../ca.key"),
            NotPlain {
                path: "/pki/../ca.key".to_owned(),
            },
        ),
        (
            with_key(""),
            Unset {
                flag,
                path: default,
            },
        ),
    ];
    for (pod, expected) in cases {
        assert_eq!(signing_files(&pod), Err(expected));
    }
}

#[test]
fn a_file_that_is_not_the_nodes_is_an_error() {
    let path = "/key/ca.key".to_owned();
    let volume = "key".to_owned();
    let container = "manager".to_owned();
    let secret = json!({"name": "key", "secret": {"secretName": "ca"}});
    let folder = json!({"name": "key", "hostPath": {"path": "/srv"}});
    let cases = [
        (
            secret,
            json!({"name": "key", "mountPath": "/key"}),
            SigningFilesError::NotOnHost {
                path: path.clone(),
                volume: volume.clone(),
            },
        ),
        (
            folder.clone(),
            json!({"name": "key", "mountPath": "/key", "subPathExpr": "$(NODE)"}),
            SigningFilesError::SubPathExpression {
                path: path.clone(),
                volume,
            },
        ),
        (
            folder,
            json!({"name": "key", "mountPath": "/keys"}),
            SigningFilesError::NotMounted { path, container },
        ),
    ];
    for (volume, mount, expected) in cases {
        let pod = plain(
            &[
                "--cluster-signing-cert-file=/pki/ca.crt",
                "--cluster-signing-key-file=/key/ca.key",
            ],
            &json!([{"name": "pki", "mountPath": "/pki"}, mount]),
            &json!([{"name": "pki", "hostPath": {"path": "/srv/pki"}}, volume]),
        );
        assert_eq!(signing_files(&pod), Err(expected));
    }
}

#[test]
fn the_default_path_counts_where_the_node_has_it() {
    let pod = plain(
        &["kube-controller-manager"],
        &json!([{"name": "ca", "mountPath": "/etc/kubernetes/ca"}]),
        &json!([{"name": "ca", "hostPath": {"path": "/srv/ca"}}]),
    );
    let files = signing_files(&pod).unwrap();
    assert_eq!(
        files.certificate,
        file(None, "/etc/kubernetes/ca/ca.pem", "/srv/ca/ca.pem")
    );
    assert_eq!(
        files.key,
        file(None, "/etc/kubernetes/ca/ca.key", "/srv/ca/ca.key")
    );
}

#[test]
fn a_container_beside_it_is_passed_over() {
    let mut pod = kubeadm();
    let expected = signing_files(&pod);
    let beside = json!({"name": "beside", "command": ["sh", "-c", "sleep infinity"]});
    let containers = &mut pod.spec.as_mut().unwrap().containers;
    containers.insert(0, serde_json::from_value(beside).unwrap());
    assert_eq!(signing_files(&pod), expected);
}

#[test]
fn the_containers_own_user_wins() {
    let mut pod = talos(false);
    let spec = pod.spec.as_mut().unwrap();
    let own = spec.containers[0].security_context.as_mut().unwrap();
    own.run_as_user = Some(7);
    assert_eq!(
        signing_files(&pod).unwrap().run_as,
        RunAs {
            user: 7,
            group: 65535
        }
    );
}

#[test]
fn a_controller_manager_is_known_by_namespace_and_label() {
    let labelled = |namespace: &str, label: &str, value: &str| {
        pod(json!({"metadata": {"namespace": namespace, "labels": {label: value}}}))
    };
    let name = "kube-controller-manager";
    let cases = [
        (kubeadm(), true),
        (talos(true), true),
        (labelled("kube-system", "k8s-app", name), true),
        (labelled("default", "component", name), false),
        (labelled("kube-system", "app", name), false),
        (
            labelled("kube-system", "component", "kube-scheduler"),
            false,
        ),
        (Pod::default(), false),
    ];
    for (pod, expected) in cases {
        assert_eq!(is_controller_manager(&pod), expected, "{:?}", pod.metadata);
    }
}

#[test]
fn the_newest_on_a_node_that_takes_pods_is_chosen() {
    let at = |name: &str, node: &str, minute: u8, phase: &str| {
        pod(json!({
            "metadata": {
                "name": name,
                "namespace": "kube-system",
                "labels": {"component": "kube-controller-manager"},
                "creationTimestamp": format!("2026-11-25T00:{minute:02}:00Z"),
            },
            "spec": {"nodeName": node, "containers": []},
            "status": {"phase": phase},
        }))
    };
    let node = |name: &str, cordoned: bool| -> Node {
        serde_json::from_value(
            json!({"metadata": {"name": name}, "spec": {"unschedulable": cordoned}}),
        )
        .unwrap()
    };
    let pods = [
        at("oldest", "n1", 1, "Running"),
        at("failed", "n1", 9, "Failed"),
        at("newest-b", "n3", 3, "Running"),
        at("newest-a", "n2", 3, "Running"),
        at("old", "n1", 2, "Running"),
    ];
    let cases = [
        (vec![], "newest-a"),
        (
            vec![node("n1", false), node("n2", true), node("n3", true)],
            "old",
        ),
        (vec![node("n1", false), node("n3", false)], "newest-b"),
        (vec![node("n1", true), node("n2", true)], "newest-a"),
    ];
    for (nodes, expected) in cases {
        let chosen = choose(&pods, &nodes).unwrap();
        assert_eq!(chosen.metadata.name.as_deref(), Some(expected));
    }
}

#[test]
fn none_running_is_said_in_the_words_that_clients_match() {
    let stopped = |count: usize| -> Vec<Pod> {
        let mut pod = kubeadm();
        pod.status = None;
        vec![pod; count]
    };
    let base = "could not find a healthy kube-controller-manager pod";
    let cases = [
        (
            0,
            format!(
                "{base} (0 candidates): note that this error is the expected behavior for some cluster types, \
                 including most cloud provider clusters (e.g. GKE, AKS, EKS)"
            ),
        ),
        (1, format!("{base} (1 candidate)")),
        (2, format!("{base} (2 candidates)")),
    ];
    for (candidates, text) in cases {
        let error = choose(&stopped(candidates), &[]).unwrap_err();
        assert_eq!(error.to_string(), text);
        assert_eq!(error, NoneRuns { candidates });
    }
}
