//! A TCP proxy before PostgreSQL that counts flights. It stands half a round trip away from both sides: what leaves
//! before an answer has come back is one flight.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::Instant,
};

const HALF_TRIP: Duration = Duration::from_millis(20);

pub struct Proxy {
    pub port: u16,
    flights: Arc<Flights>,
    stalled: Arc<AtomicUsize>,
    opened: Arc<AtomicUsize>,
    failing: Arc<AtomicBool>,
}

/// Numbered from 1. A flight is over once something has come back that the server said after the flight had reached it.
#[derive(Default)]
struct Flights {
    under_way: AtomicUsize,
    left: AtomicUsize,
    arrived: AtomicUsize,
    answered: AtomicUsize,
}

impl Flights {
    fn leaves(&self) -> usize {
        let answered = self.answered.load(SeqCst);
        self.left.fetch_max(answered + 1, SeqCst).max(answered + 1)
    }
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
        let failing = Arc::<AtomicBool>::default();
        let (shared, stalls, opens, fails) =
            (flights.clone(), stalled.clone(), opened.clone(), failing.clone());
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
                    failing: fails.clone(),
                    flights: shared.clone(),
                };
                tokio::spawn(relay(from_app, to_database, way(Direction::Question)));
                tokio::spawn(relay(from_database, to_app, way(Direction::Answer)));
            }
        });
        Self { port, flights, stalled, opened, failing }
    }

    /// From now on nothing passes on the connections there are, which stay open; new ones are as good as ever.
    pub fn stall(&self) {
        self.stalled.store(self.opened.load(SeqCst), SeqCst);
    }

    /// The next `BEGIN` that comes prepared fails, and what follows it comes as a flight of its own.
    pub fn fail_begin(&self) {
        self.failing.store(true, SeqCst);
    }

    /// How many flights have been answered.
    pub fn answered(&self) -> usize {
        self.flights.answered.load(SeqCst)
    }

    /// Waits until every question has its answer.
    pub async fn quiet(&self) {
        let Flights { under_way, left, answered, .. } = &*self.flights;
        super::until(|| under_way.load(SeqCst) == 0 && left.load(SeqCst) == answered.load(SeqCst)).await;
    }
}

struct Way {
    direction: Direction,
    distance: Duration,
    /// Which connection it belongs to.
    number: usize,
    stalled: Arc<AtomicUsize>,
    failing: Arc<AtomicBool>,
    flights: Arc<Flights>,
}

/// A flight whose first statement, Bind and Execute, has another's name and a Sync behind it.
fn with_a_failing_begin(flight: &[u8]) -> Vec<u8> {
    let end = |at: usize| {
        at + 1 + u32::from_be_bytes(flight[at + 1..at + 5].try_into().unwrap()) as usize // a type, and a length
    };
    let behind = end(end(0));
    let mut changed = flight[..behind].to_vec();
    changed[6] = b'?'; // the name stands behind that of the portal, which has none
    changed.extend(*b"S\0\0\0\x04");
    changed.extend(&flight[behind..]);
    changed
}

/// Passes on what comes, each piece after the time that the distance takes.
async fn relay(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way) {
    let Way { direction, distance, number, stalled, failing, flights } = way;
    let (sender, mut on_the_way) = mpsc::unbounded_channel::<(Instant, usize, Vec<u8>)>();
    let shared = flights.clone();
    tokio::spawn(async move {
        while let Some((due, flight, bytes)) = on_the_way.recv().await {
            tokio::time::sleep_until(due).await;
            match direction {
                Direction::Question => shared.arrived.fetch_max(flight, SeqCst),
                Direction::Answer => shared.answered.fetch_max(flight, SeqCst),
            };
            let sent = to.write_all(&bytes).await;
            shared.under_way.fetch_sub(1, SeqCst);
            if sent.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if number <= stalled.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        flights.under_way.fetch_add(1, SeqCst);
        let flight = match direction {
            Direction::Question => flights.leaves(),
            Direction::Answer => flights.arrived.load(SeqCst),
        };
        let mut bytes = buffer[..n].to_vec();
        if matches!(direction, Direction::Question) && bytes[0] == b'B' && failing.swap(false, SeqCst) {
            bytes = with_a_failing_begin(&bytes);
        }
        if sender.send((Instant::now() + distance, flight, bytes)).is_err() {
            return;
        }
    }
}
