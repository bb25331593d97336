//! Helm's marks of ownership.

use super::*;

/// Helm refuses to look after an object without them, and another release after one that has them.
#[test]
fn the_marks_of_the_release_are_put_on_before_helm_needs_them_and_taken_off_after_it() {
    let there = commands(&forth(&state(), &concierge(), &tools()));
    let mut taken_over = switched();
    taken_over.is_taken_over = true;
    let and_back = commands(&back(&taken_over, &concierge(), &tools()));
    let [upgrade, uninstall] = [
        position(&there, "helm upgrade haulout"),
        position(&and_back, "helm uninstall"),
    ];
    let objects = "  apiservice/v1alpha1.login.concierge.pinniped.dev  \
        apiservice/v1alpha1.identity.concierge.pinniped.dev  \
        crd/jwtauthenticators.authentication.concierge.pinniped.dev  \
        crd/webhookauthenticators.authentication.concierge.pinniped.dev  \
        crd/credentialissuers.config.concierge.pinniped.dev  ";
    for (how, key, value) in [
        ("annotate", "meta.helm.sh/release-name", "haulout"),
        (
            "annotate",
            "meta.helm.sh/release-namespace",
            "haulout-system",
        ),
        ("label", "app.kubernetes.io/managed-by", "Helm"),
    ] {
        let put_on = position(&there, &format!("{key}={value}"));
        assert!(put_on < upgrade, "{there:#?}");
        let begins = format!("kubectl {how} --overwrite{objects}");
        assert!(there[put_on].starts_with(&begins), "{}", there[put_on]);
        let taken_off = position(&and_back, &format!("{key}-"));
        assert!(taken_off > uninstall, "{and_back:#?}");
        let begins = format!("kubectl {how}{objects}");
        assert!(
            and_back[taken_off].starts_with(&begins),
            "{}",
            and_back[taken_off]
        );
    }
}

/// They may be those of the Concierge's own release.
#[test]
fn other_marks_are_left_where_they_are() {
    let script = back(&switched(), &concierge(), &tools());
    for mark in ["meta.helm.sh", "app.kubernetes.io"] {
        assert!(!script.contains(mark), "{script}");
    }
}
