// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Bounds the memory of answers that are being sent: a client that does not read its answer keeps it in memory here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Answers up to this many bytes are not counted, because a connection needs as much.
const SMALL: usize = 16 << 10;

/// The unit of permits, in bytes.
const UNIT: usize = 1 << 10;

/// How long an answer waits for memory, and how many may wait. Waiting answers are in memory, too.
const PATIENCE: Duration = Duration::from_secs(2);
const MOST_WAITING: usize = 4;

/// The part of the memory that is for short answers, and how many times as large it is as the longest of these.
const SHORT_PART: usize = 8;
const SHORT_ANSWERS: usize = 64;

/// Limits the memory of all answers that are being sent.
#[derive(Debug)]
pub(super) struct AnswerMemory {
    /// Short answers have memory of their own, so that unread long answers take none of it.
    short: Pool,
    long: Pool,
    /// The longest of the short answers, in bytes.
    longest_short: usize,
    /// The answers that are being sent, by the addresses of their texts, so that an answer for several clients is counted once.
    held: Arc<Mutex<HashMap<usize, Weak<CountedAnswer>>>>,
}

/// An answer that is being sent.
#[derive(Debug)]
struct CountedAnswer {
    text: Bytes,
    all: Arc<Mutex<HashMap<usize, Weak<CountedAnswer>>>>,
    _permit: OwnedSemaphorePermit,
}

/// Memory for answers.
#[derive(Debug)]
struct Pool {
    units: u32,
    left: Arc<Semaphore>,
    waiting: Semaphore,
}

/// There is no memory for another answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoMemory;

impl AnswerMemory {
    /// Limits the answers to this many bytes.
    pub(super) fn new(most: usize) -> AnswerMemory {
        let short = most / SHORT_PART;
        AnswerMemory {
            short: Pool::new(short),
            long: Pool::new(most - short),
            longest_short: short / SHORT_ANSWERS,
            held: Arc::default(),
        }
    }

    /// Returns the same text, which is counted until its last copy is dropped: when its last byte has been written. It
    /// may wait a little for memory.
    pub(super) async fn reserve(&self, text: &Bytes) -> Result<Bytes, NoMemory> {
        if text.len() <= SMALL {
            return Ok(text.clone());
        }
        if let Some(held) = all(&self.held).get(&address(text)).and_then(Weak::upgrade) {
            return Ok(Bytes::from_owner(Owner(held)));
        }
        let pool = if text.len() <= self.longest_short { &self.short } else { &self.long };
        let permit = pool.reserve(text.len()).await?;
        let held =
            Arc::new(CountedAnswer { text: text.clone(), all: Arc::clone(&self.held), _permit: permit });
        all(&self.held).insert(address(text), Arc::downgrade(&held));
        Ok(Bytes::from_owner(Owner(held)))
    }
}

impl Pool {
    fn new(bytes: usize) -> Pool {
        let units = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).max(1);
        Pool { units, left: Arc::new(Semaphore::new(units as usize)), waiting: Semaphore::new(MOST_WAITING) }
    }

    /// Takes memory for an answer. One that exceeds all of it takes all of it.
    async fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, NoMemory> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.units);
        if let Ok(permit) = Arc::clone(&self.left).try_acquire_many_owned(units) {
            return Ok(permit);
        }
        let _place = self.waiting.try_acquire().map_err(|_| NoMemory)?;
        let permit = timeout(PATIENCE, Arc::clone(&self.left).acquire_many_owned(units)).await;
        permit.map_err(|_| NoMemory)?.map_err(|_| NoMemory)
    }
}

struct Owner(Arc<CountedAnswer>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0.text
    }
}

impl Drop for CountedAnswer {
    fn drop(&mut self) {
        let mut all = all(&self.all);
        // Another request may have entered the same text at the same time. The entry then belongs to that request.
        if all.get(&address(&self.text)).is_some_and(|held| held.strong_count() == 0) {
            all.remove(&address(&self.text));
        }
    }
}

fn address(text: &Bytes) -> usize {
    text.as_ptr() as usize
}

fn all(
    held: &Mutex<HashMap<usize, Weak<CountedAnswer>>>,
) -> MutexGuard<'_, HashMap<usize, Weak<CountedAnswer>>> {
    // Each change is complete before anything can panic.
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Bytes {
        vec![b'x'; 100 << 10].into()
    }

    #[tokio::test(start_paused = true)]
    async fn answers_take_bounded_memory_and_one_that_many_ask_for_takes_it_once() {
        let answers = AnswerMemory::new(280 << 10);
        let (one, other) = (text(), text());
        let first = answers.reserve(&one).await.unwrap();
        let mut same = Vec::new();
        for _ in 0..100 {
            same.push(answers.reserve(&one.clone()).await.unwrap());
        }
        let second = answers.reserve(&other).await.unwrap();
        assert_eq!(answers.reserve(&text()).await.unwrap_err(), NoMemory);
        assert_eq!(answers.reserve(&Bytes::from_static(b"[]")).await.unwrap(), "[]");
        drop(first);
        assert_eq!(answers.reserve(&text()).await.unwrap_err(), NoMemory);
        drop(same);
        let third = answers.reserve(&text()).await.unwrap();
        drop((second, third));
        assert!(all(&answers.held).is_empty());
        assert_eq!(answers.long.left.available_permits(), 245);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_another_one_to_be_read_but_few_do() {
        let answers = AnswerMemory::new(120 << 10);
        let held = answers.reserve(&text()).await.unwrap();
        let texts: Vec<_> = (0..10).map(|_| text()).collect();
        let mut waiting: Vec<_> = texts.iter().map(|text| Box::pin(answers.reserve(text))).collect();
        let mut refused = 0;
        for reserve in &mut waiting {
            refused += usize::from(futures_util::poll!(reserve).is_ready());
        }
        assert_eq!(refused, 10 - MOST_WAITING);
        drop(held);
        assert_eq!(waiting.swap_remove(0).await.unwrap(), text());
    }

    #[tokio::test]
    async fn one_that_is_longer_than_all_may_be_is_sent_alone() {
        let answers = AnswerMemory::new(20 << 10);
        let held = answers.reserve(&text()).await.unwrap();
        assert_eq!(held, text());
        assert_eq!(answers.long.left.available_permits(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_answer_needs_no_memory_of_long_ones() {
        let answers = AnswerMemory::new(256 << 20);
        let long = |mib: usize| Bytes::from(vec![b'x'; mib << 20]);
        let (first, short) = (long(224), Bytes::from(vec![b'x'; 512 << 10]));
        let held = answers.reserve(&first).await.unwrap();
        assert_eq!(answers.reserve(&long(1)).await.unwrap_err(), NoMemory);
        assert_eq!(answers.reserve(&short).await.unwrap(), short);
        drop(held);
    }
}
