//! Who takes the webhooks: keeps all that comes, says no to some of it, and leaves some without an answer.
use super::{checker::Delivery, dice::Dice};
use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, Uri},
};
use std::sync::{Arc, Mutex};
use tenantry::uuid::Uuid;
use tokio::{net::TcpListener, task::JoinHandle};

pub struct Receiver {
    pub port: u16,
    seen: Arc<Mutex<Vec<Delivery>>>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub async fn start(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (kept, dice) = (seen.clone(), Arc::new(Mutex::new(Dice::new(seed))));
        let take = async move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let luck = dice.lock().unwrap().below(100);
            let taken = luck >= 10;
            let id = headers["webhook-id"].to_str().unwrap().to_owned();
            let tenant: Uuid = uri.path().trim_start_matches('/').parse().unwrap();
            kept.lock().unwrap().push(Delivery { tenant, id, body, taken });
            match luck {
                0..2 => std::future::pending().await,
                2..10 => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::NO_CONTENT,
            }
        };
        let router = Router::new().fallback(take);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, seen, task }
    }

    /// How much has come.
    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// All that has come.
    pub fn seen(&self) -> Vec<Delivery> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}
