//! `install-*.yaml`: the chart rendered by the real Helm, for those who install without it.

use anyhow::{Context as _, ensure};
use haulout_tests::cluster::{Helm, HelmVersion, workspace_root};

use super::{HEADER, difference, webhook, yaml};

/// Control planes that need nothing but the defaults.
const PRESETS: [&str; 2] = ["kubeadm", "talos"];
/// Where nobody can ever have an image; whoever applies a file puts a registry of their own in its place.
const REGISTRY: &str = "--set=image.registry=registry.invalid/haulout";
const REPLACE: &str = "\
# Push the images to a registry of your own (docs/images.md), and put it in place of registry.invalid/haulout:
#   sed \"s#registry.invalid/haulout#$REGISTRY#g\" FILE | kubectl apply --server-side -f -
";

/// Writes the files; Helm is built first if it is missing.
///
/// # Errors
/// Helm cannot be built, the chart cannot be rendered, or a file not be written.
pub(crate) async fn write() -> anyhow::Result<()> {
    for (name, text) in render().await? {
        let path = workspace_root().join("manifests").join(name);
        std::fs::write(&path, text)
            .with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

/// Compares the files with what the chart makes.
///
/// # Errors
/// Helm cannot be built, the chart cannot be rendered, or a file is stale.
pub(crate) async fn check() -> anyhow::Result<()> {
    for (name, text) in render().await? {
        let path = workspace_root().join("manifests").join(&name);
        let difference = difference(&path, &text)?;
        ensure!(
            difference.is_empty(),
            "manifests/{name} is stale:\n{difference}\nrun `cargo xtask manifests` and commit the result"
        );
    }
    Ok(())
}

/// Name and text of each file.
async fn render() -> anyhow::Result<Vec<(String, String)>> {
    let helm = Helm::find_or_build(HelmVersion::Four).await?;
    // Helm makes the namespace of a release, and cannot label it.
    let namespace = yaml(&[webhook::namespace(webhook::NAMESPACE, "restricted")])?;
    let namespace = namespace.strip_prefix(HEADER).unwrap_or(&namespace);
    let mut files = Vec::new();
    for preset in PRESETS {
        let chart = helm
            .template(&[REGISTRY, &format!("--set=agent.preset={preset}")])
            .await?;
        files.push((
            format!("install-{preset}.yaml"),
            format!(
                "{HEADER}{REPLACE}{}",
                policies_first(&format!("{namespace}{chart}"))
            ),
        ));
    }
    Ok(files)
}

/// The same documents, those of admission before the others, so that the agents' namespace is never without its policies.
fn policies_first(documents: &str) -> String {
    let text = format!("\n{}", documents.trim_end());
    let is_policy = |document: &&str| {
        let mut lines = document.lines();
        lines.any(|line| line.starts_with("kind: ValidatingAdmissionPolicy"))
    };
    let (policies, others): (Vec<&str>, Vec<&str>) =
        text.split("\n---\n").skip(1).partition(is_policy);
    let documents = policies.into_iter().chain(others);
    documents.map(|text| format!("---\n{text}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_and_bindings_come_first_and_the_rest_stays_in_order() {
        let [namespace, config, policy, binding] = [
            "---\nkind: Namespace\n",
            "---\nkind: ConfigMap\ndata:\n  a: |\n    ---\n    kind: ValidatingAdmissionPolicy\n",
            "---\n# Source: policy.yaml\nkind: ValidatingAdmissionPolicy\n",
            "---\nkind: ValidatingAdmissionPolicyBinding\n",
        ];
        let text = [namespace, policy, config, binding].concat();
        let expected = [policy, binding, namespace, config].concat();
        assert_eq!(policies_first(&text), expected);
    }

    #[test]
    fn the_committed_files_have_no_namespace_without_policies() {
        for preset in PRESETS {
            let path = workspace_root().join(format!("manifests/install-{preset}.yaml"));
            let text = std::fs::read_to_string(path).unwrap();
            let kinds: Vec<&str> = text
                .lines()
                .filter_map(|line| line.strip_prefix("kind: "))
                .collect();
            let first = [
                "ValidatingAdmissionPolicy",
                "ValidatingAdmissionPolicyBinding",
            ];
            let count = kinds.iter().filter(|kind| first.contains(kind)).count();
            assert_eq!(count, 8, "{kinds:?}");
            let all_first = kinds.iter().take(count).all(|kind| first.contains(kind));
            assert!(all_first, "{kinds:?}");
        }
    }
}
