//! Redis: the throw-away one that all tests share, and one of a test's own, which it may stop and pause.
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tenantry::uuid::Uuid;

/// The shared one. Whoever counts in it counts what is theirs alone.
pub fn shared_url() -> String {
    std::env::var("TENANTRY_TEST_REDIS_URL").expect("TENANTRY_TEST_REDIS_URL: scripts/test sets it")
}

/// A server on a free port, ended with this value.
pub struct OwnRedis {
    port: u16,
    folder: PathBuf,
    server: Option<Child>,
}

impl OwnRedis {
    pub fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("redis-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&folder).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut this = Self { port, folder, server: None };
        this.start_again();
        this
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// On the same port, with nothing in it.
    pub fn start_again(&mut self) {
        let server = Command::new("redis-server")
            .args([
                "--bind",
                "127.0.0.1",
                "--port",
                &self.port.to_string(),
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .arg("--dir")
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server: scripts/test installs it");
        self.server = Some(server);
        let began = Instant::now();
        while self.ask("PING").is_none_or(|answer| answer != "+PONG\r\n") {
            assert!(began.elapsed() < Duration::from_secs(10), "redis-server did not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// It keeps its connections and answers nothing.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    pub fn flush(&self) {
        assert_eq!(self.ask("FLUSHALL").unwrap(), "+OK\r\n");
    }

    /// Whether anything is counted in it.
    pub fn counts(&self) -> bool {
        self.ask("DBSIZE").unwrap() != ":0\r\n"
    }

    /// It forgets the scripts that it knew.
    pub fn flush_scripts(&self) {
        assert_eq!(self.ask("SCRIPT FLUSH").unwrap(), "+OK\r\n");
    }

    fn signal(&self, signal: &str) {
        let pid = self.server.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    fn ask(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "{command}\r\n").ok()?;
        let mut answer = [0; 256];
        let read = stream.read(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..read]).into_owned())
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
