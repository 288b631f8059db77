//! The service as a process of its own, to be killed.
use crate::support::{binary::Folder, until};
use std::{
    fs::File,
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tenantry::uuid::Uuid;

/// What all nodes of this folder have logged.
pub fn logs(folder: &Folder) -> String {
    let entries = std::fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().path());
    let logs = entries.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// A running service; killed at its end, whatever happens.
pub struct Node {
    child: Child,
    log: PathBuf,
}

impl Node {
    /// Starts it on a free port, with a log of its own. It is not ready then.
    pub fn start(folder: &Folder, database: &str) -> Self {
        let log = folder.0.join(format!("{}.log", Uuid::now_v7()));
        let variables = [
            ("DATABASE_URL", database),
            ("PORT", "0"),
            ("SECRET_KEY", crate::support::SECRET_KEY),
            ("WEBHOOK_SIGNING_SECRET", "d2ViaG9va3Mgb2YgYSB0ZXN0LCBsb25nIGVub3VnaCE"),
            ("BCRYPT_COST", "10"),
            ("AUTH_RATE_LIMIT", "off"),
            ("TENANT_RATE_LIMIT", "off"),
            ("WEBHOOK_ALLOW_PRIVATE_TARGETS", "true"),
            // a node that died holds its claims for this and ten seconds more
            ("WEBHOOK_TIMEOUT_MS", "500"),
            ("WEBHOOK_RETRY_SCHEDULE", "200ms"),
            ("WEBHOOK_MAX_RETRIES", "100"),
            // nobody is there: what went by it would not arrive
            ("HTTP_PROXY", "http://127.0.0.1:9"),
            ("http_proxy", "http://127.0.0.1:9"),
            ("LOG_FORMAT", "json"),
        ];
        let child = folder
            .tenantry(&["serve"], &variables)
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Waits until it serves; answers its port.
    pub async fn port(&self) -> u16 {
        let log = || std::fs::read_to_string(&self.log).unwrap();
        let port = || -> Option<u16> {
            let log = log();
            let line = log.lines().find(|line| line.contains("\"serving\""))?;
            line.split_once("127.0.0.1:")?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        until(|| port().is_some() || log().contains("error: ")).await;
        port().unwrap_or_else(|| panic!("it does not start: {}", log()))
    }

    /// SIGKILL: it has no chance to do anything.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; answers its exit code.
    pub fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
