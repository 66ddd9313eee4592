//! `./dev bench`: tables of CPU per event, events/s, memory, allocations and loss, with peers
//! beside us where they are on PATH. `./dev kill-loop`: kills at random moments, counted.
//!
//! This program is also the measured one: called as `bench run …` it is logpond with an
//! allocator that counts, so that allocations per event are those of the whole process.

mod alloc;
mod corpus;
mod kill_loop;
mod latency;
mod many_files;
mod measure;
mod peers;
mod pond;
mod rows;
mod service;
mod sink;

use std::process::ExitCode;

#[global_allocator]
static COUNTING: alloc::Counting = alloc::Counting;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("logpond") => {
            arguments.remove(1);
            let code = cli::main(arguments.iter().map(Into::into));
            alloc::report();
            code
        }
        Some("kill-loop") => kill_loop::run(&arguments[2..]),
        Some("soak") => kill_loop::soak(&arguments[2..]),
        _ => rows::run(&arguments[1..]),
    }
}
