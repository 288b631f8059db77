//! The servers, started and ended.
use crate::{Result, http};
use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Signs the tokens of a run; nothing outlives it.
pub const SECRET_KEY: &str = "of-a-benchmark-and-of-nothing-else-8c1f1d2e";

/// Connections to PostgreSQL, of each server: `DB_POOL_SIZE` and `DB_MAX_OVERFLOW` as they are by default.
pub const CONNECTIONS: u16 = 30;

pub struct Programs {
    pub tenantry: PathBuf,
    pub floor: PathBuf,
}

/// A process that ends with this value.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn start(command: &mut Command, port: u16, log: &Path) -> Result<Self> {
        let log = File::create(log)?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut server = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(30);
        while http::ask(port, "GET", "/health", None, None).and_then(http::Answer::ok).is_err() {
            if server.child.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(format!("a server did not start: {command:?}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Programs {
    /// The product with this and no other configuration. Its log is written as in production, to `log`.
    pub fn product(&self, folder: &Path, url: &str) -> Command {
        let mut command = Command::new(&self.tenantry);
        command.env_clear().current_dir(folder).stdin(Stdio::null());
        command.envs([
            ("DATABASE_URL", url),
            ("SECRET_KEY", SECRET_KEY),
            ("WEBHOOK_SIGNING_SECRET", SECRET_KEY),
            ("AUTH_RATE_LIMIT", "off"),
            ("TENANT_RATE_LIMIT", "off"),
            ("LOG_FORMAT", "json"),
        ]);
        command
    }

    pub fn serve(&self, folder: &Path, url: &str, log: &str) -> Result<Server> {
        let port = free_port()?;
        let mut command = self.product(folder, url);
        Server::start(command.arg("serve").env("PORT", port.to_string()), port, &folder.join(log))
    }

    pub fn floor(&self, folder: &Path, url: &str) -> Result<Server> {
        let port = free_port()?;
        let mut command = Command::new(&self.floor);
        command.env_clear().env("SECRET_KEY", SECRET_KEY);
        command.args([url, &port.to_string(), &CONNECTIONS.to_string()]);
        Server::start(&mut command, port, &folder.join("floor.log"))
    }

    /// How long the demo takes from nothing at all to its first answer.
    pub fn cold_start(&self, folder: &Path) -> Result<Duration> {
        let folder = folder.join("demo");
        std::fs::create_dir(&folder)?;
        let began = Instant::now();
        let mut child = Command::new(&self.tenantry)
            .env_clear()
            .env("PORT", "0")
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let out = child.stdout.take().ok_or("no output")?;
        let demo = Server { child, port: 0 };
        let mut lines = BufReader::new(out).lines();
        let port = lines
            .find_map(|line| {
                let line = line.ok()?;
                line.split("http://127.0.0.1:").nth(1)?.split('/').next()?.parse().ok()
            })
            .ok_or("the demo did not say where it is")?;
        http::ask(port, "GET", "/health", None, None)?.ok()?;
        let took = began.elapsed();
        drop(demo);
        std::fs::remove_dir_all(&folder)?;
        Ok(took)
    }
}
