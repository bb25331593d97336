//! Expressions, which whoever may write a `JWTAuthenticator` chooses, over claims, which the issuer's users have a say in.

#![no_main]

use haulout_api::authenticator::{JwtAuthenticatorSpec, JwtTokenClaims, UserValidationRule};
use haulout_jwt::claims::ClaimRules;
use haulout_jwt::expression::Budget;
use haulout_jwt::verify::Claims;
use libfuzzer_sys::fuzz_target;

// The expression on all lines but the last, which has the claims.
fuzz_target!(|input: &str| {
    let (expression, claims) = input.rsplit_once('\n').unwrap_or((input, "{}"));
    let rule = JwtAuthenticatorSpec {
        user_validation_rules: vec![UserValidationRule {
            expression: expression.to_owned(),
            ..UserValidationRule::default()
        }],
        ..JwtAuthenticatorSpec::default()
    };
    let mapping = JwtAuthenticatorSpec {
        claims: Some(JwtTokenClaims {
            username_expression: expression.to_owned(),
            groups_expression: expression.to_owned(),
            ..JwtTokenClaims::default()
        }),
        ..JwtAuthenticatorSpec::default()
    };
    let claims: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(claims).unwrap_or_default();
    let claims = Claims::from(claims);
    for spec in [rule, mapping] {
        let Ok(rules) = ClaimRules::compile(&spec) else {
            continue;
        };
        if let Ok(user) = rules.user(&claims, Budget::quick()) {
            let by_expression = spec.claims.is_some();
            assert!(!by_expression || !user.username.is_empty());
            assert!(!by_expression || user.groups.iter().all(|group| !group.is_empty()));
            assert!(user.uid.is_empty());
        }
    }
});
