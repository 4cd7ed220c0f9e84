// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Dates and signatures of requests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, Version, header};
use http_signature::{Head, Signer};

use crate::error::Error;

/// Signs the date of requests. Manta requires no more, so all requests of one second share a signature.
#[derive(Debug, Clone)]
pub(super) struct Signing {
    signer: Arc<Signer>,
    last: Arc<Mutex<Option<Signed>>>,
}

#[derive(Debug, Clone)]
struct Signed {
    second: u64,
    date: HeaderValue,
    authorization: HeaderValue,
}

impl Signing {
    pub(super) fn new(signer: Signer) -> Signing {
        Signing { signer: Arc::new(signer), last: Arc::default() }
    }

    /// Adds `date` and `authorization`. It signs on a blocking thread, because a long RSA key takes milliseconds.
    pub(super) async fn sign(&self, headers: &mut HeaderMap) -> Result<(), Error> {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let signed = match last {
            Some(last) if last.second == second => last,
            _ => {
                let signer = Arc::clone(&self.signer);
                let signed = tokio::task::spawn_blocking(move || sign(&signer, now, second)).await??;
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(signed.clone());
                signed
            }
        };
        headers.insert(header::DATE, signed.date);
        headers.insert(header::AUTHORIZATION, signed.authorization);
        Ok(())
    }
}

fn sign(signer: &Signer, now: SystemTime, second: u64) -> Result<Signed, Error> {
    let date = HeaderValue::try_from(httpdate::fmt_http_date(now)).map_err(|_| Error::Unprintable("date"))?;
    let headers = HeaderMap::from_iter([(header::DATE, date.clone())]);
    let head = Head { method: "", target: "", version: Version::HTTP_11, headers: &headers };
    let mut authorization = signer.sign(&head, &["date"]).map_err(|error| Error::Sign(error.to_string()))?;
    authorization.set_sensitive(true);
    Ok(Signed { second, date, authorization })
}
