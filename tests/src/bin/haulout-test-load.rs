//! `haulout-test-load`: makes the logins of a [`Job`] that it reads on standard input, and prints a report.
//!
//! A program of its own, so that the bench can be built without optimisation and its load be cheap all the same.

use std::io::{self, Read as _, Write as _};

use haulout_tests::logins::Job;

fn main() -> anyhow::Result<()> {
    haulout_tests::ensure_crypto();
    let mut job = String::new();
    io::stdin().read_to_string(&mut job)?;
    let job: Job = serde_json::from_str(&job)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(job.run())?;
    writeln!(io::stdout(), "{}", serde_json::to_string(&report)?)?;
    Ok(())
}
