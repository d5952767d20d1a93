//! The rowhook command.

use std::process::ExitCode;

use clap::Parser;
use rowhook::cli::{Args, BAD_CONFIGURATION, run};

/// Each delivery makes dozens of small allocations, often on one thread and freed on another. jemalloc handles this
/// better than the system's allocator; docs/book/benchmarks has the figures.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match Args::try_parse() {
        Ok(args) => run(args),
        Err(message) => print(&message),
    }
}

/// Prints what clap answers in place of arguments: help or the version, which is a success, or what is wrong with the
/// command line.
fn print(message: &clap::Error) -> ExitCode {
    if message.print().is_err() {
        return ExitCode::FAILURE;
    }
    match message.use_stderr() {
        true => ExitCode::from(BAD_CONFIGURATION),
        false => ExitCode::SUCCESS,
    }
}
