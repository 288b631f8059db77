//! How many requests are worked on at a time. Beyond that the answer is a 503 at once: whoever would wait until the
//! database has time for them had better come again. A request that waits for its own body does not count, so that slow
//! clients cannot keep others out; how many of those there can be is the number of connections.
use crate::error::Error;
use ::metrics::Counter;
use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    response::{IntoResponse, Response},
};
use hyper::body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

/// Counts requests that are worked on.
#[derive(Clone)]
pub struct Admission(Arc<Counts>);

struct Counts {
    most: usize,
    in_flight: AtomicUsize,
    shed: Counter,
}

impl Admission {
    /// At most so many at a time.
    pub fn new(most: usize) -> Self {
        let shed = ::metrics::counter!("tenantry_http_requests_shed_total");
        Self(Arc::new(Counts { most, in_flight: AtomicUsize::new(0), shed }))
    }

    /// How many there are now.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight.load(Relaxed)
    }

    fn enter(&self) -> Option<Place> {
        let one_more = |now| (now < self.0.most).then_some(now + 1);
        if self.0.in_flight.fetch_update(Relaxed, Relaxed, one_more).is_err() {
            self.0.shed.increment(1);
            return None;
        }
        Some(Place { admission: self.clone(), counted: AtomicBool::new(true) })
    }

    /// Has the request answered, if there is room for it. What concerns the service itself, such as its health, is
    /// answered whatever goes on.
    pub(super) async fn admit<F: Future<Output = Response>>(
        self,
        request: Request,
        answer: impl FnOnce(Request) -> F,
    ) -> Response {
        if !request.uri().path().starts_with(super::routes::BASE) {
            return answer(request).await;
        }
        let Some(place) = self.enter() else {
            return Error::unavailable("too many requests are in flight").into_response();
        };
        if request.body().is_end_stream() {
            return answer(request).await;
        }
        let place = Arc::new(place);
        let request = request.map(|body| Body::new(Awaited { body, place: place.clone() }));
        answer(request).await
    }
}

/// A request that is worked on, or waits for its body.
struct Place {
    admission: Admission,
    counted: AtomicBool,
}

impl Place {
    fn waits(&self) {
        if self.counted.swap(false, Relaxed) {
            self.admission.0.in_flight.fetch_sub(1, Relaxed);
        }
    }

    /// Without asking again: it was let in.
    fn goes_on(&self) {
        if !self.counted.swap(true, Relaxed) {
            self.admission.0.in_flight.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waits();
    }
}

/// The body of a request.
struct Awaited {
    body: Body,
    place: Arc<Place>,
}

impl HttpBody for Awaited {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Pending => self.place.waits(),
            Poll::Ready(_) => self.place.goes_on(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
