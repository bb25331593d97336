//! The bill of materials of a program: CycloneDX 1.6 in JSON.
//!
//! It has no time and no serial number, so that the same sources give the same file.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::packages::{Name, Package, Packages};

/// The document for a program.
///
/// # Errors
/// The program is not among its own packages.
pub(super) fn encode(program: &str, packages: &Packages) -> anyhow::Result<String> {
    let root = &packages.root;
    let root_package = packages
        .packages
        .get(root)
        .with_context(|| format!("{program} is not among its own packages"))?;
    let mut root_component = component(root, root_package);
    if let Some(kind) = root_component.get_mut("type") {
        *kind = json!("application");
    }
    let mut components: Vec<Value> = (packages.packages.iter())
        .filter(|(name, _)| *name != root)
        .map(|(name, package)| component(name, package))
        .collect();
    let mut dependencies: Vec<Value> = (packages.packages.iter())
        .map(|(name, package)| dependency(name, package, packages))
        .collect();
    for library in &packages.system {
        let url = package_url("generic", library.name, &library.version);
        dependencies.push(json!({ "ref": url }));
        components.push(library_component(
            library.name,
            &library.version,
            &url,
            library.licence,
        ));
    }
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": root_component },
        "components": components,
        "dependencies": dependencies,
    });
    Ok(serde_json::to_string(&document)? + "\n")
}

fn component(name: &Name, package: &Package) -> Value {
    library_component(
        &name.name,
        &name.version,
        &url(name, package),
        &package.licence,
    )
}

fn library_component(name: &str, version: &str, url: &str, licence: &str) -> Value {
    json!({
        "type": "library",
        "bom-ref": url,
        "name": name,
        "version": version,
        "purl": url,
        "licenses": [{ "expression": licence }],
    })
}

/// The program itself is linked with the system's libraries as well.
fn dependency(name: &Name, package: &Package, packages: &Packages) -> Value {
    let direct = (package.dependencies.iter()).filter_map(|dependency| {
        let package = packages.packages.get(dependency)?;
        Some(url(dependency, package))
    });
    let system = (packages.system.iter())
        .filter(|_| *name == packages.root)
        .map(|library| package_url("generic", library.name, &library.version));
    let depends_on: Vec<String> = direct.chain(system).collect();
    json!({ "ref": url(name, package), "dependsOn": depends_on })
}

/// Ours are not published: under Cargo's type scanners would take them for others of that name.
fn url(name: &Name, package: &Package) -> String {
    let kind = if package.is_ours { "generic" } else { "cargo" };
    package_url(kind, &name.name, &name.version)
}

/// A package URL; of what versions may hold, only `+` must be escaped.
fn package_url(kind: &str, name: &str, version: &str) -> String {
    format!("pkg:{kind}/{name}@{}", version.replace('+', "%2B"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    async fn document(program: &str) -> Value {
        let packages = Packages::linked_into(program, &[]).await.unwrap();
        serde_json::from_str(&encode(program, &packages).unwrap()).unwrap()
    }

    fn list<'a>(document: &'a Value, pointer: &str) -> &'a Vec<Value> {
        document.pointer(pointer).unwrap().as_array().unwrap()
    }

    fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
        value.pointer(pointer).unwrap().as_str().unwrap()
    }

    #[tokio::test]
    async fn each_component_is_described() {
        for program in ["haulout-webhook", "haulout-agent"] {
            let document = document(program).await;
            assert_eq!(text(&document, "/bomFormat"), "CycloneDX");
            assert_eq!(text(&document, "/specVersion"), "1.6");
            assert_eq!(text(&document, "/metadata/component/type"), "application");
            assert_eq!(text(&document, "/metadata/component/name"), program);
            let mut known = BTreeSet::from([text(&document, "/metadata/component/bom-ref")]);
            for component in list(&document, "/components") {
                for field in ["/name", "/version", "/licenses/0/expression"] {
                    assert!(!text(component, field).is_empty(), "{component}");
                }
                let url = text(component, "/purl");
                assert!(url.starts_with("pkg:"), "{component}");
                assert!(known.insert(url), "{url} twice");
            }
            // Each stands once with what it depends on, and these are components too.
            let described: BTreeSet<&str> = list(&document, "/dependencies")
                .iter()
                .map(|dependency| text(dependency, "/ref"))
                .collect();
            assert_eq!(described, known);
            for dependency in list(&document, "/dependencies") {
                for target in dependency["dependsOn"].as_array().into_iter().flatten() {
                    assert!(known.contains(target.as_str().unwrap()), "{target}");
                }
            }
        }
    }

    #[tokio::test]
    async fn the_agent_has_no_client_and_reads_no_tokens() {
        let webhook = document("haulout-webhook").await;
        let agent = document("haulout-agent").await;
        let names = |document: &Value| -> BTreeSet<String> {
            let components = list(document, "/components").iter();
            components
                .map(|one| text(one, "/name").to_owned())
                .collect()
        };
        for name in ["kube-client", "reqwest", "jsonwebtoken", "cel"] {
            assert!(names(&webhook).contains(name), "{name}");
            assert!(!names(&agent).contains(name), "{name}");
        }
        for name in ["aws-lc-sys", "glibc", "rust-std"] {
            assert!(names(&agent).contains(name), "{name}");
        }
    }

    #[test]
    fn plus_signs_in_versions_are_escaped() {
        let url = package_url("cargo", "a", "0.1.0+2.3");
        assert_eq!(url, "pkg:cargo/a@0.1.0%2B2.3");
    }
}
