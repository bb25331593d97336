//! Claims and expressions: what Haulout makes of each case of the corpus, and what Kubernetes' own code makes of it.

mod api_server;
mod corpus;

use std::collections::BTreeMap;

use haulout_api::authenticator::JwtAuthenticatorSpec;
use haulout_jwt::claims::ClaimRules;
use haulout_jwt::expression::Budget;
use haulout_jwt::verify::Claims;
use haulout_tests::oidc::{self, KubernetesOidc, Verdict};

use corpus::{Case, Difference, Expected};

const ISSUER: &str = "https://issuer.example.com";

/// What Haulout makes of it.
fn haulout(case: &oidc::Case) -> Verdict {
    let spec: JwtAuthenticatorSpec = serde_json::from_value(case.spec.clone()).unwrap();
    let rules = match ClaimRules::compile(&spec) {
        Ok(rules) => rules,
        Err(errors) => return Verdict::Invalid(errors.to_string()),
    };
    match rules.user(&Claims::from(case.claims.clone()), Budget::full()) {
        Ok(user) => Verdict::Accepted(user),
        Err(error) => Verdict::Refused(error.to_string()),
    }
}

/// Why a case does not stand as the corpus says.
fn fault(case: &Case, kubernetes: &Verdict, haulout: &Verdict) -> Option<String> {
    if Expected::from(kubernetes) != case.verdict {
        return Some(format!("the corpus expects {:?}", case.verdict));
    }
    let as_expected = match case.haulout {
        Difference::None => match (kubernetes, haulout) {
            (Verdict::Accepted(theirs), Verdict::Accepted(ours)) => theirs == ours,
            _ => Expected::from(kubernetes) == Expected::from(haulout),
        },
        Difference::Unsupported => {
            Expected::from(haulout) == Expected::Invalid && case.verdict != Expected::Invalid
        }
        Difference::Stricter => {
            Expected::from(haulout) != Expected::Accepted && case.verdict == Expected::Accepted
        }
    };
    (!as_expected).then(|| match case.haulout {
        Difference::None => "they differ".to_owned(),
        listed => format!("listed as {listed:?}, which it is not"),
    })
}

/// Judges all cases and prints how they stand; each line of the result is a fault.
fn compare(cases: &[Case], kubernetes: &[Verdict], haulout: &[Verdict]) -> Vec<String> {
    let mut counts = BTreeMap::<_, u32>::new();
    let mut faults = Vec::new();
    for ((case, theirs), ours) in cases.iter().zip(kubernetes).zip(haulout) {
        *counts.entry((case.verdict, case.haulout)).or_default() += 1;
        if case.haulout != Difference::None {
            println!("{:?}: {}: {ours:?}", case.haulout, case.name);
        }
        if let Some(fault) = fault(case, theirs, ours) {
            faults.push(format!(
                "{}: {fault}\n  Kubernetes: {theirs:?}\n  Haulout: {ours:?}",
                case.name
            ));
        }
    }
    println!("{} cases; {} differ", cases.len(), faults.len());
    for ((verdict, haulout), count) in counts {
        println!("{count:>5} {verdict:?}, difference: {haulout:?}");
    }
    faults
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn cel_agrees_with_kubernetes() {
    let cases = corpus::load();
    let judged: Vec<_> = cases.iter().map(|case| case.of_issuer(ISSUER)).collect();
    let kubernetes = KubernetesOidc::find_or_build().await.unwrap();
    let theirs = kubernetes.judge(&judged).await.unwrap();
    let ours: Vec<_> = judged.iter().map(haulout).collect();
    let faults = compare(&cases, &theirs, &ours);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[cfg(test)]
mod tests {
    use haulout_api::identity::UserInfo;

    use super::*;

    fn accepted(name: &str) -> Verdict {
        Verdict::Accepted(UserInfo {
            username: name.to_owned(),
            ..UserInfo::default()
        })
    }

    #[test]
    fn each_difference_is_a_fault_unless_it_is_listed() {
        let user = || accepted("seal");
        let refused = || Verdict::Refused("no".to_owned());
        let invalid = || Verdict::Invalid("no".to_owned());
        let other_text = Verdict::Refused("for another reason".to_owned());
        use Difference::{None, Stricter, Unsupported};
        for (listed, theirs, ours, good) in [
            (None, user(), user(), true),
            (None, user(), accepted("walrus"), false),
            (None, user(), refused(), false),
            (None, user(), invalid(), false),
            (None, refused(), other_text, true),
            (None, refused(), user(), false),
            (None, refused(), invalid(), false),
            (None, invalid(), invalid(), true),
            (None, invalid(), refused(), false),
            (None, invalid(), user(), false),
            (Unsupported, user(), invalid(), true),
            (Unsupported, refused(), invalid(), true),
            (Unsupported, user(), refused(), false),
            (Unsupported, user(), user(), false),
            (Unsupported, refused(), user(), false),
            (Unsupported, invalid(), invalid(), false),
            (Unsupported, invalid(), user(), false),
            (Stricter, user(), refused(), true),
            (Stricter, user(), invalid(), true),
            (Stricter, user(), user(), false),
            (Stricter, refused(), refused(), false),
            (Stricter, invalid(), user(), false),
        ] {
            let case = Case {
                verdict: Expected::from(&theirs),
                haulout: listed,
                ..Case::default()
            };
            let fault = fault(&case, &theirs, &ours);
            assert_eq!(fault.is_none(), good, "{case:?} {theirs:?} {ours:?}");
        }
    }

    #[test]
    fn corpus_says_what_kubernetes_does() {
        let case = Case {
            verdict: Expected::Refused,
            ..Case::default()
        };
        let invalid = Verdict::Invalid("no".to_owned());
        assert!(fault(&case, &invalid, &invalid).is_some());
    }
}
