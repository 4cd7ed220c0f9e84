// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Bounds the memory of request bodies that are being received: a slow client keeps its body in memory here.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use http_body_util::BodyExt;
use tokio::sync::oneshot;

/// Bodies up to this many bytes are not counted, because a connection needs as much.
const SMALL: usize = 16 << 10;

/// The most memory of all bodies that are being received.
const MOST: usize = 64 << 20;

/// The bodies of this process.
static BODIES: BodyMemory = BodyMemory::new(MOST);

/// Why a body could not be received.
#[derive(Debug)]
pub(super) enum ReceiveBodyError {
    /// The body is longer than allowed.
    TooLong,
    /// Its memory was needed for newer bodies.
    Displaced,
    /// The client went away, or broke the framing of its body.
    Broken(axum::Error),
}

/// Receives the complete body, of at most `longest` bytes.
pub(super) async fn receive(body: Body, longest: usize) -> Result<Vec<u8>, ReceiveBodyError> {
    BODIES.receive(body, longest).await
}

#[derive(Debug)]
struct BodyMemory {
    most: usize,
    all: Mutex<CountedBodies>,
}

/// The bodies that are being received, the oldest first.
#[derive(Debug)]
struct CountedBodies {
    bytes: usize,
    next: u64,
    bodies: BTreeMap<u64, CountedBody>,
}

#[derive(Debug)]
struct CountedBody {
    bytes: usize,
    /// Dropped when newer bodies need the memory, which ends the body.
    _may_stay: oneshot::Sender<()>,
}

/// A counted body. When this is dropped, its memory is no longer counted.
#[derive(Debug)]
struct Reservation<'a> {
    memory: &'a BodyMemory,
    id: u64,
    may_stay: oneshot::Receiver<()>,
}

impl BodyMemory {
    const fn new(most: usize) -> BodyMemory {
        BodyMemory { most, all: Mutex::new(CountedBodies { bytes: 0, next: 0, bodies: BTreeMap::new() }) }
    }

    /// Receives a body. Bodies give way to newer ones in the order in which they became large, so that slow senders
    /// block nobody.
    async fn receive(&self, mut body: Body, longest: usize) -> Result<Vec<u8>, ReceiveBodyError> {
        let (mut received, mut reservation) = (Vec::new(), None);
        while let Some(frame) = next_frame(&mut body, reservation.as_mut()).await? {
            let Ok(data) = frame.into_data() else { continue };
            let length = received.len() + data.len();
            if length > longest {
                return Err(ReceiveBodyError::TooLong);
            }
            if length > received.capacity() {
                // The buffer does not grow to twice the length of the longest body.
                let capacity = length.max((2 * received.capacity()).min(longest));
                if capacity > SMALL {
                    reservation.get_or_insert_with(|| self.register()).resize(capacity)?;
                }
                received.reserve_exact(capacity - received.len());
            }
            received.extend_from_slice(&data);
        }
        Ok(received)
    }

    fn register(&self) -> Reservation<'_> {
        let (sender, may_stay) = oneshot::channel();
        let mut all = self.all();
        let id = all.next;
        all.next += 1;
        all.bodies.insert(id, CountedBody { bytes: 0, _may_stay: sender });
        Reservation { memory: self, id, may_stay }
    }

    fn all(&self) -> MutexGuard<'_, CountedBodies> {
        // Each change is complete before anything can panic.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn next_frame(
    body: &mut Body,
    reservation: Option<&mut Reservation<'_>>,
) -> Result<Option<http_body::Frame<bytes::Bytes>>, ReceiveBodyError> {
    let frame = match reservation {
        Some(reservation) => tokio::select! {
            _ = &mut reservation.may_stay => return Err(ReceiveBodyError::Displaced),
            frame = body.frame() => frame,
        },
        None => body.frame().await,
    };
    frame.transpose().map_err(ReceiveBodyError::Broken)
}

impl Reservation<'_> {
    /// Sets the total number of bytes that the body occupies.
    fn resize(&mut self, bytes: usize) -> Result<(), ReceiveBodyError> {
        let mut all = self.memory.all();
        let Some(counted) = all.bodies.get_mut(&self.id) else { return Err(ReceiveBodyError::Displaced) };
        let before = std::mem::replace(&mut counted.bytes, bytes);
        all.bytes += bytes - before;
        while all.bytes > self.memory.most {
            let Some((id, oldest)) = all.bodies.pop_first() else { break };
            all.bytes -= oldest.bytes;
            if id == self.id {
                return Err(ReceiveBodyError::Displaced);
            }
        }
        Ok(())
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut all = self.memory.all();
        if let Some(counted) = all.bodies.remove(&self.id) {
            all.bytes -= counted.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use axum::BoxError;
    use bytes::Bytes;
    use futures_util::stream::{self, StreamExt};

    use super::*;

    const LONGEST: usize = 100 << 10;

    type Receiving<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, ReceiveBodyError>> + 'a>>;

    /// Returns a body that sends this many bytes in small parts and then never ends.
    fn unfinished(memory: &BodyMemory, bytes: usize) -> Receiving<'_> {
        let parts = stream::iter((0..bytes / 1024).map(|_| Ok::<_, BoxError>(Bytes::from(vec![b'x'; 1024]))));
        Box::pin(memory.receive(Body::from_stream(parts.chain(stream::pending())), LONGEST))
    }

    fn whole(bytes: usize) -> Body {
        Body::from(vec![b'x'; bytes])
    }

    #[tokio::test]
    async fn the_oldest_bodies_make_room_for_others() {
        let memory = BodyMemory::new(200 << 10);
        let mut slow: Vec<_> = (0..3).map(|_| unfinished(&memory, 64 << 10)).collect();
        for body in &mut slow {
            assert!(futures_util::poll!(body).is_pending());
        }
        assert!(memory.all().bytes <= 200 << 10);
        // Small bodies are not counted.
        assert_eq!(memory.receive(whole(SMALL), LONGEST).await.unwrap().len(), SMALL);
        assert_eq!(memory.all().bodies.len(), 3);
        assert_eq!(memory.receive(whole(LONGEST), LONGEST).await.unwrap().len(), LONGEST);
        let mut ends = Vec::new();
        for body in &mut slow {
            ends.push(futures_util::poll!(body).is_ready());
        }
        assert_eq!(ends, [true, true, false]);
        drop(slow);
        let all = memory.all();
        assert_eq!((all.bytes, all.bodies.len()), (0, 0));
    }

    #[tokio::test]
    async fn a_body_has_a_longest_form_and_an_honest_end() {
        let memory = BodyMemory::new(200 << 10);
        let too_long = memory.receive(whole(LONGEST + 1), LONGEST).await;
        assert!(matches!(too_long, Err(ReceiveBodyError::TooLong)), "{too_long:?}");
        let broken = Body::from_stream(stream::iter([Ok(Bytes::from_static(b"x")), Err("lost")]));
        let broken = memory.receive(broken, LONGEST).await;
        assert!(matches!(broken, Err(ReceiveBodyError::Broken(_))), "{broken:?}");
        assert_eq!(memory.all().bytes, 0);
    }
}
