// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Sources of tasks.

use std::time::{Duration, Instant};

use rquickjs::{Context, Ctx, Function, Runtime};
use thiserror::Error;

/// Maximum memory of the engine that evaluates a source, in bytes.
const MEMORY: usize = 16 << 20;
/// Timeout of the evaluation.
const TIME: Duration = Duration::from_secs(5);

/// Why a source is not a function.
#[derive(Debug, Error)]
pub enum ScriptError {
    /// The source cannot be parsed or evaluated.
    #[error("{0}")]
    Source(String),
    /// The source is not a function.
    #[error("must be a function")]
    NoFunction,
    /// No engine could be created.
    #[error("no engine: {0}")]
    Engine(String),
}

/// Returns the text of the function that the expression `source` evaluates to, without surrounding blanks and comments.
///
/// # Errors
///
/// Fails if the source cannot be parsed or is not a function.
pub fn check_function(source: &str) -> Result<String, ScriptError> {
    let no_engine = |error: rquickjs::Error| ScriptError::Engine(error.to_string());
    let runtime = Runtime::new().map_err(no_engine)?;
    runtime.set_memory_limit(MEMORY);
    let end = Instant::now() + TIME;
    runtime.set_interrupt_handler(Some(Box::new(move || Instant::now() > end)));
    let context = Context::full(&runtime).map_err(no_engine)?;
    context.with(|ctx| {
        let value: rquickjs::Value =
            ctx.eval(format!("({source})")).map_err(|_| ScriptError::Source(exception(&ctx)))?;
        if !value.is_function() {
            return Err(ScriptError::NoFunction);
        }
        let text_of: Function =
            ctx.eval("(function (f) { return Function.prototype.toString.call(f); })").map_err(no_engine)?;
        text_of.call((value,)).map_err(no_engine)
    })
}

/// Returns the exception that was thrown, with its stack.
pub(super) fn exception(ctx: &Ctx<'_>) -> String {
    let thrown = ctx.catch();
    if let Some(exception) = thrown.as_exception() {
        let message = exception.message().unwrap_or_default();
        let name: String = exception.get("name").unwrap_or_else(|_| "Error".to_owned());
        let stack = exception.stack().unwrap_or_default();
        return format!("{name}: {message}\n{stack}").trim_end().to_owned();
    }
    thrown.as_string().and_then(|text| text.to_string().ok()).unwrap_or_else(|| "an exception".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_function_is_left_of_a_source() {
        let text =
            check_function("  // why\n function a(job, cb) { /* here */ cb(); } /* end */\n ").unwrap();
        assert_eq!(text, "function a(job, cb) { /* here */ cb(); }");
    }

    #[test]
    fn what_is_no_function_is_told() {
        assert!(matches!(check_function("function ("), Err(ScriptError::Source(_))));
        assert!(matches!(check_function("4"), Err(ScriptError::NoFunction)));
        assert!(check_function("(function () { for (;;) {} })(").is_err());
    }
}
