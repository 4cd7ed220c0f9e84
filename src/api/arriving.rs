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
static BODIES: Arriving = Arriving::new(MOST);

/// Why a body could not be received.
#[derive(Debug)]
pub(super) enum NoBody {
    /// The body is longer than allowed.
    TooLong,
    /// Its memory was needed for newer bodies.
    Displaced,
    /// The client went away, or broke the framing of its body.
    Broken(axum::Error),
}

/// Receives the complete body, of at most `longest` bytes.
pub(super) async fn receive(body: Body, longest: usize) -> Result<Vec<u8>, NoBody> {
    BODIES.receive(body, longest).await
}

#[derive(Debug)]
struct Arriving {
    most: usize,
    all: Mutex<All>,
}

/// The bodies that are being received, the oldest first.
#[derive(Debug)]
struct All {
    bytes: usize,
    next: u64,
    bodies: BTreeMap<u64, Counted>,
}

#[derive(Debug)]
struct Counted {
    bytes: usize,
    /// Dropped when newer bodies need the memory, which ends the body.
    _may_stay: oneshot::Sender<()>,
}

/// A counted body. When this is dropped, its memory is no longer counted.
#[derive(Debug)]
struct Place<'a> {
    arriving: &'a Arriving,
    id: u64,
    may_stay: oneshot::Receiver<()>,
}

impl Arriving {
    const fn new(most: usize) -> Arriving {
        Arriving { most, all: Mutex::new(All { bytes: 0, next: 0, bodies: BTreeMap::new() }) }
    }

    /// Receives a body. Bodies give way to newer ones in the order in which they became large, so that slow senders
    /// block nobody.
    async fn receive(&self, mut body: Body, longest: usize) -> Result<Vec<u8>, NoBody> {
        let (mut received, mut place) = (Vec::new(), None);
        while let Some(frame) = next_frame(&mut body, place.as_mut()).await? {
            let Ok(data) = frame.into_data() else { continue };
            let length = received.len() + data.len();
            if length > longest {
                return Err(NoBody::TooLong);
            }
            if length > received.capacity() {
                // The buffer does not grow to twice the length of the longest body.
                let capacity = length.max((2 * received.capacity()).min(longest));
                if capacity > SMALL {
                    place.get_or_insert_with(|| self.enter()).take(capacity)?;
                }
                received.reserve_exact(capacity - received.len());
            }
            received.extend_from_slice(&data);
        }
        Ok(received)
    }

    fn enter(&self) -> Place<'_> {
        let (sender, may_stay) = oneshot::channel();
        let mut all = self.all();
        let id = all.next;
        all.next += 1;
        all.bodies.insert(id, Counted { bytes: 0, _may_stay: sender });
        Place { arriving: self, id, may_stay }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        // Each change is complete before anything can panic.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn next_frame(
    body: &mut Body,
    place: Option<&mut Place<'_>>,
) -> Result<Option<http_body::Frame<bytes::Bytes>>, NoBody> {
    let frame = match place {
        Some(place) => tokio::select! {
            _ = &mut place.may_stay => return Err(NoBody::Displaced),
            frame = body.frame() => frame,
        },
        None => body.frame().await,
    };
    frame.transpose().map_err(NoBody::Broken)
}

impl Place<'_> {
    /// Sets the total number of bytes that the body occupies.
    fn take(&mut self, bytes: usize) -> Result<(), NoBody> {
        let mut all = self.arriving.all();
        let Some(counted) = all.bodies.get_mut(&self.id) else { return Err(NoBody::Displaced) };
        let before = std::mem::replace(&mut counted.bytes, bytes);
        all.bytes += bytes - before;
        while all.bytes > self.arriving.most {
            let Some((id, oldest)) = all.bodies.pop_first() else { break };
            all.bytes -= oldest.bytes;
            if id == self.id {
                return Err(NoBody::Displaced);
            }
        }
        Ok(())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut all = self.arriving.all();
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

    type Receiving<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, NoBody>> + 'a>>;

    /// Returns a body that sends this many bytes in small parts and then never ends.
    fn unfinished(arriving: &Arriving, bytes: usize) -> Receiving<'_> {
        let parts = stream::iter((0..bytes / 1024).map(|_| Ok::<_, BoxError>(Bytes::from(vec![b'x'; 1024]))));
        Box::pin(arriving.receive(Body::from_stream(parts.chain(stream::pending())), LONGEST))
    }

    fn whole(bytes: usize) -> Body {
        Body::from(vec![b'x'; bytes])
    }

    #[tokio::test]
    async fn the_oldest_bodies_make_room_for_others() {
        let arriving = Arriving::new(200 << 10);
        let mut slow: Vec<_> = (0..3).map(|_| unfinished(&arriving, 64 << 10)).collect();
        for body in &mut slow {
            assert!(futures_util::poll!(body).is_pending());
        }
        assert!(arriving.all().bytes <= 200 << 10);
        // Small bodies are not counted.
        assert_eq!(arriving.receive(whole(SMALL), LONGEST).await.unwrap().len(), SMALL);
        assert_eq!(arriving.all().bodies.len(), 3);
        assert_eq!(arriving.receive(whole(LONGEST), LONGEST).await.unwrap().len(), LONGEST);
        let mut ends = Vec::new();
        for body in &mut slow {
            ends.push(futures_util::poll!(body).is_ready());
        }
        assert_eq!(ends, [true, true, false]);
        drop(slow);
        let all = arriving.all();
        assert_eq!((all.bytes, all.bodies.len()), (0, 0));
    }

    #[tokio::test]
    async fn a_body_has_a_longest_form_and_an_honest_end() {
        let arriving = Arriving::new(200 << 10);
        let too_long = arriving.receive(whole(LONGEST + 1), LONGEST).await;
        assert!(matches!(too_long, Err(NoBody::TooLong)), "{too_long:?}");
        let broken = Body::from_stream(stream::iter([Ok(Bytes::from_static(b"x")), Err("lost")]));
        let broken = arriving.receive(broken, LONGEST).await;
        assert!(matches!(broken, Err(NoBody::Broken(_))), "{broken:?}");
        assert_eq!(arriving.all().bytes, 0);
    }
}
