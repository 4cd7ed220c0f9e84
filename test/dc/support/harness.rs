// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Runs the tests on one application.

use std::fs::OpenOptions;
use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use super::TestApp;

/// Number of tests that run at once. Most tests mostly wait.
const TEST_THREADS: usize = 8;

/// A test, and its name with the name of its module.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: for<'a> fn(&'a TestApp) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
}

/// Lists the tests of a module: functions `async fn(&TestApp)`. A test that is not listed is dead code, which the compiler
/// reports.
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::support::Test] = &[$($crate::support::Test {
            name: concat!(module_path!(), "::", stringify!($test)),
            run: |app| Box::pin($test(app)),
        }),*];
    };
}
pub(crate) use tests;

/// Runs the tests that the command line selects, with the options of the built-in harness, on the application that `start`
/// returns. Then stops the application, which must not have crashed.
pub(crate) fn run<F>(tests: Vec<Test>, start: fn() -> F) -> ExitCode
where
    F: Future<Output = TestApp> + 'static,
{
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TEST_THREADS);
    let runtime = Arc::new(Runtime::new().expect("a runtime"));
    let app = Arc::new(OnceCell::new());
    let trials = tests.into_iter().map(|test| {
        let (runtime, app) = (Arc::clone(&runtime), Arc::clone(&app));
        let name = test.name.split_once("::").map_or(test.name, |(_, name)| name);
        Trial::test(name, move || {
            let began = Instant::now();
            runtime.block_on(async { (test.run)(app.get_or_init(start).await).await });
            note(test.name, began.elapsed());
            Ok(())
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if let Some(app) = Arc::into_inner(app).and_then(OnceCell::into_inner) {
        runtime.block_on(app.stop());
    }
    conclusion.exit_code()
}

/// Appends a test's duration to the file from which `make test` lists slow tests.
fn note(name: &str, took: Duration) {
    let Some(path) = std::env::var_os("TEST_TIMES") else { return };
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(format!("{:.3} {name}\n", took.as_secs_f64()).as_bytes()).unwrap();
}
