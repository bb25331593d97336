//! Protection of this process's memory, which holds a token and a private key.

/// Forbids core dumps, and on Linux reading the memory by other programs of the same user too. Where the system does not do that,
/// the login goes on: it is one precaution among several.
#[cfg(unix)]
pub fn protect_memory() {
    use rustix::process::{Resource, Rlimit, setrlimit};

    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _best_effort = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    let _best_effort = setrlimit(Resource::Core, none);
}

/// Here a process has no core dumps to forbid.
#[cfg(not(unix))]
pub fn protect_memory() {}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::process::Command;

    use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

    use super::*;

    const CHILD: &str = "HAULOUT_TEST_PROTECTED_CHILD";

    /// Nothing takes this back, so it is done to a child: this program, run again for this one test.
    #[test]
    fn a_protected_process_leaves_no_dump() {
        if std::env::var_os(CHILD).is_some() {
            return protect_and_look();
        }
        let name = "protection::tests::a_protected_process_leaves_no_dump";
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && output.contains("1 passed"),
            "{output}{}",
            String::from_utf8_lossy(&child.stderr)
        );
    }

    fn protect_and_look() {
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::Dumpable);
        protect_memory();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    }
}
