//! What every long-running process needs: start, logs, clock, shutdown, the audit log, token
//! buckets; with the feature `cluster` also leader election and the runner of controllers.

pub mod audit;
pub mod clock;
#[cfg(feature = "cluster")]
pub mod cluster;
#[cfg(feature = "cluster")]
pub mod controller;
pub mod error;
#[cfg(feature = "cluster")]
pub mod leader;
#[cfg(feature = "cluster")]
pub mod owner;
pub mod rate;
pub mod shutdown;
pub mod startup;
