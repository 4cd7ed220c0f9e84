// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A cache of the answers of the account directory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::manifest::Uuid;

/// How long an account is remembered as missing. It is short, because the account may be about to be created.
const ABSENT: Duration = Duration::from_secs(1);
/// The most accounts that are remembered.
const MOST: usize = 10_000;

/// Remembers whether accounts exist.
#[derive(Debug)]
pub(super) struct AccountCache {
    /// How long an account is remembered as existing.
    present: Duration,
    answers: Mutex<HashMap<Uuid, (bool, Instant)>>,
}

impl AccountCache {
    pub(super) fn new(present: Duration) -> AccountCache {
        AccountCache { present, answers: Mutex::default() }
    }

    /// Returns the remembered answer, if it is not too old at `now`.
    pub(super) fn get(&self, account: Uuid, now: Instant) -> Option<bool> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.get(&account)?;
        self.is_recent(*answer, now).then_some(answer.0)
    }

    /// Remembers an answer received at `now`.
    pub(super) fn put(&self, account: Uuid, is_there: bool, now: Instant) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MOST {
            answers.retain(|_, answer| self.is_recent(*answer, now));
        }
        // Real accounts are never this many at a time.
        if answers.len() >= MOST {
            answers.clear();
        }
        answers.insert(account, (is_there, now));
    }

    fn is_recent(&self, (is_there, at): (bool, Instant), now: Instant) -> bool {
        let limit = if is_there { self.present } else { ABSENT.min(self.present) };
        now.saturating_duration_since(at) < limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_remembered_for_its_time() {
        let (account_cache, account, began) =
            (AccountCache::new(Duration::from_secs(300)), Uuid::new_v4(), Instant::now());
        let after = |seconds| account_cache.get(account, began + Duration::from_secs(seconds));
        assert_eq!(after(0), None);
        account_cache.put(account, false, began);
        assert_eq!((after(0), after(1)), (Some(false), None));
        account_cache.put(account, true, began);
        assert_eq!((after(299), after(300)), (Some(true), None));
        let never = AccountCache::new(Duration::ZERO);
        never.put(account, true, began);
        never.put(Uuid::NIL, false, began);
        assert_eq!((never.get(account, began), never.get(Uuid::NIL, began)), (None, None));
    }

    #[test]
    fn the_number_of_answers_is_bounded() {
        let (account_cache, began) = (AccountCache::new(Duration::from_secs(300)), Instant::now());
        for _ in 0..=MOST {
            account_cache.put(Uuid::new_v4(), false, began);
        }
        assert!(account_cache.answers.lock().unwrap().len() <= MOST);
        let account = Uuid::new_v4();
        account_cache.put(account, true, began);
        for _ in 0..MOST {
            account_cache.put(Uuid::new_v4(), false, began + ABSENT);
        }
        assert!(account_cache.answers.lock().unwrap().len() <= MOST);
    }
}
