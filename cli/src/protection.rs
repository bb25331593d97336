//! Protection of this process's memory, which holds a token and a private key.

/// Forbids core dumps, and reading the memory by other programs of the same user. Where the system
/// does not do that, the login goes on: it is one precaution among several.
#[cfg(target_os = "linux")]
pub fn protect_memory() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _best_effort = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _best_effort = setrlimit(Resource::Core, none);
}

/// Nothing that we know of protects it here.
#[cfg(not(target_os = "linux"))]
pub fn protect_memory() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn this_process_leaves_no_dump() {
        protect_memory();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    }
}
