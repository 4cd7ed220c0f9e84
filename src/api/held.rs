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

/// Limits the memory of all answers that are being sent.
#[derive(Debug)]
pub(super) struct HeldAnswers {
    units: u32,
    left: Arc<Semaphore>,
    waiting: Semaphore,
    /// The answers that are being sent, by the addresses of their texts, so that an answer for several clients is counted once.
    held: Arc<Mutex<HashMap<usize, Weak<Held>>>>,
}

/// An answer that is being sent.
#[derive(Debug)]
struct Held {
    text: Bytes,
    all: Arc<Mutex<HashMap<usize, Weak<Held>>>>,
    _permit: OwnedSemaphorePermit,
}

/// There is no memory for another answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoMemory;

impl HeldAnswers {
    /// Limits the answers to this many bytes.
    pub(super) fn new(most: usize) -> HeldAnswers {
        let units = u32::try_from(most / UNIT).unwrap_or(u32::MAX).max(1);
        HeldAnswers {
            units,
            left: Arc::new(Semaphore::new(units as usize)),
            waiting: Semaphore::new(MOST_WAITING),
            held: Arc::default(),
        }
    }

    /// Returns the same text, which is counted until its last copy is dropped: when its last byte has been written. It
    /// may wait a little for memory.
    pub(super) async fn hold(&self, text: &Bytes) -> Result<Bytes, NoMemory> {
        if text.len() <= SMALL {
            return Ok(text.clone());
        }
        if let Some(held) = all(&self.held).get(&place(text)).and_then(Weak::upgrade) {
            return Ok(Bytes::from_owner(Owner(held)));
        }
        // An answer that exceeds the limit takes all of it.
        let units = u32::try_from(text.len().div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.units);
        let permit = match Arc::clone(&self.left).try_acquire_many_owned(units) {
            Ok(permit) => permit,
            Err(_) => {
                let _place = self.waiting.try_acquire().map_err(|_| NoMemory)?;
                let permit = timeout(PATIENCE, Arc::clone(&self.left).acquire_many_owned(units)).await;
                permit.map_err(|_| NoMemory)?.map_err(|_| NoMemory)?
            }
        };
        let held = Arc::new(Held { text: text.clone(), all: Arc::clone(&self.held), _permit: permit });
        all(&self.held).insert(place(text), Arc::downgrade(&held));
        Ok(Bytes::from_owner(Owner(held)))
    }
}

struct Owner(Arc<Held>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0.text
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut all = all(&self.all);
        // Another request may have entered the same text at the same time. The entry then belongs to that request.
        if all.get(&place(&self.text)).is_some_and(|held| held.strong_count() == 0) {
            all.remove(&place(&self.text));
        }
    }
}

fn place(text: &Bytes) -> usize {
    text.as_ptr() as usize
}

fn all(held: &Mutex<HashMap<usize, Weak<Held>>>) -> MutexGuard<'_, HashMap<usize, Weak<Held>>> {
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
        let answers = HeldAnswers::new(250 << 10);
        let (one, other) = (text(), text());
        let first = answers.hold(&one).await.unwrap();
        let mut same = Vec::new();
        for _ in 0..100 {
            same.push(answers.hold(&one.clone()).await.unwrap());
        }
        let second = answers.hold(&other).await.unwrap();
        assert_eq!(answers.hold(&text()).await.unwrap_err(), NoMemory);
        assert_eq!(answers.hold(&Bytes::from_static(b"[]")).await.unwrap(), "[]");
        drop(first);
        assert_eq!(answers.hold(&text()).await.unwrap_err(), NoMemory);
        drop(same);
        let third = answers.hold(&text()).await.unwrap();
        drop((second, third));
        assert!(all(&answers.held).is_empty());
        assert_eq!(answers.left.available_permits(), 250);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_another_one_to_be_read_but_few_do() {
        let answers = HeldAnswers::new(100 << 10);
        let held = answers.hold(&text()).await.unwrap();
        let texts: Vec<_> = (0..10).map(|_| text()).collect();
        let mut waiting: Vec<_> = texts.iter().map(|text| Box::pin(answers.hold(text))).collect();
        let mut refused = 0;
        for hold in &mut waiting {
            refused += usize::from(futures_util::poll!(hold).is_ready());
        }
        assert_eq!(refused, 10 - MOST_WAITING);
        drop(held);
        assert_eq!(waiting.swap_remove(0).await.unwrap(), text());
    }

    #[tokio::test]
    async fn one_that_is_longer_than_all_may_be_is_sent_alone() {
        let answers = HeldAnswers::new(20 << 10);
        let held = answers.hold(&text()).await.unwrap();
        assert_eq!(held, text());
        assert_eq!(answers.left.available_permits(), 0);
    }
}
