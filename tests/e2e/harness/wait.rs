//! Waiting for a condition, never for a time.

use std::thread;
use std::time::{Duration, Instant};

/// For time limits: `30 * SECOND`.
pub const SECOND: Duration = Duration::from_secs(1);

/// Asks until there is an answer, and fails with the last reason when the time is over.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match ask() {
            Ok(answer) => {
                println!("{:7.1} s  waited for {what}", started.elapsed().as_secs_f64());
                return answer;
            }
            Err(reason) if started.elapsed() > limit => {
                panic!("{what}: not within {} s; the last reason: {reason}", limit.as_secs())
            }
            Err(_) => thread::sleep(Duration::from_millis(200)),
        }
    }
}
