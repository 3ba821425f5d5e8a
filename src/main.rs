//! The command line; see `lakehunt --help`.

fn main() -> std::process::ExitCode {
    lakehunt::cli()
}
