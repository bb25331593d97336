//! The agent's policy file. Only an administrator writes it, but no slip of his may open what is
//! never signed.

#![no_main]

use std::collections::BTreeMap;

use haulout_agent::policy::{Policy, judge};
use haulout_api::signing::CertificateRequest;
use haulout_fuzz::{forbidden_groups, forbidden_users};
use libfuzzer_sys::fuzz_target;

const DAY: u32 = 86_400;

fuzz_target!(|yaml: &[u8]| {
    let Ok(policy) = Policy::from_yaml(yaml) else {
        return;
    };
    assert!((1..=DAY).contains(&policy.max_lifetime_seconds));
    assert!(policy.idle_entries().count() <= policy.allowed_reserved_names.len());
    for user in forbidden_users() {
        assert!(judge(&request(&user, None), &policy).is_err(), "{user}");
    }
    for group in forbidden_groups() {
        let request = request("alice", Some(&group));
        assert!(judge(&request, &policy).is_err(), "{group}");
    }
});

fn request(username: &str, group: Option<&str>) -> CertificateRequest {
    CertificateRequest {
        audit_id: "a".to_owned(),
        username: username.to_owned(),
        groups: group.into_iter().map(str::to_owned).collect(),
        extra: BTreeMap::new(),
        public_key: String::new(),
        lifetime_seconds: 1,
        evidence: None,
    }
}
