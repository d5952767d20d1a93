//! The rowhook command.

use std::process::ExitCode;

use clap::Parser;
use rowhook::cli::{Args, BAD_CONFIGURATION, run};

/// A delivery is some dozens of small allocations, made on one thread and freed on another; docs/benchmarks says what this
/// one saves beside the system's.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(told) => {
            // Help and version come this way too, and are no failure.
            let code = if told.use_stderr() {
                BAD_CONFIGURATION
            } else {
                0
            };
            return if told.print().is_ok() {
                ExitCode::from(code)
            } else {
                ExitCode::FAILURE
            };
        }
    };
    run(args)
}
