//! What every long-running process needs: start, logs, clock, shutdown, the audit log; with the
//! feature `cluster` also leader election and the runner of controllers.

pub mod audit;
pub mod clock;
pub mod shutdown;
pub mod startup;
