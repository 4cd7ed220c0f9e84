// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::io::{self, BufRead, Read};

use super::hash_password;
use crate::console;

/// The longest password in bytes.
const MAX_LENGTH: u64 = 4096;

/// Reads a password from standard input, up to the end of the line, and prints its hash for `userdb`.
///
/// # Errors
/// The input is not a usable password, or the system failed.
pub fn print_password_hash() -> Result<(), String> {
    let mut line = String::new();
    let mut input = io::stdin().lock().take(MAX_LENGTH + 1);
    input.read_line(&mut line).map_err(|error| format!("cannot read the password: {error}"))?;
    if line.len() as u64 > MAX_LENGTH {
        return Err(format!("a password has at most {MAX_LENGTH} bytes"));
    }
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err("there is no password on standard input".into());
    }
    console::print_line(hash_password(password).map_err(|error| error.to_string())?)
}
