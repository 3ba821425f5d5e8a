//! A process, measured.

use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use wait4::Wait4;

use crate::Result;

/// What a process took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Seconds.
    pub(crate) wall: f64,
    /// Seconds of all threads, in the program and in the system.
    pub(crate) cpu: f64,
    /// Bytes, resident.
    pub(crate) peak: u64,
}

/// Runs a command; none when the limit ended it.
pub(crate) fn measure(mut command: Command, limit: Option<Duration>) -> Result<Option<Measured>> {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let (done, waiting) = mpsc::channel::<()>();
    let id = child.id().to_string();
    let watch = limit.map(|limit| {
        std::thread::spawn(move || {
            let late = matches!(waiting.recv_timeout(limit), Err(mpsc::RecvTimeoutError::Timeout));
            if late {
                let _ = Command::new("kill").args(["-9", &id]).status();
            }
            late
        })
    });
    let ended = child.wait4()?;
    let wall = began.elapsed().as_secs_f64();
    drop(done);
    let late = watch.is_some_and(|watch| watch.join().unwrap_or(false));
    if late {
        return Ok(None);
    }
    if !ended.status.success() {
        return Err(format!("{command:?} failed: {}", ended.status).into());
    }
    let cpu = (ended.rusage.utime + ended.rusage.stime).as_secs_f64();
    Ok(Some(Measured { wall, cpu, peak: ended.rusage.maxrss }))
}
