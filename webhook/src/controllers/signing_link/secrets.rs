//! What both Secrets of the link hold and are to hold. No I/O; the time is an argument.

use std::time::{Duration, SystemTime};

use haulout_pki::authority::SigningAuthority;
use haulout_pki::bundle::{self, CertificateBundle};
use k8s_openapi::ByteString;

use crate::controllers::renewal::{
    AUTHORITIES, AUTHORITY_KEY, BACKDATED, Contents, Data, LEAF, LEAF_KEY, Profile, RenewError,
    is_announced, plan,
};

/// In the CA's Secret, while agents are told of the CA of `ca.key`: the key of the one before.
pub(super) const PREVIOUS_KEY: &str = "previous-ca.key";

/// New data of the Secrets that have to change, each as a whole.
pub(super) struct Changes {
    pub(super) authority: Option<Data>,
    pub(super) agents: Option<Data>,
    pub(super) agent_leaf_ends: Option<SystemTime>,
    pub(super) look_again: Duration,
}

/// The CAs that agents are told to trust, and since when: `now`, unless it was the same `before`.
pub(super) fn told(
    agents: &Data,
    before: Option<(CertificateBundle, SystemTime)>,
    now: SystemTime,
) -> Option<(CertificateBundle, SystemTime)> {
    let text = agents.get(AUTHORITIES)?;
    let bundle = CertificateBundle::parse_pem(&text.0).ok()?;
    match before {
        Some((known, since)) if known == bundle => Some((known, since)),
        _ => Some((bundle, now)),
    }
}

/// The CA by which client certificates are issued: the one that agents know for long enough.
pub(super) fn signer(authority: &Data, now: SystemTime) -> Option<SigningAuthority> {
    let certificates = authority.get(AUTHORITIES)?;
    [PREVIOUS_KEY, AUTHORITY_KEY].into_iter().find_map(|name| {
        let key = authority.get(name)?;
        SigningAuthority::from_pem(&certificates.0, &key.0, now).ok()
    })
}

/// What to write at `now`. `told` is what agents are told to trust, and since when.
pub(super) fn changes(
    authority: &Data,
    agents: &Data,
    told: Option<&(CertificateBundle, SystemTime)>,
    profile: &Profile,
    now: SystemTime,
) -> Result<Changes, RenewError> {
    let both = [
        (authority, AUTHORITIES),
        (authority, AUTHORITY_KEY),
        (agents, LEAF),
        (agents, LEAF_KEY),
    ];
    let mut both: Data = both
        .into_iter()
        .filter_map(|(data, name)| Some((name.to_owned(), data.get(name)?.clone())))
        .collect();
    if let Some(certificates) = both.remove(AUTHORITIES)
        && let Some(ours) = of_our_life(&certificates.0, profile, now)
    {
        put(&mut both, AUTHORITIES, ours.to_pem().into_bytes());
    }
    let contents = Contents::read(&both, &profile.dns_names, now);
    let told_since = told
        .filter(|(bundle, _)| Some(bundle) == contents.authorities.as_ref())
        .map(|(_, since)| *since);
    let (plan, look_again) = plan(&contents.facts(), told_since, profile, now);

    let mut wanted = both;
    if !plan.is_nothing() {
        wanted.extend(contents.renewed(plan, profile, now)?);
    }
    let kept = Contents::read(&wanted, &profile.dns_names, now);

    let mut new_authority = authority.clone();
    if plan.new_authority {
        let is_usable = contents.facts().authority_ends.is_some();
        if let Some(key) = authority.get(AUTHORITY_KEY).filter(|_| is_usable) {
            put(&mut new_authority, PREVIOUS_KEY, key.0.clone());
        }
    } else if told_since.is_some_and(|since| is_announced(since, profile, now)) {
        new_authority.remove(PREVIOUS_KEY);
    }
    copy(&wanted, &mut new_authority, [AUTHORITIES, AUTHORITY_KEY]);
    let mut new_agents = agents.clone();
    copy(&wanted, &mut new_agents, [AUTHORITIES, LEAF, LEAF_KEY]);
    Ok(Changes {
        authority: (new_authority != *authority).then_some(new_authority),
        agents: (new_agents != *agents).then_some(new_agents),
        agent_leaf_ends: kept.facts().leaf.map(|leaf| leaf.ends),
        look_again,
    })
}

/// The CAs of `certificates` but for those that end later than any that is made by now. Whoever could write
/// the Secret for a while may have left one, and is trusted by it for no longer than by one of ours.
pub(super) fn of_our_life(
    certificates: &[u8],
    profile: &Profile,
    now: SystemTime,
) -> Option<CertificateBundle> {
    let latest = now + profile.ca_lifetime + BACKDATED;
    CertificateBundle::parse_pem(certificates)
        .ok()?
        .filtered(|one| bundle::validity(one).is_ok_and(|dates| dates.not_after <= latest))
}

fn put(data: &mut Data, name: &str, value: Vec<u8>) {
    data.insert(name.to_owned(), ByteString(value));
}

fn copy<const N: usize>(from: &Data, to: &mut Data, names: [&str; N]) {
    for name in names {
        if let Some(value) = from.get(name) {
            to.insert(name.to_owned(), value.clone());
        }
    }
}
