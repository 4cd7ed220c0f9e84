// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What commands say to a person or a script: the one place that writes to standard output and standard error.
//!
//! The macros of the standard library end the process with a panic when the other end of a pipe is gone or a disk is full.
//! Here a command ends as others do: quietly, by SIGPIPE, when nobody reads on; and with a message where the system refuses.

use std::fmt::Display;
use std::io::{self, BufWriter, Stdout, Write};

use signal_hook::consts::SIGPIPE;
use signal_hook::low_level::emulate_default_handler;

/// Writes `text` to standard output.
///
/// # Errors
/// Why the system does not take it.
pub fn print(text: impl Display) -> Result<(), String> {
    let mut output = Output::default();
    write!(output, "{text}").and_then(|()| output.flush()).map_err(|error| unwritten(&error))
}

/// The same with the end of a line behind it.
///
/// # Errors
/// As [`print()`].
pub fn print_line(text: impl Display) -> Result<(), String> {
    print(format_args!("{text}\n"))
}

/// Writes a line to standard error. Where that fails there is nobody left to tell.
pub fn complain(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Standard output for many bytes. What was written counts when it was flushed.
#[derive(Debug)]
pub struct Output(BufWriter<Stdout>);

impl Default for Output {
    fn default() -> Output {
        Output(BufWriter::new(io::stdout()))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).inspect_err(end_without_reader)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().inspect_err(end_without_reader)
    }
}

/// Why standard output has not taken something.
pub fn unwritten(error: &io::Error) -> String {
    format!("cannot write to standard output: {error}")
}

/// Ends the process as SIGPIPE does when a pipe has nobody at its other end. The signal itself is ignored: it would also come
/// from sockets, whose other ends come and go.
fn end_without_reader(error: &io::Error) {
    if error.kind() == io::ErrorKind::BrokenPipe {
        // It comes back only if the system refuses, and then the error is told.
        let _ = emulate_default_handler(SIGPIPE);
    }
}
