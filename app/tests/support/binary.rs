//! The binary, started as its operator does.
use super::{PASSWORD, wire::Wire};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// An empty folder to work in.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        let path =
            std::env::temp_dir().join(format!("tenantry-cli-{}", tenantry::uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The binary with these variables and no others.
    pub fn tenantry(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
        command
            .args(arguments)
            .env_clear()
            .envs(variables.iter().copied())
            .current_dir(&self.0)
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        self.tenantry(arguments, variables).output().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A service that was started and is stopped at the end, whatever happens.
pub struct Running {
    pub child: Child,
    pub port: u16,
    pub banner: String,
    pub log: PathBuf,
}

impl Running {
    /// Starts the demo on a free port and reads its banner.
    pub fn demo(folder: &Folder) -> Self {
        Self::demo_with(folder, &[])
    }

    /// The same, with these variables besides.
    pub fn demo_with(folder: &Folder, variables: &[(&str, &str)]) -> Self {
        let log = folder.0.join("log");
        let mut child = folder
            .tenantry(&[], &[&[("PORT", "0")], variables].concat())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut banner = String::new();
        for line in lines.by_ref() {
            banner.push_str(&line.unwrap());
            banner.push('\n');
            if banner.contains("Ctrl-C") {
                break;
            }
        }
        let port =
            banner.split("http://127.0.0.1:").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
        Self { child, port, banner, log }
    }

    /// Starts it with these variables alone, on a free port, which it tells in its log.
    pub fn serve(folder: &Folder, variables: &[(&str, &str)]) -> Self {
        Self::start(folder, folder.tenantry(&["serve"], &on_a_free_port(variables)))
    }

    /// The same, where a file that may not grow is an error like others and no signal.
    pub fn serve_within_limits(folder: &Folder, variables: &[(&str, &str)]) -> Self {
        let program = folder.tenantry(&["serve"], &[]).get_program().to_owned();
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" serve"]).arg(program);
        shell.env_clear().envs(on_a_free_port(variables)).current_dir(&folder.0).stdin(Stdio::null());
        Self::start(folder, shell)
    }

    fn start(folder: &Folder, mut command: Command) -> Self {
        let log = folder.0.join("log");
        let stderr = std::fs::File::create(&log).unwrap();
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let mut this = Self { child, port: 0, banner: String::new(), log };
        let began = Instant::now();
        while this.port == 0 {
            assert!(began.elapsed() < Duration::from_secs(30), "{}", this.said());
            std::thread::sleep(Duration::from_millis(10));
            let said = this.said();
            let line = said.lines().find(|line| line.contains(r#""message":"serving""#));
            let port = line.and_then(|line| line.split(r#""address":"127.0.0.1:"#).nth(1));
            this.port = port.map_or(0, |rest| rest.split('"').next().unwrap().parse().unwrap());
        }
        this
    }

    /// Sets one of its limits, as `prlimit` has them.
    pub fn limit(&self, limit: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("prlimit").args(["--pid", &pid, limit]).status().unwrap().success());
    }

    /// What it has logged.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub fn wire(&self) -> Wire {
        Wire::to(self.port)
    }

    /// Status and body, over a real socket.
    pub fn ask(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let authorization = token.map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             {authorization}content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// The access token of the owner of a new tenant.
    pub fn register(&self) -> String {
        let body = json!({
            "tenant_name": "Acme", "tenant_slug": "acme-inc", "email": "owner@acme.test", "password": PASSWORD,
            "full_name": "Olivia Owner"
        });
        let (status, session) = self.ask("POST", "/api/v1/auth/register", None, &body.to_string());
        assert_eq!(status, 201, "{session}");
        let session: Value = serde_json::from_str(&session).unwrap();
        session["data"]["access_token"].as_str().unwrap().to_owned()
    }

    pub fn session(&self, tenant: &str, role: &str) -> Value {
        let body = format!(
            r#"{{"tenant_slug":"{tenant}","email":"{role}@{tenant}.test","password":"{}"}}"#,
            tenantry::DEMO_PASSWORD
        );
        let (status, body) = self.ask("POST", "/api/v1/auth/login", None, &body);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["data"].take()
    }

    pub fn token(&self, tenant: &str, role: &str) -> String {
        self.session(tenant, role)["access_token"].as_str().unwrap().to_owned()
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Ends it as a service manager does; answers its exit code.
    pub fn stop(self) -> Option<i32> {
        self.signal("-TERM");
        self.stop_after_signal()
    }

    /// Waits for its end.
    pub fn stop_after_signal(mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it did not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn on_a_free_port<'a>(variables: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("PORT", "0"), ("LOG_FORMAT", "json")], variables].concat()
}
