//! A Deployment with a Service: pods that lead callers on to the API server.

use std::time::Duration;

use haulout_tests::cluster::{Cluster, wait_for, write_program_image};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const LIMIT: Duration = Duration::from_secs(60);
const PORT: u16 = 8001;

/// Its pods, by name and address, and how its Service is reached.
#[derive(Debug)]
pub(super) struct Workload {
    pods: Vec<Pod>,
    address: String,
    node_port: u16,
}

#[derive(Debug)]
struct Pod {
    name: String,
    address: String,
    node: String,
}

impl Workload {
    /// Loads an image, and waits until its pods are ready, one on each node.
    pub(super) async fn start(cluster: &Cluster, replicas: usize) -> Self {
        let archive = cluster.folder().join("kubectl.tar");
        let program = cluster.binaries().program("kubectl");
        write_program_image("test/kubectl:1", "/kubectl", &program, &archive).unwrap();
        cluster.load_image(&archive).await.unwrap();

        let kubectl = cluster.kubectl();
        kubectl.apply(&objects(replicas)).await.unwrap();
        let rollout = ["rollout", "status", "deployment/web", "--timeout=50s"];
        kubectl.run(rollout).await.unwrap();
        let pods = kubectl
            .json(&["get", "pods", "-l", "app=web"])
            .await
            .unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let pods: Vec<Pod> = (pods["items"].as_array().unwrap().iter())
            .map(|pod| Pod {
                name: text(&pod["metadata"]["name"]),
                address: text(&pod["status"]["podIP"]),
                node: text(&pod["spec"]["nodeName"]),
            })
            .collect();
        assert_eq!(pods.len(), replicas, "{pods:?}");
        let service = kubectl.json(&["get", "service", "web"]).await.unwrap();
        let port = &service["spec"]["ports"][0]["nodePort"];
        Self {
            pods,
            address: text(&service["spec"]["clusterIP"]),
            node_port: port.as_u64().unwrap().try_into().unwrap(),
        }
    }

    /// Each pod on a node of its own, with an address of that node.
    pub(super) async fn is_spread(&self, cluster: &Cluster) {
        let mut nodes: Vec<&str> = self.pods.iter().map(|pod| &*pod.node).collect();
        nodes.sort_unstable();
        let expected: Vec<&str> = (cluster.nodes().iter())
            .map(|node| node.access().name())
            .collect();
        assert_eq!(nodes, expected);
        for pod in &self.pods {
            let node = ["get", "node", &pod.node];
            let node = cluster.kubectl().json(&node).await.unwrap();
            let subnet = node["spec"]["podCIDR"].as_str().unwrap();
            let begin = subnet.strip_suffix("0/24").unwrap();
            assert!(pod.address.starts_with(begin), "{pod:?} of {subnet}");
        }
    }

    /// By the address of the Service `kubernetes`, as the account that the pod runs as.
    pub(super) async fn reaches_the_api_server(&self, cluster: &Cluster) {
        for pod in &self.pods {
            let processes = cluster.container_processes("default", &pod.name, "c");
            let process = processes.await.unwrap()[0];
            let environment = std::fs::read_to_string(format!("/proc/{process}/environ")).unwrap();
            let variable = "KUBERNETES_SERVICE_HOST=10.96.0.1";
            assert!(
                environment.split('\0').any(|own| own == variable),
                "{environment}"
            );
            let whoami = [
                "auth",
                "whoami",
                "-o",
                "jsonpath={.status.userInfo.username}",
            ];
            let who = self.run(cluster, pod, &whoami).await.unwrap();
            assert_eq!(who, "system:serviceaccount:default:default");
        }
    }

    /// Directly and by the Service, which any of them may answer once kube-proxy has heard of them all.
    pub(super) async fn reaches_itself_across_nodes(&self, cluster: &Cluster) {
        for pod in &self.pods {
            let mut servers: Vec<String> = (self.pods.iter())
                .map(|other| format!("--server=http://{}:{PORT}", other.address))
                .collect();
            servers.extend(vec![format!("--server=http://{}", self.address); 8]);
            for server in servers {
                let version = [&*server, "get", "--raw", "/version"];
                wait_for("version of the API server", LIMIT, &mut [], async || {
                    let version = self.run(cluster, pod, &version).await?;
                    anyhow::ensure!(version.contains("gitVersion"), "{server}: {version}");
                    Ok(())
                })
                .await
                .unwrap();
            }
        }
    }

    pub(super) async fn has_logs(&self, cluster: &Cluster) {
        for pod in &self.pods {
            let logs = cluster.kubectl().run(["logs", &pod.name]).await.unwrap();
            assert!(logs.contains("Starting to serve on"), "{logs}");
        }
    }

    /// A listener of this process, as an issuer of a test is.
    pub(super) async fn reaches_this_computer(&self, cluster: &Cluster) {
        let host = cluster.host_address().unwrap();
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = async {
            for _ in &self.pods {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).await.unwrap();
                assert!(request[..length].starts_with(b"GET /hello "));
                let answer = b"HTTP/1.0 200 OK\r\n\r\nfrom outside";
                stream.write_all(answer).await.unwrap();
            }
        };
        let ask = async {
            for pod in &self.pods {
                let server = format!("--server=http://{host}:{port}");
                let hello = [&*server, "get", "--raw", "/hello"];
                let answer = self.run(cluster, pod, &hello).await.unwrap();
                assert_eq!(answer, "from outside");
            }
        };
        tokio::join!(answer, ask);
    }

    /// By a port of the node, once kube-proxy has heard of the pods that are ready.
    pub(super) async fn is_reached_from_this_computer(&self, cluster: &Cluster) {
        let (server, _) = cluster.server().rsplit_once(':').unwrap();
        let node = server.trim_start_matches("https://");
        let answer = wait_for("answer at the port", LIMIT, &mut [], async || {
            let mut stream = TcpStream::connect((node, self.node_port)).await?;
            stream.write_all(b"GET /version HTTP/1.0\r\n\r\n").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        })
        .await
        .unwrap();
        assert!(answer.contains("gitVersion"), "{answer}");
    }

    /// kubelet starts again what was killed.
    pub(super) async fn survives_a_kill(&self, cluster: &Cluster) {
        let [pod] = self.pods.as_slice() else {
            panic!("meant for one pod");
        };
        cluster
            .kill_container("default", &pod.name, "c")
            .await
            .unwrap();
        wait_for("container started again", LIMIT, &mut [], async || {
            let pod = cluster.kubectl().json(&["get", "pod", &pod.name]).await?;
            let status = &pod["status"]["containerStatuses"][0];
            anyhow::ensure!(
                status["restartCount"] == 1 && status["ready"] == true,
                "{status}"
            );
            anyhow::ensure!(
                status["lastState"]["terminated"]["exitCode"] == 137,
                "{status}"
            );
            Ok(())
        })
        .await
        .unwrap();
    }

    /// Runs kubectl in a pod.
    async fn run(
        &self,
        cluster: &Cluster,
        pod: &Pod,
        arguments: &[&str],
    ) -> anyhow::Result<String> {
        let exec = ["exec", &pod.name, "--", "/kubectl"];
        let arguments = [&exec[..], arguments].concat();
        cluster.kubectl().run(arguments).await
    }
}

fn objects(replicas: usize) -> String {
    let labels = json!({ "app": "web" });
    let command = [
        "/kubectl",
        "proxy",
        "--address=0.0.0.0",
        "--accept-hosts=.*",
        &format!("--port={PORT}"),
    ];
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "default" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "tolerations": [{ "operator": "Exists" }],
                    "topologySpreadConstraints": [{
                        "maxSkew": 1,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "DoNotSchedule",
                        "labelSelector": { "matchLabels": labels },
                    }],
                    "containers": [{
                        "name": "c",
                        "image": "test/kubectl:1",
                        "imagePullPolicy": "Never",
                        "command": command,
                        "readinessProbe": {
                            "tcpSocket": { "port": PORT },
                            "periodSeconds": 1,
                        },
                    }],
                },
            },
        },
    });
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "web", "namespace": "default" },
        "spec": {
            "type": "NodePort",
            "selector": labels,
            "ports": [{ "port": 80, "targetPort": PORT }],
        },
    });
    json!({ "apiVersion": "v1", "kind": "List", "items": [deployment, service] }).to_string()
}
