// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Classifies errors by which Moray reports that its database is unavailable, read-only, or cannot store a value.
//!
//! Moray has few error names of its own for this: mostly it passes on the messages of PostgreSQL or of its PostgreSQL client.
//! Each text here was seen on Moray 2.6 while its database was stopped, restarted, or turned into a standby, or is in its source.

use crate::server_error::ServerErrorKind;

/// Message under the name `Error` by which Moray 2.6 reports that it has no database. It is compared exactly, as older clients
/// do.
const NO_DATABASE: &str = "connect ECONNREFUSED";

/// Start of Moray's messages about its connection to the database, under the name `VError`.
const CLIENT_FAILED: &str = "Postgres client failed";

/// Start of the PostgreSQL client's messages, under the name `Error`, when a connection ends during a query.
const ENDED: &str = "Connection terminated";

/// Messages of the PostgreSQL client, under the name `Error`, when the operating system ended the connection.
const BROKEN: [&str; 4] = ["read ECONNRESET", "read ETIMEDOUT", "write EPIPE", "write ECONNRESET"];

/// Start of the messages, under the name `error`, by which a database that is shutting down ends its connections.
const TERMINATING: &str = "terminating connection";

/// End of a standby's message, under the name `error`, when it receives a write.
const READ_ONLY: &str = "in a read-only transaction";

/// Messages by which Moray, or a Moray client, reports that it lost a connection or cannot get one.
const NO_CONNECTION: [&str; 7] = [
    "unexpected end of transport stream",
    "unexpected error on transport",
    "transport detached",
    "no active connections",
    "no connections available",
    "no database backends are available",
    "unable to acquire backend connection",
];

/// Start of PostgreSQL's messages about a value that an index cannot hold: a text with a NUL character, an array that cannot be
/// parsed, a text that is too long.
const UNSTORABLE: [&str; 4] =
    ["invalid byte sequence for encoding", "malformed array literal", "index row requires", "index row size"];

/// Returns the kind of an error that the database caused; `None` for other errors.
pub(crate) fn kind(name: &str, message: &str) -> Option<ServerErrorKind> {
    match name {
        "Error" if message == NO_DATABASE => Some(ServerErrorKind::DatabaseDown),
        "Error" if message.starts_with(ENDED) || BROKEN.contains(&message) => {
            Some(ServerErrorKind::DatabaseLost)
        }
        "VError" if message.starts_with(CLIENT_FAILED) => Some(ServerErrorKind::DatabaseLost),
        "error" if message.starts_with(TERMINATING) => Some(ServerErrorKind::DatabaseLost),
        "error" if message.ends_with(READ_ONLY) => Some(ServerErrorKind::DatabaseReadOnly),
        _ if UNSTORABLE.iter().any(|text| message.starts_with(text)) => Some(ServerErrorKind::Unstorable),
        _ => None,
    }
}

/// Returns whether an error message of a service that stores its data in Moray means that Moray or its database is unavailable.
/// Such services pass on Moray's message with words of their own around it.
///
/// The requested operation may have been done nevertheless.
pub fn is_about_lost_database(message: &str) -> bool {
    let texts = [NO_DATABASE, CLIENT_FAILED, ENDED, TERMINATING, READ_ONLY];
    texts.iter().chain(&BROKEN).chain(&NO_CONNECTION).any(|text| message.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moray_says_without_its_database_is_known() {
        let lost = Some(ServerErrorKind::DatabaseLost);
        for (name, message, expected) in [
            ("Error", "connect ECONNREFUSED", Some(ServerErrorKind::DatabaseDown)),
            ("VError", "Postgres client failed: Connection terminated unexpectedly", lost),
            ("VError", "Postgres client failed: terminating connection due to administrator command", lost),
            ("Error", "Connection terminated", lost),
            ("Error", "read ECONNRESET", lost),
            ("error", "terminating connection due to administrator command", lost),
            (
                "error",
                "cannot execute SELECT FOR UPDATE in a read-only transaction",
                Some(ServerErrorKind::DatabaseReadOnly),
            ),
            ("error", "invalid byte sequence for encoding \"UTF8\": 0x00", Some(ServerErrorKind::Unstorable)),
            ("error", "malformed array literal: \"{}\"", Some(ServerErrorKind::Unstorable)),
            (
                "error",
                "index row requires 20016 bytes, maximum size is 8191",
                Some(ServerErrorKind::Unstorable),
            ),
            ("Error", "connect ECONNREFUSED 10.0.0.1:5432", None),
            ("Error", "approx filters not allowed", None),
            ("VError", "a trigger failed", None),
            ("error", "division by zero", None),
            ("InvocationError", "Postgres client failed", None),
        ] {
            assert_eq!(kind(name, message), expected, "{name}: {message}");
        }
    }

    #[test]
    fn services_say_it_with_words_around_it() {
        for message in [
            "Moray failure: no active connections",
            "request failed: server error: Postgres client failed: Connection terminated unexpectedly",
            "unable to acquire backend connection due to service being overloaded",
            "moray client (\"127.0.0.1:2\" to \"127.0.0.1:1\"): request failed: unexpected end of transport stream",
        ] {
            assert!(is_about_lost_database(message), "{message}");
        }
        for message in
            ["", "asked for", "Workflow with UUID 'x' does not exist", "no connection between them"]
        {
            assert!(!is_about_lost_database(message), "{message}");
        }
    }
}
