//! From the command line to the configuration to what was asked for.

use std::process::ExitCode;

use polls::cli::{self, Cli};
use polls::config::{self, Sources};

/// Mistakes in the configuration, as clap has it for mistakes on the command line.
const MISTAKE: u8 = 2;

/// The server makes many small allocations on many threads, which mimalloc does faster than the
/// system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let (sources, command) = Cli::of_process().split(Sources::of_process());
    let loaded = match config::load(&sources) {
        Ok(loaded) => loaded,
        Err(problems) => {
            cli::complain(&problems);
            return ExitCode::from(MISTAKE);
        }
    };
    match Box::pin(cli::run(command, loaded)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if cli::is_enough(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            cli::complain(&cli::explain(&*error));
            ExitCode::from(cli::exit_code(&*error))
        }
    }
}
