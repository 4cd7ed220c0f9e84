use std::io;

use super::hash_password;
use crate::console;

/// Reads a password from standard input, up to the end of the line, and prints its hash: what stands in `userdb`.
///
/// # Errors
/// What is wrong with the input, or the system.
pub fn print_password_hash() -> Result<(), String> {
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(|error| format!("cannot read the password: {error}"))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err("there is no password on standard input".into());
    }
    console::print_line(hash_password(password).map_err(|error| error.to_string())?)
}
