// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;

use super::client::run;
use super::origins::Origins;
use super::told;
use crate::config::Config;
use crate::console;
use crate::db::{Database, DbError};
use crate::images::App;
use crate::manifest::{Image, Record};
use crate::telemetry::{Metrics, StaticLabels};

/// The longest line in bytes. The records of 4.13.1 have a few thousand bytes.
const MAX_LINE: u64 = 16 << 20;

/// The most lines that are stored at the same time, and about the most bytes.
const AT_ONCE: usize = 16;
const MOST_AT_ONCE: usize = 16 << 20;

/// How often a record is compared and written if others change it at the same time.
const ATTEMPTS: usize = 5;

/// The options of a load.
#[derive(Debug, Clone, Copy)]
pub(super) struct LoadOptions {
    /// Whether only to report what would be done.
    pub(super) dry_run: bool,
    /// Whether to replace existing records that differ.
    pub(super) replace: bool,
}

/// The result for a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Added,
    Replaced,
    Unchanged,
    /// The image has a record that differs.
    Differs,
    Refused(String),
}

impl Outcome {
    fn is_there(&self) -> bool {
        matches!(self, Outcome::Added | Outcome::Replaced | Outcome::Unchanged)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Added => f.write_str("added"),
            Outcome::Replaced => f.write_str("replaced"),
            Outcome::Unchanged => f.write_str("unchanged"),
            Outcome::Differs => f.write_str("left: another record is there, --replace would replace it"),
            Outcome::Refused(reason) => write!(f, "refused: {reason}"),
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    added: u64,
    replaced: u64,
    unchanged: u64,
    left: u64,
    refused: u64,
    /// The origins of the images that are stored now as in the dump.
    origins: Origins,
    /// The number of images that cannot be installed because of their origins.
    orphans: u64,
}

impl Counts {
    fn add(&mut self, outcome: &Outcome, image: Option<&Image>) {
        if let Some(image) = image.filter(|_| outcome.is_there()) {
            self.origins.note(image);
        }
        match outcome {
            Outcome::Added => self.added += 1,
            Outcome::Replaced => self.replaced += 1,
            Outcome::Unchanged => self.unchanged += 1,
            Outcome::Differs => self.left += 1,
            Outcome::Refused(_) => self.refused += 1,
        }
    }
}

/// Writes the records of a dump to the database of the configuration, and reports the result for each line. It can be
/// repeated. Returns whether all records are stored now.
pub(super) fn load(config: &Config, file: &Path, options: LoadOptions) -> Result<bool, String> {
    let input: Box<dyn Read> = if file.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| format!("{}: {error}", file.display()))?)
    };
    let counts = run(load_all(config, BufReader::new(input), options))??;
    let Counts { added, replaced, unchanged, left, refused, orphans, .. } = counts;
    let what = if options.dry_run { "nothing was written; " } else { "" };
    console::complain(format_args!(
        "{what}{added} added, {replaced} replaced, {unchanged} unchanged, {left} left, {refused} refused"
    ));
    if orphans > 0 {
        console::complain(format_args!("{orphans} cannot be installed until their origins are there"));
    }
    Ok(left + refused == 0)
}

async fn load_all(config: &Config, mut input: impl BufRead, options: LoadOptions) -> Result<Counts, String> {
    let metrics = Metrics::new(&StaticLabels::default()).map_err(|error| told(&error))?;
    let rules = App::rules_of(config);
    let opened = Database::open(config, rules, Arc::new(metrics)).await;
    let database = opened.map_err(|error| told(&error))?;
    let mut counts = Counts::default();
    let mut group = Group::default();
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = input.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut line);
        if read.map_err(|error| format!("line {number}: {error}"))? == 0 {
            break;
        }
        if line.len() as u64 > MAX_LINE {
            return Err(format!("line {number} has over {MAX_LINE} bytes"));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let record = read_image(&line, config);
        if group.is_full_for(&record) {
            std::mem::take(&mut group).store(&database, options, &mut counts).await?;
        }
        group.push(number, line.len(), record);
    }
    group.store(&database, options, &mut counts).await?;
    counts.orphans = counts.origins.check(&database).await.map_err(|error| told(&error))?;
    database.close(super::CLOSE_LIMIT).await;
    Ok(counts)
}

/// Lines that are stored at the same time, because most of the time is spent waiting for the database. Records of the
/// same image, or with the same unique `urn`, are stored one after the other, in the order of their lines.
#[derive(Default)]
struct Group {
    records: Vec<(u64, Result<Image, String>)>,
    /// The UUIDs and URNs of the records.
    names: HashSet<String>,
    bytes: usize,
}

impl Group {
    fn is_full_for(&self, record: &Result<Image, String>) -> bool {
        let is_there = record.as_ref().is_ok_and(|image| names(image).any(|name| self.names.contains(&name)));
        is_there || self.records.len() >= AT_ONCE || self.bytes >= MOST_AT_ONCE
    }

    fn push(&mut self, number: u64, bytes: usize, record: Result<Image, String>) {
        self.names.extend(record.iter().flat_map(names));
        self.bytes += bytes;
        self.records.push((number, record));
    }

    /// Reports the result for each line. If the database fails, the lines before the failure have been reported.
    async fn store(
        self,
        database: &Database,
        options: LoadOptions,
        counts: &mut Counts,
    ) -> Result<(), String> {
        let stored = self.records.into_iter().map(async |(number, record)| match record {
            Ok(image) => {
                let outcome = store(database, &image, options).await;
                (image.uuid().to_string(), Some(image), outcome)
            }
            Err(reason) => (format!("line {number}"), None, Ok(Outcome::Refused(reason))),
        });
        for (name, image, outcome) in join_all(stored).await {
            let outcome = outcome.map_err(|error| format!("{name}: {}", told(&error)))?;
            console::print_line(format_args!("{name} {outcome}"))?;
            counts.add(&outcome, image.as_ref());
        }
        Ok(())
    }
}

/// Returns the values of an image that must be unique.
fn names(image: &Image) -> impl Iterator<Item = String> + use<> {
    let urn = image.record().get("urn").and_then(|urn| urn.as_str()).map(str::to_owned);
    [image.uuid().to_string()].into_iter().chain(urn)
}

fn read_image(line: &[u8], config: &Config) -> Result<Image, String> {
    let record: Record = serde_json::from_slice(line).map_err(|error| format!("no JSON object: {error}"))?;
    let named =
        record.get("uuid").and_then(|uuid| uuid.as_str()).unwrap_or("no uuid").replace(char::is_control, " ");
    Image::load(record, App::rules_of(config)).map_err(|problems| {
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        format!("{named} is not valid: {}", fields.join(", "))
    })
}

/// Stores a record. If another process changes the record meanwhile, it is read again, so that nothing is overwritten unseen.
async fn store(database: &Database, image: &Image, options: LoadOptions) -> Result<Outcome, DbError> {
    for _ in 0..ATTEMPTS {
        let there = database.get(image.uuid()).await?;
        let (outcome, written) = match there {
            Some(there) if there.image.record() == image.record() => return Ok(Outcome::Unchanged),
            Some(_) if !options.replace => return Ok(Outcome::Differs),
            Some(_) if options.dry_run => return Ok(Outcome::Replaced),
            Some(there) => (Outcome::Replaced, database.replace(image, &there.etag).await),
            None if options.dry_run => return Ok(Outcome::Added),
            None => (Outcome::Added, database.insert(image).await),
        };
        match written {
            Ok(()) => return Ok(outcome),
            // The record is read again, because it may have been written.
            Err(DbError::Conflict | DbError::OutcomeUnknown(_)) => {}
            Err(DbError::NotUnique) => return Ok(Outcome::Refused("another image has its urn".to_owned())),
            Err(error) => return Err(error),
        }
    }
    Ok(Outcome::Refused("a record is there that is not valid, or changes all the time".to_owned()))
}
