//! Which keys verify which tokens.

use super::*;
use SigningAlgorithm::{EdDsa, Es256, Es384, Ps256, Rs256, Rs384, Rs512};

const EVERY: [SigningAlgorithm; 7] = [Rs256, Rs384, Rs512, Ps256, Es256, Es384, EdDsa];

fn token(algorithm: SigningAlgorithm, key_id: Option<&str>) -> String {
    let header = json!({"alg": algorithm.name(), "kid": key_id});
    signed(algorithm, &header.to_string(), &good_claims().to_string())
}

/// How `token` fares under `keys` where `accepted` are.
fn judge(token: &str, keys: &KeySet, accepted: &[SigningAlgorithm]) -> &'static str {
    let expectations = Expectations {
        algorithms: AcceptedAlgorithms::new(accepted),
        ..expectations()
    };
    outcome(expectations.check(token, Some(keys), now()))
}

#[test]
fn an_algorithm_is_accepted_where_it_is_listed() {
    let keys = issuer_keys();
    for algorithm in EVERY {
        let token = token(algorithm, None);
        assert_eq!(judge(&token, &keys, &[algorithm]), "good", "{algorithm:?}");
        assert_eq!(judge(&token, &keys, &EVERY), "good", "{algorithm:?}");
        let others: Vec<_> = EVERY.into_iter().filter(|a| *a != algorithm).collect();
        assert_eq!(
            judge(&token, &keys, &others),
            "UnsupportedAlgorithm",
            "{algorithm:?}"
        );
        let by_default = match algorithm {
            Rs256 | Es256 => "good",
            _ => "UnsupportedAlgorithm",
        };
        assert_eq!(judge(&token, &keys, &[]), by_default, "{algorithm:?}");
    }
}

#[test]
fn the_error_lists_what_is_accepted() {
    let text = |accepted: &[SigningAlgorithm]| {
        let expectations = Expectations {
            algorithms: AcceptedAlgorithms::new(accepted),
            ..expectations()
        };
        let token = token(Es384, None);
        let error = expectations.check(&token, None, now()).unwrap_err();
        error.to_string()
    };
    let prefix = "oidc: verify token: oidc: id token signed with unsupported algorithm, expected ";
    assert_eq!(
        text(&[]),
        format!("{prefix}[\"RS256\" \"ES256\"] got \"ES384\"")
    );
    assert_eq!(
        text(&[Ps256, EdDsa, Ps256]),
        format!("{prefix}[\"PS256\" \"EdDSA\"] got \"ES384\"")
    );
}

/// RFC 8725, 3.1: what a key says of itself narrows what it may be used for.
#[test]
fn a_key_that_names_its_algorithm_serves_no_other() {
    let rsa = [Rs256, Rs384, Rs512, Ps256];
    for (own, used) in rsa.into_iter().flat_map(|own| rsa.map(|used| (own, used))) {
        let mut jwk = rsa_jwk(Some("k"));
        jwk["alg"] = json!(own.name());
        let expected = if own == used { "good" } else { "UnknownKey" };
        for key_id in [Some("k"), None] {
            assert_eq!(
                judge(&token(used, key_id), &key_set(&[jwk.clone()]), &EVERY),
                expected,
                "{own:?} key, {used:?} token"
            );
        }
    }
}

/// RFC 7517, 4.5: keys of one id may differ in type; nothing says that they must.
#[test]
fn every_key_of_an_id_is_tried() {
    let keys = [
        ec_jwk(&OTHER_EC, Some("k")),
        rsa_jwk(Some("k")),
        ec_jwk(&EC384, Some("k")),
        ed_jwk(Some("k")),
        ec_jwk(&EC, Some("k")),
    ];
    for algorithm in EVERY {
        assert_eq!(
            judge(&token(algorithm, Some("k")), &key_set(&keys), &EVERY),
            "good",
            "{algorithm:?}"
        );
    }
}

#[test]
fn without_keys_nothing_is_verified() {
    for algorithm in EVERY {
        let token = token(algorithm, None);
        assert_eq!(judge(&token, &KeySet::default(), &EVERY), "UnknownKey");
        let others = issuer_keys();
        assert!(others.serves(&AcceptedAlgorithms::new(&[algorithm])));
        assert!(!KeySet::default().serves(&AcceptedAlgorithms::new(&[algorithm])));
    }
    let ec_only = key_set(&[ec_jwk(&EC, None)]);
    assert!(!ec_only.serves(&AcceptedAlgorithms::new(&[Rs256, Es384, EdDsa])));
}
