//! The binary.
use std::process::ExitCode;

/// Each core has memory of its own to give: with that of glibc, threads that answer requests wait for one another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tenantry_app::app().run()
}
