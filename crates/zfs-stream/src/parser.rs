// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The parser: it follows the records of a stream while its bytes arrive.

use crate::begin::Begin;
use crate::error::{Error, Reason};
use crate::fletcher::{Fletcher4, Sum};
use crate::record::{Record, RecordKind, lengths};
use crate::summary::Summary;
use crate::wire::{ByteOrder, Fields, PREFIX_LEN, RECORD_LEN, RecordBytes, SUM_AT};

/// Offset of the sum of all records in END (`drr_end.drr_checksum`).
const END_SUM_AT: usize = 8;
/// Offset of the GUID in END (`drr_end.drr_toguid`), and of the end of all that END has.
const END_GUID_AT: usize = 40;
const END_REST_AT: usize = 48;

/// Whether sums are computed and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sums {
    /// They are: every flipped byte is found.
    Check,
    /// They are not: only the records are followed, which takes hardly any time.
    Skip,
}

/// What a parser has found in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A stream or a part of it begins. The first event of a compound stream is a BEGIN that says only that.
    Begin(&'a Begin),
    /// A record other than BEGIN and END. Its payload follows.
    Record(Record),
    /// The end of what the latest BEGIN has begun, with the sum of all its bytes. The sum is 0 in the last END of a compound stream.
    End(Sum),
}

/// Where the parser is between the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first record.
    Start,
    /// Behind the first BEGIN of a compound stream. Only END may follow.
    Preamble,
    /// In a compound stream, in none of its parts.
    BetweenParts,
    /// Behind a BEGIN.
    InPart,
    /// Behind the last END.
    Complete,
}

/// A parser of one stream, which is fed with slices of it.
///
/// It stores one record and no payload. After an error it returns the same error for all further bytes.
#[derive(Debug, Clone)]
pub struct Parser {
    sums: Sums,
    place: Place,
    /// The bytes of the current record that have arrived.
    header: RecordBytes,
    filled: usize,
    /// Bytes of the payload that are to come.
    payload_left: u64,
    /// The bytes since the latest BEGIN.
    running: Fletcher4,
    /// The GUID in the latest BEGIN.
    guid: u64,
    /// Bytes of the stream before the current record, and the number of records.
    offset: u64,
    records: u64,
    /// Bytes of the stream that have arrived.
    received: u64,
    summary: Option<Summary>,
    failure: Option<Error>,
}

impl Parser {
    /// Creates a parser for a stream.
    pub fn new(sums: Sums) -> Parser {
        Parser {
            sums,
            place: Place::Start,
            header: [0; RECORD_LEN],
            filled: 0,
            payload_left: 0,
            running: Fletcher4::new(ByteOrder::Little),
            guid: 0,
            offset: 0,
            records: 0,
            received: 0,
            summary: None,
            failure: None,
        }
    }

    /// Takes the next bytes, and calls `on_event` for each record that they complete. Returns how many of the bytes belong to
    /// the stream: all, unless the stream ends before them.
    ///
    /// # Errors
    /// What is wrong with the stream, and where. Bytes that are no stream are told after [`PREFIX_LEN`] bytes.
    pub fn feed(&mut self, bytes: &[u8], mut on_event: impl FnMut(Event<'_>)) -> Result<usize, Error> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_complete() {
            rest = if self.payload_left > 0 {
                self.pass_payload(rest)
            } else {
                self.fill_header(rest, &mut on_event).map_err(|reason| self.fail(reason))?
            };
        }
        Ok(bytes.len() - rest.len())
    }

    /// Whether the stream has ended.
    pub fn is_complete(&self) -> bool {
        self.place == Place::Complete
    }

    /// Returns what is known of the stream so far; `None` before its first record.
    pub fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }

    /// Ends the input, and returns what the stream is.
    ///
    /// # Errors
    /// An earlier error, or that the stream is cut off, or that the bytes are no stream.
    pub fn finish(mut self) -> Result<Summary, Error> {
        match (self.failure.take(), self.summary.take()) {
            (Some(failure), _) => Err(failure),
            (None, Some(summary)) if self.place == Place::Complete => Ok(summary),
            (None, summary) => {
                let is_stream = summary.is_some() || self.filled >= PREFIX_LEN;
                Err(self.fail(if is_stream { Reason::CutOff(self.received) } else { Reason::NoStream }))
            }
        }
    }

    fn fail(&mut self, reason: Reason) -> Error {
        let failure = Error { offset: self.offset, record: self.records, reason };
        self.failure = Some(failure.clone());
        failure
    }

    /// Passes bytes of a payload, and returns the others.
    fn pass_payload<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let length = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
        let (payload, rest) = bytes.split_at(length);
        if self.sums == Sums::Check {
            self.running.update(payload);
        }
        self.payload_left = self.payload_left.saturating_sub(length as u64);
        self.received = self.received.saturating_add(length as u64);
        if self.payload_left == 0 {
            self.begin_record();
        }
        rest
    }

    fn begin_record(&mut self) {
        self.filled = 0;
        self.offset = self.received;
        self.records = self.records.saturating_add(1);
    }

    /// Adds bytes to the current record, and returns the others.
    fn fill_header<'a>(
        &mut self,
        bytes: &'a [u8],
        on_event: &mut impl FnMut(Event<'_>),
    ) -> Result<&'a [u8], Reason> {
        let free = self.header.get_mut(self.filled..).unwrap_or_default();
        let length = free.len().min(bytes.len());
        let (added, rest) = bytes.split_at(length);
        free.iter_mut().zip(added).for_each(|(place, byte)| *place = *byte);
        self.filled += length;
        self.received = self.received.saturating_add(length as u64);
        if self.place == Place::Start && self.filled >= PREFIX_LEN && ByteOrder::of(&self.header).is_none() {
            return Err(Reason::NoStream);
        }
        if self.filled == RECORD_LEN {
            self.read_record(on_event)?;
            if self.payload_left == 0 {
                self.begin_record();
            }
        }
        Ok(rest)
    }

    /// Reads the complete record in `header`.
    fn read_record(&mut self, on_event: &mut impl FnMut(Event<'_>)) -> Result<(), Reason> {
        let order = match &self.summary {
            Some(summary) => summary.order,
            None => ByteOrder::of(&self.header).ok_or(Reason::NoStream)?,
        };
        let header = self.header;
        let fields = Fields::new(&header, order);
        let number = fields.u32(0);
        let kind = RecordKind::from_number(number).ok_or(Reason::UnknownKind(number))?;
        let before = self.running.sum();
        let was_in_part = self.place == Place::InPart;
        if kind == RecordKind::Begin {
            self.running = Fletcher4::new(order);
        }
        if self.sums == Sums::Check {
            self.add_to_sum(kind, fields)?;
        }
        let (payload, logical) = lengths(kind, fields)?;
        let record = Record { kind, offset: self.offset, payload, logical };
        match kind {
            RecordKind::Begin => {
                let begin = self.begin(fields, order)?;
                self.count(&record, self.place == Place::InPart);
                on_event(Event::Begin(&begin));
            }
            RecordKind::End => {
                let sum = self.end(fields, before)?;
                self.count(&record, was_in_part);
                on_event(Event::End(sum));
            }
            _ if was_in_part => {
                self.count(&record, true);
                on_event(Event::Record(record));
            }
            _ => return Err(Reason::OutOfPlace(kind)),
        }
        self.payload_left = payload;
        Ok(())
    }

    fn count(&mut self, record: &Record, is_in_part: bool) {
        if let Some(summary) = &mut self.summary {
            summary.add_record(record, is_in_part);
        }
    }

    /// Compares the record's own sum, and adds all its bytes to the running sum. Old senders left the sum 0.
    fn add_to_sum(&mut self, kind: RecordKind, fields: Fields<'_>) -> Result<(), Reason> {
        self.running.update(fields.bytes(0, SUM_AT));
        let stored = sum_at(fields, SUM_AT);
        let computed = self.running.sum();
        if kind != RecordKind::Begin && !stored.is_zero() && stored != computed {
            return Err(Reason::WrongSum { kind, stored, computed });
        }
        self.running.update(fields.bytes(SUM_AT, RECORD_LEN));
        Ok(())
    }

    fn begin(&mut self, fields: Fields<'_>, order: ByteOrder) -> Result<Begin, Reason> {
        if !fields.has_magic() {
            return Err(Reason::NoMagic);
        }
        let begin = Begin::read(fields);
        self.place = match self.place {
            Place::Start if begin.is_compound => Place::Preamble,
            Place::Start => Place::InPart,
            Place::BetweenParts if !begin.is_compound => Place::InPart,
            _ => return Err(Reason::OutOfPlace(RecordKind::Begin)),
        };
        self.guid = begin.to_guid;
        let summary = self.summary.get_or_insert_with(|| Summary::new(order, begin.is_compound));
        if self.place == Place::InPart {
            summary.begin_part(begin.clone(), self.offset);
        }
        Ok(begin)
    }

    /// Checks END, and returns the sum in it. `computed` is the sum of everything since BEGIN.
    fn end(&mut self, fields: Fields<'_>, computed: Sum) -> Result<Sum, Reason> {
        let is_zero = |from, to| fields.bytes(from, to).iter().all(|byte| *byte == 0);
        let stored = sum_at(fields, END_SUM_AT);
        let is_compound = self.summary.as_ref().is_some_and(|summary| summary.is_compound);
        self.place = match self.place {
            Place::BetweenParts => {
                // The last END of a compound stream is all zeros, so no sum protects it.
                return if is_zero(4, RECORD_LEN) {
                    self.place = Place::Complete;
                    Ok(stored)
                } else {
                    Err(Reason::NotZero)
                };
            }
            Place::Preamble => Place::BetweenParts,
            Place::InPart if is_compound => Place::BetweenParts,
            Place::InPart => Place::Complete,
            Place::Start | Place::Complete => return Err(Reason::OutOfPlace(RecordKind::End)),
        };
        if self.sums == Sums::Check && stored != computed {
            return Err(Reason::WrongEndSum { stored, computed });
        }
        let (begin, end) = (self.guid, fields.u64(END_GUID_AT));
        if begin != end {
            return Err(Reason::OtherGuid { begin, end });
        }
        // Senders that give END no sum of its own leave these bytes without protection.
        if is_zero(4, END_SUM_AT) && is_zero(END_REST_AT, SUM_AT) { Ok(stored) } else { Err(Reason::NotZero) }
    }
}

fn sum_at(fields: Fields<'_>, at: usize) -> Sum {
    Sum([0, 8, 16, 24].map(|word| fields.u64(at + word)))
}
