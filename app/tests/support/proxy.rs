//! A TCP proxy before PostgreSQL that counts flights. It stands half a round trip away from both sides: what leaves
//! before an answer has come back is one flight.
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

const HALF_TRIP: Duration = Duration::from_millis(20);

pub struct Proxy {
    pub port: u16,
    flights: Arc<Flights>,
    stalled: Arc<AtomicUsize>,
    opened: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Flights {
    answered: AtomicUsize,
    under_way: AtomicUsize,
    /// Whether the last that passed was a question.
    asking: Mutex<bool>,
}

#[derive(Clone, Copy)]
enum Direction {
    Question,
    Answer,
}

impl Proxy {
    /// In front of the throw-away server.
    pub async fn start() -> Self {
        Self::at(HALF_TRIP).await
    }

    /// The same, so far away from both sides.
    pub async fn at(distance: Duration) -> Self {
        let server: tokio_postgres::Config = super::database::server_url().parse().unwrap();
        let target = server.get_ports()[0];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let flights = Arc::new(Flights::default());
        let (stalled, opened) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (shared, stalls, opens) = (flights.clone(), stalled.clone(), opened.clone());
        tokio::spawn(async move {
            while let Ok((app, _)) = listener.accept().await {
                let number = opens.fetch_add(1, SeqCst) + 1;
                let database = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                app.set_nodelay(true).unwrap();
                database.set_nodelay(true).unwrap();
                let ((from_app, to_app), (from_database, to_database)) =
                    (app.into_split(), database.into_split());
                let way = |direction| Way {
                    direction,
                    distance,
                    number,
                    stalled: stalls.clone(),
                    flights: shared.clone(),
                };
                tokio::spawn(relay(from_app, to_database, way(Direction::Question)));
                tokio::spawn(relay(from_database, to_app, way(Direction::Answer)));
            }
        });
        Self { port, flights, stalled, opened }
    }

    /// From now on nothing passes on the connections there are, which stay open; new ones are as good as ever.
    pub fn stall(&self) {
        self.stalled.store(self.opened.load(SeqCst), SeqCst);
    }

    /// How many flights have been answered.
    pub fn answered(&self) -> usize {
        self.flights.answered.load(SeqCst)
    }

    /// Waits until every question has its answer.
    pub async fn quiet(&self) {
        let Flights { under_way, asking, .. } = &*self.flights;
        super::until(|| under_way.load(SeqCst) == 0 && !*asking.lock().unwrap()).await;
    }
}

struct Way {
    direction: Direction,
    distance: Duration,
    /// Which connection it belongs to.
    number: usize,
    stalled: Arc<AtomicUsize>,
    flights: Arc<Flights>,
}

async fn relay(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way) {
    let Way { direction, distance, number, stalled, flights } = way;
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if number <= stalled.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        flights.under_way.fetch_add(1, SeqCst);
        if matches!(direction, Direction::Question) {
            *flights.asking.lock().unwrap() = true;
        }
        tokio::time::sleep(distance).await; // the distance
        if matches!(direction, Direction::Answer) && std::mem::take(&mut *flights.asking.lock().unwrap()) {
            flights.answered.fetch_add(1, SeqCst);
        }
        let sent = to.write_all(&buffer[..n]).await;
        flights.under_way.fetch_sub(1, SeqCst);
        if sent.is_err() {
            return;
        }
    }
}
