//! The command line; see `lakehunt --help`.

/// Columns come and go by the megabyte; the system's allocator gives their pages back each time and has them zeroed anew.
#[cfg(all(target_os = "linux", not(target_env = "musl")))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    lakehunt::cli()
}
