//! From Pinniped's Concierge to Haulout and back on a real node: every command that `haulout migrate` prints is run to the
//! letter, those of Helm too, with real logins in between.
//!
//! There is no image of Pinniped here, so the Concierge is its objects, and [another program](stand_in) behind them. That
//! Pinniped itself logs people in before the way there, and after the way back, is not seen.

mod stand_in;

use haulout_tests::cluster::{
    AGENT_NAMESPACE, AUDIENCE, AUTHENTICATOR, CHART, Cluster, ClusterOptions, NAMESPACE, Profile,
};
use serde_json::{Value, json};

use self::stand_in::StandIn;
use crate::installed::Installed;
use crate::migrate::concierge;
use crate::migrate::script::{Step, find, steps};
use crate::migrate::site::Site;

const OLD_NAMESPACE: &str = concierge::NAMESPACE;
const CREDENTIAL_ISSUER: [&str; 2] = ["credentialissuer", "haulout"];

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn node_the_printed_migration_leads_to_haulout_and_back() {
    let cluster = ClusterOptions {
        nodes: 1,
        ..ClusterOptions::new(Profile::Kubeadm)
    };
    let installed = Installed::into(Cluster::start(cluster).await.unwrap()).await;
    concierge::install(&installed.cluster).await;
    let stand_in = StandIn::start(&installed.cluster).await;
    add_authenticator(&installed).await;
    let migration = Migration {
        site: Site {
            cluster: &installed.cluster,
            shell: installed.shell(),
        },
        installed: &installed,
    };
    let site = &migration.site;
    let before = site.api_services().await;
    let kept = site.kept_uids().await;

    site.migrate(&["--check"], 0).await;
    let there = site.steps(&[]).await;
    migration.go_there(there, &before).await;
    assert_eq!(
        site.kept_uids().await,
        kept,
        "CRDs, APIServices and authenticators outlive it"
    );
    migration.upgrade_once_more().await;

    let restore = site.steps(&["--back"]).await;
    migration.go_back(&restore, &stand_in).await;
    assert_eq!(site.api_services().await, before);
    migration.haulout_is_gone().await;
    assert_eq!(
        site.kept_uids().await,
        kept,
        "CRDs, APIServices and authenticators outlive the way back"
    );
}

/// An authenticator that reads the CA of the test's issuer from the namespace of the Concierge.
async fn add_authenticator(installed: &Installed) {
    let ca = installed.issuer.ca_certificate_pem();
    let source = json!({"kind": "ConfigMap", "name": "corp-ca", "key": "ca.crt"});
    let items = json!([
        {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "corp-ca", "namespace": OLD_NAMESPACE},
            "data": {"ca.crt": ca},
        },
        {
            "apiVersion": "authentication.concierge.pinniped.dev/v1alpha1",
            "kind": "JWTAuthenticator",
            "metadata": {"name": AUTHENTICATOR},
            "spec": {
                "issuer": installed.issuer.url(),
                "audience": AUDIENCE,
                "tls": {"certificateAuthorityDataSource": source},
            },
        },
    ]);
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": items});
    concierge::apply(&installed.cluster, &objects).await;
    let ready = "--for=jsonpath={.status.phase}=Ready";
    let name = format!("jwtauthenticator/{AUTHENTICATOR}");
    let wait = ["wait", ready, &name, "--timeout=55s"];
    installed.kubectl().run(wait).await.unwrap();
}

/// The administrator at work.
struct Migration<'a> {
    site: Site<'a>,
    installed: &'a Installed,
}

impl Migration<'_> {
    /// Runs a step to the letter.
    async fn run(&self, step: &Step) -> String {
        match self.site.shell.run(&step.script()).await {
            Ok(seen) => seen,
            Err(told) => panic!(
                "{}: {told}\n{}",
                step.title,
                self.installed.installation.evidence().await
            ),
        }
    }

    /// Runs the next steps, whose titles have to begin so.
    async fn follow(&self, steps: &mut impl Iterator<Item = Step>, beginnings: &[&str]) {
        for beginning in beginnings {
            let step = steps.next().unwrap();
            assert!(step.title.starts_with(beginning), "{}", step.title);
            self.run(&step).await;
        }
    }

    async fn go_there(&self, steps: Vec<Step>, before: &[Value; 2]) {
        let site = &self.site;
        let mut steps = steps.into_iter();
        let beside = [
            "Back up",
            "Put Haulout's CRDs",
            "Make the namespace",
            "Install Haulout",
            "Wait for it",
        ];
        self.follow(&mut steps, &beside).await;
        self.signing_is_told_of().await;
        assert_eq!(&site.api_services().await, before, "logins go on");
        self.nobody_logs_in().await;

        let switch = ["Stop the Concierge", "Log in"];
        self.follow(&mut steps, &switch).await;
        assert_eq!(site.old_replicas().await, 0);
        self.alice_logs_in().await;

        self.follow(&mut steps, &["Delete what is left"]).await;
        site.nothing_is_left().await;
        self.alice_logs_in().await;

        self.follow(&mut steps, &["Let Helm look after"]).await;
        assert!(steps.next().is_none());
        self.alice_logs_in().await;
        let helm = self.installed.installation.helm();
        let manifest = ["get", "manifest", "haulout", "-n", NAMESPACE];
        let manifest = helm.run(&manifest).await.unwrap();
        for owned in [
            "name: v1alpha1.login.concierge.pinniped.dev",
            "name: v1alpha1.identity.concierge.pinniped.dev",
            "name: credentialissuers.config.concierge.pinniped.dev",
            "name: jwtauthenticators.authentication.concierge.pinniped.dev",
            "name: webhookauthenticators.authentication.concierge.pinniped.dev",
        ] {
            assert!(manifest.contains(owned), "{owned}: {manifest}");
        }
        let (_, stderr) = site.migrate(&[], 1).await;
        assert!(
            stderr.contains("nothing of a Concierge is left"),
            "{stderr}"
        );
    }

    /// As for the next version of Haulout.
    async fn upgrade_once_more(&self) {
        let issuer = self.site.get(&CREDENTIAL_ISSUER).await;
        let values = self
            .site
            .shell
            .folder()
            .join("haulout-migration/values.yaml");
        let values = format!("--values={}", values.display());
        let upgrade = ["upgrade", "haulout", CHART, "-n", NAMESPACE, &values];
        let helm = self.installed.installation.helm();
        helm.run(&upgrade).await.unwrap();
        self.alice_logs_in().await;
        let now = self.site.get(&CREDENTIAL_ISSUER).await;
        assert_eq!(now["metadata"]["uid"], issuer["metadata"]["uid"]);
    }

    /// The whole way back from where the Concierge was deleted.
    async fn go_back(&self, steps: &[Step], stand_in: &StandIn) {
        let site = &self.site;
        let restoring = find(steps, "Restore it").script();
        let refused = site.shell.run(&restoring).await.unwrap_err();
        let errors: Vec<&str> = (refused.lines())
            .filter(|line| line.starts_with("Error"))
            .collect();
        assert!(
            matches!(errors.as_slice(), [one] if one.contains(r#"namespaces "pinniped-concierge" already exists"#)),
            "{refused}"
        );
        stand_in
            .make_run_time_objects(&self.installed.cluster)
            .await;
        let rest = self.run(find(steps, "Get the rest of the way")).await;
        let mut rest = self::steps(&rest).into_iter();
        let switch = ["Start the Concierge", "Lead logins to it", "Log in"];
        self.follow(&mut rest, &switch).await;
        assert_eq!(site.old_replicas().await, 2);
        self.nobody_logs_in().await;
        self.follow(&mut rest, &["Remove Haulout"]).await;
        assert!(rest.next().is_none());
    }

    async fn alice_logs_in(&self) {
        let whoami = ["auth", "whoami", "-o", "json"];
        let whoami = self.installed.as_alice(&whoami).await.unwrap();
        let whoami: Value = serde_json::from_str(&whoami).unwrap();
        assert_eq!(whoami["status"]["userInfo"]["username"], "alice");
    }

    /// The program that stands for the Concierge signs nothing.
    async fn nobody_logs_in(&self) {
        let refused = self.installed.as_alice(&["auth", "whoami"]).await;
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.contains("Concierge credential exchange"),
            "{refused}"
        );
    }

    /// By Haulout's own CredentialIssuer, with the address that the Concierge's configuration had.
    async fn signing_is_told_of(&self) {
        let issuer = self.site.get(&CREDENTIAL_ISSUER).await;
        let frontend = &issuer["status"]["strategies"][0]["frontend"];
        let server = &frontend["tokenCredentialRequestInfo"]["server"];
        assert_eq!(server, "https://kubernetes.example.com", "{issuer}");
    }

    async fn haulout_is_gone(&self) {
        let ours = |name: &str| name.contains("haulout");
        let left = self.installed.objects_of_cluster(ours).await;
        assert_eq!(left, [""; 0]);
        assert!(!self.site.exists(&CREDENTIAL_ISSUER).await);
        for namespace in [NAMESPACE, AGENT_NAMESPACE] {
            assert!(!self.site.exists(&["namespace", namespace]).await);
        }
        // Nor a mark on what outlives it.
        for mut object in self.site.kept().await {
            let metadata = object["metadata"].as_object_mut().unwrap();
            let annotations = metadata.get_mut("annotations");
            annotations.and_then(|annotations| {
                annotations
                    .as_object_mut()?
                    .remove("kubectl.kubernetes.io/last-applied-configuration")
            });
            let marks = json!([metadata.get("labels"), metadata.get("annotations")]);
            let marks = marks.to_string().to_lowercase();
            assert!(
                !marks.contains("haulout") && !marks.contains("helm"),
                "{object}"
            );
        }
    }
}
