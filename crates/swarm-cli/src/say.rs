//! Lines for whoever reads the standard output, until nobody does any more.

use std::fmt;
use std::io::{self, Write as _};

/// Exit status of a program whose reader has gone, as shells tell it: 128 and the number of SIGPIPE.
const READER_GONE: i32 = 141;

/// As [`println!`], but a reader that has gone (`… | head`) ends the program quietly.
macro_rules! say {
    () => { crate::say::line(format_args!("")) };
    ($($told:tt)*) => { crate::say::line(format_args!($($told)*)) };
}
pub(crate) use say;

/// Writes one line.
pub(crate) fn line(told: fmt::Arguments<'_>) {
    let mut out = io::stdout().lock();
    let written = out.write_fmt(told).and_then(|()| out.write_all(b"\n"));
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(READER_GONE),
        // A disk that is full, say: the exit status tells the outcome all the same.
        Err(_) | Ok(()) => {}
    }
}
