// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The rules for the answers of an IMGAPI, as a table: one row for one rule, in `rows/`, in the language of `README.md`.
//!
//! The rows only use HTTP. By default they run against servers of this repository, one in each mode. With `CONFORMANCE_URL` they
//! run against any other server. See the Makefile's target `conformance`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test reports by panicking; without the built-in harness clippy does not see that these are tests"
)]

mod answer;
mod check;
mod client;
mod coverage;
mod invariants;
mod language;
mod rows;
mod run;
mod target;
mod variables;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};

use language::Mode;
use target::Targets;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let book = Arc::new(rows::load());
    let targets = Arc::new(Targets::of_environment());
    let mut trials = coverage::trials(&book);
    for mode in Mode::ALL.into_iter().filter(|mode| targets.has(*mode)) {
        for (index, row) in book.rows.iter().enumerate().filter(|(_, row)| row.modes.contains(&mode)) {
            let (book, targets) = (Arc::clone(&book), Arc::clone(&targets));
            let runs = targets.runs(row);
            let trial = Trial::test(format!("{mode}::{}", row.name), move || {
                run::run(&book, &book.rows[index], targets.get(mode), mode).map_err(Into::into)
            });
            trials.push(trial.with_ignored_flag(!runs));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    targets.stop();
    conclusion.exit_code()
}
