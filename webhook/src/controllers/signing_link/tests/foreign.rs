//! CAs in the Secret that are none of ours.

use super::super::secrets::of_our_life;
use super::*;

/// A CA that somebody else has made, and its key.
fn foreign(ends: SystemTime) -> Data {
    let dates = Validity {
        not_before: start() - BACKDATED,
        not_after: ends,
    };
    let ca = generate_authority("Haulout signing CA", dates).unwrap();
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    [
        (AUTHORITIES.to_owned(), bytes(&ca.certificate_pem)),
        (AUTHORITY_KEY.to_owned(), bytes(&ca.key_pem)),
    ]
    .into()
}

/// Life of our CAs and, at the same time, of one that is found, in seconds; whether it is kept.
#[test]
fn no_ca_is_kept_that_ends_later_than_ours_could() {
    let (day, now) = (DAY.as_secs(), start());
    for (ours, found, is_kept) in [
        (90 * day, 1, true),
        (90 * day, 21 * day, true),
        (90 * day, 90 * day, true),
        // Made by a leader whose clock was ahead.
        (90 * day, 90 * day + 300, true),
        (90 * day, 90 * day + 301, false),
        (90 * day, 91 * day, false),
        (90 * day, 3_650 * day, false),
        (365 * day, 91 * day, true),
        (365 * day, 366 * day, false),
        (30 * day, 90 * day, false),
    ] {
        let profile = Profile {
            ca_lifetime: Duration::from_secs(ours),
            ..profile()
        };
        let pem = |seconds| foreign(now + Duration::from_secs(seconds))[AUTHORITIES].clone();
        let (one, pem_found) = (pem(60), pem(found));
        let both = [&*one.0, &pem_found.0].concat();
        let kept = of_our_life(&both, &profile, now).unwrap();
        let expected = if is_kept { both } else { one.0 };
        let what = format!("{ours} {found}");
        assert_eq!(kept.to_pem().into_bytes(), expected, "{what}");
        assert_eq!(
            of_our_life(&pem_found.0, &profile, now).is_some(),
            is_kept,
            "{what}"
        );
    }
    assert_eq!(of_our_life(b"junk", &profile(), now), None);
}

/// Whoever could write the CA's Secret for a while is let in for no longer than one of ours lives.
#[test]
fn what_others_leave_in_the_secret_ends_with_our_life() {
    let now = start();
    let good = Link::fresh(now);
    let leaf = |ca: &Data| ClientLeaf::issue(&signer(ca, now).unwrap(), now).unwrap();
    for (days, is_let_in) in [(89, true), (91, false)] {
        let foreign = foreign(now + days * DAY);
        let mut link = good.clone();
        let ours = link.authority.get_mut(AUTHORITIES).unwrap();
        ours.0.extend_from_slice(&foreign[AUTHORITIES].0);
        link.lead(now);
        assert_eq!(link.lets_in(&leaf(&foreign), now), is_let_in, "{days}");
        assert_eq!(link.authority[AUTHORITY_KEY], good.authority[AUTHORITY_KEY]);
        assert_eq!(link.agents[LEAF], good.agents[LEAF]);
        assert!(link.lets_in(&leaf(&good.authority), now));
    }
    // In place of ours, with its key.
    let foreign = foreign(now + 3_650 * DAY);
    let mut link = good;
    link.authority = foreign.clone();
    link.lead(now);
    assert_ne!(link.authority[AUTHORITY_KEY], foreign[AUTHORITY_KEY]);
    assert!(!link.authority.contains_key(PREVIOUS_KEY));
    assert!(!link.lets_in(&leaf(&foreign), now));
    assert!(link.lets_in(&leaf(&link.authority), now));
}
