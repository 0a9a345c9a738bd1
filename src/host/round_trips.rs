//! How often somebody waited for a host's answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ByteStream;
use crate::https::Meter;

/// A write of fewer bytes than this asks for nothing: acknowledgements of HTTP/2 inside TLS 1.3 have 31 to 39.
const LEAST_QUESTION_BYTES: usize = 48;

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
    /// The longest chain in which each waited for the one before. An upper bound where channels are concerned: a
    /// channel is taken to depend on everything that was answered before it was asked for. A stream that is used
    /// again goes on counting from where it was.
    pub longest_chain: usize,
}

impl RoundTrips {
    /// The place in the chain of something that may depend on all answers so far.
    pub fn now(&self) -> usize {
        self.longest.load(Ordering::Relaxed)
    }

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

/// The place in the chain that the users of one stream have reached together.
#[derive(Debug)]
struct Chain {
    trips: Arc<RoundTrips>,
    place: AtomicUsize,
}

impl Meter for Chain {
    fn asked(&self) -> usize {
        self.place.load(Ordering::Relaxed)
    }

    fn answered(&self, place: usize) {
        self.place.fetch_max(self.trips.answered(place), Ordering::Relaxed);
    }
}

/// A stream that counts each change from writing to reading as one round trip.
pub(super) struct CountedStream<S> {
    inner: S,
    trips: Arc<RoundTrips>,
    place: usize,
    unanswered: usize,
    handed_over: bool,
}

impl<S> CountedStream<S> {
    /// A stream whose opening was answered at `place`.
    pub fn new(inner: S, trips: Arc<RoundTrips>, place: usize) -> Self {
        Self { inner, trips, place, unanswered: 0, handed_over: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedStream<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let result = Pin::new(&mut this.inner).poll_read(context, buffer);
        if result.is_ready() && buffer.filled().len() > before {
            if this.unanswered >= LEAST_QUESTION_BYTES && !this.handed_over {
                this.place = this.trips.answered(this.place);
            }
            this.unanswered = 0;
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = result {
            this.unanswered += written;
        }
        result
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> ByteStream for CountedStream<S> {
    fn meter(self: Pin<&mut Self>) -> Option<Arc<dyn Meter>> {
        let this = self.get_mut();
        this.handed_over = true;
        Some(Arc::new(Chain { trips: Arc::clone(&this.trips), place: AtomicUsize::new(this.place) }))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    fn exchange(stream: &mut CountedStream<DuplexStream>, server: &mut DuplexStream, bytes: usize) {
        let mut buffer = [0; 256];
        stream.write_all(&vec![0; bytes]).now_or_never().unwrap().unwrap();
        server.write_all(b"answer").now_or_never().unwrap().unwrap();
        stream.read(&mut buffer).now_or_never().unwrap().unwrap();
    }

    #[test]
    fn questions_on_one_stream_make_a_chain_and_acknowledgements_do_not() {
        let trips = Arc::new(RoundTrips::default());
        let (client, mut server) = duplex(4096);
        let mut stream = CountedStream::new(client, Arc::clone(&trips), trips.answered(0));
        exchange(&mut stream, &mut server, 100);
        exchange(&mut stream, &mut server, 31);
        exchange(&mut stream, &mut server, 100);
        assert_eq!(trips.count(), RoundTripCount { total: 3, longest_chain: 3 });
    }

    #[test]
    fn requests_that_are_under_way_together_are_one_link_of_the_chain() {
        let trips = Arc::new(RoundTrips::default());
        let (client, _server) = duplex(4096);
        let mut stream = CountedStream::new(client, Arc::clone(&trips), trips.answered(0));
        let meter = Pin::new(&mut stream).meter().unwrap();
        meter.answered(meter.asked());
        let together = [meter.asked(), meter.asked()];
        together.into_iter().for_each(|place| meter.answered(place));
        assert_eq!(trips.count(), RoundTripCount { total: 4, longest_chain: 3 });
        meter.answered(meter.asked());
        assert_eq!(trips.count(), RoundTripCount { total: 5, longest_chain: 4 });
    }

    #[test]
    fn streams_side_by_side_do_not_lengthen_the_chain() {
        let trips = Arc::new(RoundTrips::default());
        let started = trips.now();
        for _ in 0..5 {
            let (client, mut server) = duplex(4096);
            let mut stream = CountedStream::new(client, Arc::clone(&trips), trips.answered(started));
            exchange(&mut stream, &mut server, 100);
        }
        assert_eq!(trips.count(), RoundTripCount { total: 10, longest_chain: 2 });
    }
}
