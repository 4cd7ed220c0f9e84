// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Output of commands for a person or a script. No other code writes to standard output and standard error.
//!
//! The macros of the standard library panic if the other end of a pipe is closed or a disk is full. Here a command ends as
//! usual: silently, by SIGPIPE, if nobody reads its output any more, and with a message if the system reports an error.

use std::fmt::Display;
use std::io::{self, BufWriter, Stdout, Write};

use signal_hook::consts::SIGPIPE;
use signal_hook::low_level::emulate_default_handler;

/// Writes `text` to standard output.
///
/// # Errors
/// The reason why it cannot be written.
pub fn print(text: impl Display) -> Result<(), String> {
    let mut output = Output::default();
    write!(output, "{text}").and_then(|()| output.flush()).map_err(|error| unwritten(&error))
}

/// Writes `text` and a line end to standard output.
///
/// # Errors
/// Those of [`print()`].
pub fn print_line(text: impl Display) -> Result<(), String> {
    print(format_args!("{text}\n"))
}

/// Writes a line to standard error. If that fails, it cannot be reported anywhere.
pub fn complain(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Buffered standard output for many bytes. They are written for certain only after a flush.
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

/// Formats an error of writing to standard output.
pub fn unwritten(error: &io::Error) -> String {
    format!("cannot write to standard output: {error}")
}

/// Ends the process as SIGPIPE would if the reader of a pipe is gone. The signal itself is ignored, because it would
/// also come from sockets, whose peers come and go.
fn end_without_reader(error: &io::Error) {
    if error.kind() == io::ErrorKind::BrokenPipe {
        // The call returns only if the system refuses. The error is then reported.
        let _ = emulate_default_handler(SIGPIPE);
    }
}
