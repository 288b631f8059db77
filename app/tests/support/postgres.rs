//! A PostgreSQL of a test's own, which it may stop, freeze and take the disk from. It refuses to run as root.
use super::database;
use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::CertifiedKey;
use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tenantry::uuid::Uuid;
use tokio_postgres::Client;

/// Nothing here outlives a test; a crash of the server is one of the process, not of the machine.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nfsync = off\nmax_connections = 50\nshared_buffers = 16MB\n\
                        jit = off\nautovacuum = off\nwal_level = minimal\nmax_wal_senders = 0\n";

/// A server on a free port, ended with this value.
pub struct OwnPostgres {
    port: u16,
    folder: PathBuf,
    server: Option<Child>,
}

impl OwnPostgres {
    pub fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("postgres-{}", Uuid::new_v4().simple()));
        fs::create_dir(&folder).unwrap();
        if let Some(user) = unprivileged() {
            run(Command::new("chown").arg(format!("{user}:")).arg(&folder));
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut this = Self { port, folder, server: None };
        let data = this.data();
        run(program("initdb")
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-A", "trust", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C"]));
        let own = format!("{SETTINGS}port = {port}\nunix_socket_directories = '{}'\n", this.folder.display());
        let file = data.join("postgresql.conf");
        let settings = fs::read_to_string(&file).unwrap();
        fs::write(&file, settings + &own).unwrap();
        this.start_again();
        this
    }

    /// One that is spoken to over TLS alone, and the authority of its certificate, which is for 127.0.0.1.
    pub fn over_tls() -> (Self, PathBuf) {
        let mut this = Self::start();
        this.stop();
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let (certificate, key) = (this.data().join("server.crt"), this.data().join("server.key"));
        fs::write(&certificate, pem("CERTIFICATE", cert.der())).unwrap();
        fs::write(&key, pem("PRIVATE KEY", &signing_key.serialize_der())).unwrap();
        run(Command::new("chmod").arg("600").arg(&key));
        if let Some(user) = unprivileged() {
            run(Command::new("chown").arg(format!("{user}:")).args([&certificate, &key]));
        }
        let settings = fs::File::options().append(true).open(this.data().join("postgresql.conf"));
        settings.unwrap().write_all(b"ssl = on\n").unwrap();
        fs::write(this.data().join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n").unwrap();
        this.start_again();
        (this, certificate)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The superuser's.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// As the superuser, past the product.
    pub async fn client(&self) -> Client {
        database::connect(&self.url()).await
    }

    /// On the same port, with everything that was there.
    pub fn start_again(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut server = program("postgres");
        server.arg("-D").arg(self.data()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // a Ctrl-C is for the tests, which end it
        self.server = Some(server.process_group(0).spawn().unwrap());
        let began = Instant::now();
        let mut ready = program("pg_isready");
        ready.args(["-q", "-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string()]);
        while !ready.status().unwrap().success() {
            let said = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(60), "PostgreSQL did not start: {}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// In an orderly way: connections are ended with a word.
    pub fn stop(&mut self) {
        self.end("-INT");
    }

    /// As if it had crashed.
    pub fn crash(&mut self) {
        self.end("-QUIT");
    }

    fn end(&mut self, signal: &str) {
        if let Some(mut server) = self.server.take() {
            send(signal, server.id());
            server.wait().unwrap();
        }
    }

    /// It keeps its connections, takes new ones, and answers nothing.
    pub fn freeze(&self) {
        self.every_process("-STOP");
    }

    pub fn go_on(&self) {
        self.every_process("-CONT");
    }

    fn every_process(&self, signal: &str) {
        let pid = self.server.as_ref().unwrap().id();
        send(signal, pid);
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.split_whitespace().for_each(|child| send(signal, child.parse().unwrap()));
    }

    /// While it is stopped: the file of an empty table becomes one that has no room for anything. Undone by the return.
    pub fn without_room(&self, file: &str) -> NoRoom {
        assert!(self.server.is_none());
        let file = self.data().join(file);
        assert_eq!(fs::metadata(&file).unwrap().len(), 0, "only an empty table has no file to lose");
        let kept = file.with_extension("kept");
        fs::rename(&file, &kept).unwrap();
        std::os::unix::fs::symlink("/dev/full", &file).unwrap();
        NoRoom { file, kept }
    }
}

/// See [`OwnPostgres::without_room`].
pub struct NoRoom {
    file: PathBuf,
    kept: PathBuf,
}

impl NoRoom {
    pub fn undo(self) {
        fs::rename(self.kept, self.file).unwrap();
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.go_on(); // what is frozen hears of nothing
        }
        self.crash();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap());
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.collect::<Vec<_>>().join("\n"))
}

fn send(signal: &str, pid: u32) {
    let _ = Command::new("kill").args([signal, &pid.to_string()]).stderr(Stdio::null()).status();
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Who owns the server; `None` where that is whoever runs the tests.
fn unprivileged() -> Option<&'static str> {
    let id = |arguments: &[&str]| Command::new("id").args(arguments).output().unwrap();
    if id(&["-u"]).stdout != b"0\n" {
        return None;
    }
    // as scripts/lib/services.sh chooses
    let known = ["postgres", "tenantry-test"].into_iter().find(|user| id(&[user]).status.success());
    Some(known.expect("an unprivileged user: scripts/test makes one"))
}

/// One of PostgreSQL's programs, as the owner of the server, with nothing of this environment.
fn program(name: &str) -> Command {
    let folder = std::env::var("TENANTRY_TEST_POSTGRES_BIN")
        .expect("TENANTRY_TEST_POSTGRES_BIN: scripts/test sets it");
    let program = Path::new(&folder).join(name);
    let mut command = match unprivileged() {
        None => Command::new(program),
        Some(user) => {
            let group = Command::new("id").args(["-g", user]).output().unwrap().stdout;
            let mut command = Command::new("setpriv");
            command.args([
                "--reuid",
                user,
                "--regid",
                String::from_utf8(group).unwrap().trim(),
                "--init-groups",
            ]);
            command.arg("--").arg(program);
            command
        }
    };
    command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").current_dir("/");
    command
}
