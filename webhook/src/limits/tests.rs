use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000 + millis)
}

fn limits(per_address: Option<Rate>, total: Option<Rate>) -> Limits {
    Limits { per_address, total }
}

fn default_limits() -> Limits {
    limits(Rate::new(50, 1_000), Rate::new(3_000, 6_000))
}

/// A source of its own for each number.
fn source(number: u32) -> Source {
    Source::V4(number.into())
}

/// How many of `tries` are let in.
fn admitted(
    buckets: &mut Buckets,
    limits: Limits,
    source: Source,
    tries: usize,
    now: SystemTime,
) -> usize {
    let mut admit = || buckets.take(limits, source, now).is_ok();
    (0..tries).filter(|_| admit()).count()
}

#[test]
fn who_is_over_his_own_limit_takes_nothing_from_others() {
    let (mut buckets, limits) = (Buckets::default(), default_limits());
    assert_eq!(
        admitted(&mut buckets, limits, source(1), 50_000, at(0)),
        1_000
    );
    assert_eq!(
        buckets.take(limits, source(1), at(0)),
        Err(LimitExceeded::PerAddress)
    );
    for number in 2..7 {
        let others = admitted(&mut buckets, limits, source(number), 2_000, at(0));
        assert_eq!(others, 1_000, "{number}");
    }
    assert_eq!(
        buckets.take(limits, source(7), at(0)),
        Err(LimitExceeded::Total)
    );
}

#[test]
fn what_exceeds_the_total_costs_no_address() {
    let limits = limits(Rate::new(1, 2), Rate::new(1, 1));
    let mut buckets = Buckets::default();
    assert_eq!(admitted(&mut buckets, limits, source(1), 1, at(0)), 1);
    assert_eq!(admitted(&mut buckets, limits, source(2), 100, at(0)), 0);
    assert_eq!(buckets.by_source.len(), 1);
}

#[test]
fn a_refused_client_gets_in_when_it_was_told() {
    let later = at(u64::from(RETRY_AFTER_SECONDS) * 1_000);
    let slowest = Rate::new(1, 5);
    for limits in [limits(slowest, None), limits(None, slowest)] {
        let mut buckets = Buckets::default();
        assert_eq!(admitted(&mut buckets, limits, source(1), 100, at(0)), 5);
        assert_eq!(admitted(&mut buckets, limits, source(1), 100, later), 1);
    }
}

#[test]
fn limits_that_are_off_refuse_nobody_and_remember_nothing() {
    let mut buckets = Buckets::default();
    let off = limits(None, None);
    assert_eq!(
        admitted(&mut buckets, off, source(1), 10_000, at(0)),
        10_000
    );
    assert!(buckets.by_source.is_empty());
}

/// An attacker who owns a network for each of his requests.
fn flood_from_many(buckets: &mut Buckets, limits: Limits, seconds: u64) {
    let mut number = 1_000_000;
    for millis in 0..seconds * 1_000 {
        for _ in 0..5 {
            number += 1;
            let _refused = buckets.take(limits, source(number), at(millis)).is_err();
        }
        assert!(buckets.by_source.len() <= MAX_SOURCES);
    }
}

#[test]
fn under_the_default_limits_no_bucket_in_use_is_forgotten() {
    let (mut buckets, limits) = (Buckets::default(), default_limits());
    assert_eq!(
        admitted(&mut buckets, limits, source(1), 2_000, at(0)),
        1_000
    );
    flood_from_many(&mut buckets, limits, 10);
    // After 30,000 others, it has what grew in that time and not one login more.
    let mut own = Buckets {
        by_source: buckets.by_source,
        ..Buckets::default()
    };
    assert_eq!(
        admitted(&mut own, limits, source(1), 2_000, at(10_000)),
        500
    );
}

#[test]
fn the_table_is_bounded_and_used_up_buckets_outlast_a_flood() {
    let (mut buckets, limits) = (Buckets::default(), limits(Rate::new(1, 1_000), None));
    assert_eq!(
        admitted(&mut buckets, limits, source(1), 2_000, at(0)),
        1_000
    );
    flood_from_many(&mut buckets, limits, 20);
    assert_eq!(
        admitted(&mut buckets, limits, source(1), 2_000, at(20_000)),
        20
    );
}

#[test]
fn full_buckets_go_first_and_then_those_that_lack_the_fewest() {
    let rate = Rate::new(1, 10).unwrap();
    let mut buckets = Buckets::default();
    let limits = limits(Some(rate), None);
    let half = u32::try_from(MAX_SOURCES / 2).unwrap();
    for number in 0..half {
        buckets.take(limits, source(number), at(0)).unwrap();
    }
    // These lack two tokens, but for one.
    for number in half..2 * half {
        let tries = if number == half { 1 } else { 2 };
        admitted(&mut buckets, limits, source(number), tries, at(500));
    }
    buckets.make_room(rate, at(1_000));
    assert_eq!(buckets.by_source.len(), MAX_SOURCES / 2);
    assert!((half..2 * half).all(|number| buckets.by_source.contains_key(&source(number))));

    for number in 0..2 {
        admitted(&mut buckets, limits, source(number), 3, at(1_000));
    }
    buckets.make_room(rate, at(1_000));
    assert_eq!(buckets.by_source.len(), MAX_SOURCES / 2);
    assert!(!buckets.by_source.contains_key(&source(half)));
    assert!((0..2).all(|number| buckets.by_source.contains_key(&source(number))));
}

#[test]
fn buckets_from_before_the_clock_was_set_back_go_first() {
    let (mut buckets, limits) = (Buckets::default(), limits(Rate::new(1, 10), None));
    for number in 1..=u32::try_from(MAX_SOURCES).unwrap() {
        buckets.take(limits, source(number), at(3_600_000)).unwrap();
    }
    assert_eq!(admitted(&mut buckets, limits, source(0), 20, at(0)), 10);
    assert_eq!(buckets.by_source.len(), 1);
}

proptest! {
    /// Nobody gets more than the limits in any span of time, and each refusal names one that has no
    /// token left.
    #[test]
    fn never_more_than_the_limits_are_let_in(
        per_address in (1_u32..20, 1_u32..20),
        total in (1_u32..40, 1_u32..40),
        steps in proptest::collection::vec((0_u64..300, 0_u32..4, 1_usize..30), 1..80),
    ) {
        let rate = |(per_second, burst)| Rate::new(per_second, burst);
        let limits = limits(rate(per_address), rate(total));
        let mut buckets = Buckets::default();
        let mut admitted = Vec::new();
        let mut now = 0;
        for (millis, number, tries) in steps {
            now += millis;
            for _ in 0..tries {
                match buckets.take(limits, source(number), at(now)) {
                    Ok(()) => admitted.push((now, number)),
                    Err(exceeded) => {
                        let ((per_second, burst), mine): (_, Vec<u64>) = match exceeded {
                            LimitExceeded::PerAddress => (per_address, times(&admitted, Some(number))),
                            LimitExceeded::Total => (total, times(&admitted, None)),
                        };
                        // Within some span up to now the limit is used up, but for the rounding.
                        let used_up = (0..mine.len()).any(|index| {
                            let span = u128::from(now - mine[index]);
                            let count = (mine.len() - index) as u128;
                            (count + 1) * 1_000 >= u128::from(burst) * 1_000 + span * u128::from(per_second)
                        });
                        prop_assert!(used_up, "{exceeded:?} at {now}");
                    }
                }
            }
        }
        for number in 0..4 {
            prop_assert!(is_within(&times(&admitted, Some(number)), per_address));
        }
        prop_assert!(is_within(&times(&admitted, None), total));
    }
}

fn times(admitted: &[(u64, u32)], number: Option<u32>) -> Vec<u64> {
    admitted
        .iter()
        .filter(|&&(_, by)| number.is_none_or(|number| number == by))
        .map(|&(time, _)| time)
        .collect()
}

/// Whether in each span of time no more than the burst and what grew in it were let in.
fn is_within(times: &[u64], (per_second, burst): (u32, u32)) -> bool {
    (0..times.len()).all(|from| {
        (from..times.len()).all(|to| {
            let grown = u128::from(times[to] - times[from]) * u128::from(per_second) / 1_000;
            (to - from + 1) as u128 <= u128::from(burst) + grown
        })
    })
}
