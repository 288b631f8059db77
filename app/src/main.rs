//! The binary.
use std::process::ExitCode;

fn main() -> ExitCode {
    tenantry_app::app().run()
}
