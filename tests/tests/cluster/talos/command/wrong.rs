//! What `haulout talos patch` refuses, on configs that Talos itself has generated.

use haulout_tests::talos::{Generation, Machine, Talos, Version};

use super::{Patched, refuses};
use crate::talos::config::DEFAULT;
use crate::talos::patches::{Meant, PATCHES};

/// A config, what was done to it, and a wish that would break it.
struct Wrong {
    version: Version,
    generation: Generation,
    before: &'static [&'static str],
    flags: &'static [&'static str],
    reason: &'static str,
}

const fn wrong(
    version: Version,
    generation: Generation,
    before: &'static [&'static str],
    flags: &'static [&'static str],
    reason: &'static str,
) -> Wrong {
    Wrong {
        version,
        generation,
        before,
        flags,
        reason,
    }
}

const FILE: &str = include_str!("../../../../../talos-patches/1.13/least-privilege-file.yaml");
const FLAGS: &str = include_str!("../../../../../talos-patches/1.13/least-privilege-flags.yaml");
const OIDC: &str = "cluster:\n  apiServer:\n    extraArgs:\n      oidc-client-id: kubernetes\n      \
                    oidc-issuer-url: https://issuer.example.com\n";
const OWN_FILE: &str =
    "cluster:\n  apiServer:\n    extraArgs:\n      authentication-config: /var/lib/own.yaml\n";
const NO_AUTHENTICATION: &str =
    "apiVersion: v1alpha1\nkind: KubeAuthenticationConfig\n$patch: delete\n";
const NO_RBAC: &str =
    "apiVersion: v1alpha1\nkind: KubeAuthorizerConfig\nname: rbac\n$patch: delete\n";
const UNKNOWN_KEY: &str = "apiVersion: v1alpha1\nkind: KubeAuthenticationConfig\nconfiguration:\n  \
                           anonymus:\n    enabled: true\n";

/// Talos takes nearly all of what these would be.
const WRONG: [Wrong; 16] = {
    use Generation::{Documents, Legacy};
    use Version::{V1_13, V1_14};
    [
        wrong(V1_13, Legacy, &[], &["--generation=multi-doc"], "is legacy"),
        wrong(V1_14, Legacy, &[], &["--generation=multi-doc"], "is legacy"),
        wrong(
            V1_14,
            Documents,
            &[],
            &["--generation=legacy"],
            "is multi-doc",
        ),
        wrong(
            V1_14,
            Documents,
            &[],
            &["--patch=anonymous-auth"],
            "on a multi-doc config",
        ),
        wrong(
            V1_14,
            Documents,
            &[],
            &["--talos-version=1.13"],
            "knows no multi-doc config",
        ),
        wrong(
            V1_13,
            Legacy,
            &[],
            &["--talos-version=1.12"],
            "always passes --anonymous-auth on",
        ),
        wrong(
            V1_14,
            Legacy,
            &[],
            &[],
            "refuses authentication-config on a legacy config",
        ),
        wrong(
            V1_13,
            Legacy,
            &[],
            &["--step=flags"],
            "apply --step file first",
        ),
        wrong(
            V1_13,
            Legacy,
            &[FILE],
            &["--step=file"],
            "and the patch would add it once more",
        ),
        wrong(
            V1_13,
            Legacy,
            &[FILE, FLAGS],
            &[],
            "both steps are in this machine config already",
        ),
        wrong(
            V1_13,
            Legacy,
            &[OIDC],
            &[],
            "oidc-client-id, oidc-issuer-url",
        ),
        wrong(
            V1_13,
            Legacy,
            &[OWN_FILE],
            &[],
            "this machine config does not say what is in it",
        ),
        wrong(
            V1_13,
            Legacy,
            &[FILE, FLAGS],
            &["--patch=anonymous-auth"],
            "is better than opening all",
        ),
        wrong(
            V1_14,
            Documents,
            &[NO_AUTHENTICATION],
            &["--patch=psa-exemption"],
            "makes an empty file",
        ),
        wrong(
            V1_14,
            Documents,
            &[NO_RBAC],
            &[],
            "no KubeAuthorizerConfig of type RBAC",
        ),
        wrong(V1_14, Documents, &[UNKNOWN_KEY], &[], "anonymus"),
    ]
};

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn talos_configs_that_a_patch_would_break_get_none_and_the_reason() {
    for (version, generation) in DEFAULT {
        let talos = Talos::find_or_build(version).await.unwrap();
        let generated = Patched::new(&talos, generation).await.config;
        let wrong = WRONG
            .iter()
            .filter(|wrong| wrong.version == version && wrong.generation == generation);
        for wrong in wrong {
            let config = generated.clone();
            let mut config = Patched {
                talos: &talos,
                config,
            };
            for patch in wrong.before {
                // Talos takes it, though the API server may not.
                config.add(patch).await;
            }
            config.refuse(wrong.flags, wrong.reason);
        }
        let worker = talos.generate(Machine::Worker, generation).await;
        refuses(&worker.unwrap().text, &[], "config of a worker");
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn talos_patches_for_another_config_are_refused_though_talos_may_take_them() {
    for (version, generation) in DEFAULT {
        let talos = Talos::find_or_build(version).await.unwrap();
        refuses_what_is_for_others(&talos, generation).await;
    }
}

pub(crate) async fn refuses_what_is_for_others(talos: &Talos, generation: Generation) {
    let config = Patched::new(talos, generation).await.config.text;
    for patch in &PATCHES {
        if let Meant::NotFor | Meant::From(_) = patch.meant(talos.version(), generation) {
            refuses(&config, patch.wish, "");
        }
    }
}

/// Of a version on which no path can be opened alone.
pub(crate) async fn refuses_least_privilege(talos: &Talos) {
    let config = Patched::new(talos, Generation::Legacy).await;
    config.refuse(&[], "always passes --anonymous-auth on");
}
