//! The older versions of Talos, which the default run leaves out.

use haulout_tests::talos::{Case, Generation, Machine, Talos, Version};

use super::command::follow_legacy;
use super::command::wrong::{refuses_least_privilege, refuses_what_is_for_others};
use super::config::{judge, sections};
use super::matrix;
use super::start::Observer;

const OLD: [(Version, Generation); 2] = [
    (Version::V1_11, Generation::Legacy),
    (Version::V1_12, Generation::Legacy),
];

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn talos_of_old_is_patched_started_and_as_the_matrix_says() {
    let sections = sections(&OLD).await;
    for section in &sections {
        judge(section);
    }
    let mut observer = Observer::start().await;
    matrix::compare(&sections, Some(observer.observe_all(&sections).await));
    for (version, _) in OLD {
        observer.fall_into_traps(version).await;
    }
}

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn talos_of_old_takes_what_our_command_prints() {
    for (version, generation) in OLD {
        let talos = Talos::find_or_build(version).await.unwrap();
        follow_legacy(&talos).await;
        refuses_what_is_for_others(&talos, generation).await;
        refuses_least_privilege(&talos).await;
    }
}

/// Why our patches give texts for values.
#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn talos_reads_lists_of_values_since_1_13_6() {
    let patch = "cluster:\n  apiServer:\n    extraArgs:\n      anonymous-auth: [\"true\"]\n";
    for (version, reads) in [(Version::V1_13, false), (Version::V1_13_6, true)] {
        let talos = Talos::find_or_build(version).await.unwrap();
        let config = talos.generate(Machine::ControlPlane, Generation::Legacy);
        let case = Case::patched(&config.await.unwrap(), &[patch]);
        let verdict = talos.judge(&[case]).await.unwrap().pop().unwrap();
        assert_eq!(verdict.accepted().is_ok(), reads, "{version:?}");
    }
}
