// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Log levels: Bunyan's names and numbers, and the layer that decides which records are written.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The crates of this project. Records of other crates are filtered more strictly: see [`LevelLayer`].
const OWN_CRATES: [&str; 5] = ["imgapi", "moray", "manta", "http_signature", "coal"];

/// The lowest level that is written (`logLevel` in the configuration).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// 10: everything, libraries included.
    Trace = 10,
    /// 20.
    Debug = 20,
    /// 30: includes the audit records.
    Info = 30,
    /// 40.
    Warn = 40,
    /// 50: each such record is an alarm for the operators.
    Error = 50,
    /// 60: the process is about to end.
    Fatal = 60,
}

/// A `logLevel` that is neither a Bunyan level name nor a positive number.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("unknown log level {0:?}: expected trace, debug, info, warn, error, fatal or a number")]
pub struct ParseLevelError(String);

impl Level {
    /// Returns the level for a number of `-d` flags: info for none, debug for one, trace for more.
    #[must_use]
    pub fn from_debug_flags(count: u8) -> Level {
        match count {
            0 => Level::Info,
            1 => Level::Debug,
            _ => Level::Trace,
        }
    }

    /// Returns the level for a number. Bunyan allows any number; a record is written if its level is at least that high.
    #[must_use]
    pub fn from_number(number: u64) -> Level {
        match number {
            0..=10 => Level::Trace,
            11..=20 => Level::Debug,
            21..=30 => Level::Info,
            31..=40 => Level::Warn,
            41..=50 => Level::Error,
            _ => Level::Fatal,
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            Level::Trace => LevelFilter::TRACE,
            Level::Debug => LevelFilter::DEBUG,
            Level::Info => LevelFilter::INFO,
            Level::Warn => LevelFilter::WARN,
            // `tracing` has no level 60. Fatal records are errors with a marker.
            Level::Error | Level::Fatal => LevelFilter::ERROR,
        }
    }
}

impl FromStr for Level {
    type Err = ParseLevelError;

    fn from_str(text: &str) -> Result<Level, ParseLevelError> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "trace" => Level::Trace,
            "debug" => Level::Debug,
            "info" => Level::Info,
            "warn" => Level::Warn,
            "error" => Level::Error,
            "fatal" => Level::Fatal,
            number => match number.parse() {
                Ok(number) if number > 0 => Level::from_number(number),
                _ => return Err(ParseLevelError(text.to_owned())),
            },
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Fatal => "fatal",
        })
    }
}

/// Settings that may change while the process runs. The layer, the writer and [`super::LogControl`] share them.
#[derive(Debug)]
pub(super) struct Settings {
    level: AtomicU8,
    source: AtomicBool,
}

impl Settings {
    pub(super) fn new(level: Level, source: bool) -> Arc<Settings> {
        Arc::new(Settings { level: AtomicU8::new(level as u8), source: AtomicBool::new(source) })
    }

    pub(super) fn level(&self) -> Level {
        Level::from_number(u64::from(self.level.load(Ordering::Relaxed)))
    }

    /// Returns whether records name the source line that wrote them (`src`).
    pub(super) fn source(&self) -> bool {
        self.source.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, level: Level, source: bool) {
        self.level.store(level as u8, Ordering::Relaxed);
        self.source.store(source, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }

    pub(super) fn set_level(&self, level: Level) {
        self.set(level, self.source.load(Ordering::Relaxed));
    }
}

/// Returns whether a target belongs to this project.
pub(super) fn is_own(target: &str) -> bool {
    OWN_CRATES.contains(&target.split("::").next().unwrap_or(target))
}

/// Drops events below the level. Spans up to info are always kept, because they carry `req_id` to the warnings inside
/// them. Events of other crates below info appear only at level trace: the default level is debug, and the records of a
/// busy HTTP library would drown the service's own.
pub(super) struct LevelLayer(pub(super) Arc<Settings>);

impl LevelLayer {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let level = self.0.level();
        let mut limit = level.filter();
        if metadata.is_span() {
            limit = limit.max(LevelFilter::INFO);
        }
        if level != Level::Trace && !is_own(metadata.target()) {
            limit = limit.min(LevelFilter::INFO);
        }
        *metadata.level() <= limit
    }
}

impl<S: Subscriber> Layer<S> for LevelLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.level().filter().max(LevelFilter::INFO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_levels() {
        assert_eq!("info".parse(), Ok(Level::Info));
        assert_eq!("WARN".parse(), Ok(Level::Warn));
        assert_eq!("20".parse(), Ok(Level::Debug));
        assert_eq!("35".parse(), Ok(Level::Warn));
        assert_eq!("61".parse(), Ok(Level::Fatal));
        for bad in ["", "loud", "-1", "0", "1.5"] {
            assert!(bad.parse::<Level>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_level_prints_as_it_parses() {
        for level in [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Fatal] {
            assert_eq!(level.to_string().parse(), Ok(level));
            assert_eq!(Level::from_number(level as u64), level);
        }
    }

    #[test]
    fn only_whole_crate_names_are_own() {
        assert!(is_own("imgapi"));
        assert!(is_own("moray::pool"));
        assert!(!is_own("imgapi_other::x"));
        assert!(!is_own("log"));
    }
}
