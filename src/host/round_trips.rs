//! How often somebody waited for a host's answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ByteStream;
use crate::https::Meter;

/// Where a chain begins: after SSH's own handshake and login.
pub(super) const AFTER_LOGIN: usize = 0;

/// Counts on one connection. A round trip is one request that waits for its answer: opening a channel, a command, a
/// TLS handshake, a request of a protocol inside a stream.
#[derive(Debug, Default)]
pub(super) struct RoundTrips {
    total: AtomicUsize,
    longest: AtomicUsize,
}

/// Round trips so far, SSH's own handshake and login not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoundTripCount {
    /// All of them.
    pub total: usize,
    /// The longest chain in which each waited for the one before. A channel waits for the login alone, and what is asked
    /// over it for its opening and for what the asker says: a second server asked because a first one failed begins anew.
    pub longest_chain: usize,
}

impl RoundTrips {
    /// An answer has come to what was asked at `place`; gives the place of what is asked because of it.
    pub fn answered(&self, place: usize) -> usize {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.longest.fetch_max(place + 1, Ordering::Relaxed);
        place + 1
    }

    pub fn count(&self) -> RoundTripCount {
        let total = self.total.load(Ordering::Relaxed);
        RoundTripCount { total, longest_chain: self.longest.load(Ordering::Relaxed) }
    }
}

/// The count of one stream.
#[derive(Debug)]
struct StreamMeter {
    trips: Arc<RoundTrips>,
    opened: usize,
}

impl Meter for StreamMeter {
    fn opened(&self) -> usize {
        self.opened
    }

    fn answered(&self, place: usize) -> usize {
        self.trips.answered(place)
    }
}

/// A stream that knows where its users count.
pub(super) struct CountedStream<S> {
    inner: S,
    meter: Arc<StreamMeter>,
}

impl<S> CountedStream<S> {
    /// A stream that was open at a place.
    pub fn new(inner: S, trips: Arc<RoundTrips>, opened: usize) -> Self {
        Self { inner, meter: Arc::new(StreamMeter { trips, opened }) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedStream<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> ByteStream for CountedStream<S> {
    fn meter(&self) -> Option<Arc<dyn Meter>> {
        Some(Arc::clone(&self.meter) as Arc<dyn Meter>)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    fn stream(trips: &Arc<RoundTrips>) -> Arc<dyn Meter> {
        let stream = CountedStream::new(duplex(1).0, Arc::clone(trips), trips.answered(AFTER_LOGIN));
        stream.meter().unwrap()
    }

    #[test]
    fn questions_that_wait_for_each_other_make_a_chain() {
        let trips = Arc::new(RoundTrips::default());
        let meter = stream(&trips);
        let place = meter.answered(meter.opened());
        meter.answered(place);
        assert_eq!(trips.count(), RoundTripCount { total: 3, longest_chain: 3 });
    }

    #[test]
    fn questions_asked_together_are_one_link_however_late_their_answers_come() {
        let trips = Arc::new(RoundTrips::default());
        let meter = stream(&trips);
        for _ in 0..5 {
            meter.answered(meter.opened());
        }
        assert_eq!(trips.count(), RoundTripCount { total: 6, longest_chain: 2 });
    }

    #[test]
    fn streams_side_by_side_do_not_lengthen_the_chain() {
        let trips = Arc::new(RoundTrips::default());
        for _ in 0..5 {
            let meter = stream(&trips);
            meter.answered(meter.opened());
        }
        assert_eq!(trips.count(), RoundTripCount { total: 10, longest_chain: 2 });
    }
}
