//! What is deployed: that the files in `deploy/`, the image and the copies of a backup fit the service as it is.
use crate::{
    architecture::root,
    cli::lines,
    migrations::tenantry,
    support::{
        binary::{Folder, Running},
        database::{TestDatabase, connect, on_postgres, server_url},
        order,
    },
};
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    net::TcpListener,
    process::{Command, Stdio},
};
use tenantry::uuid::Uuid;

/// Every file that says how the service is run.
const FILES: [&str; 8] = [
    "Dockerfile",
    "compose.yaml",
    "deploy/systemd/tenantry.service",
    "deploy/systemd/tenantry-migrate.service",
    "deploy/kubernetes/configuration.yaml",
    "deploy/kubernetes/api.yaml",
    "deploy/kubernetes/worker.yaml",
    "deploy/kubernetes/migrate/job.yaml",
];

fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The lines that are no comments.
fn said(file: &str) -> Vec<String> {
    text(file).lines().map(str::trim).filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

fn is_variable(word: &str) -> bool {
    word.len() > 3
        && word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// The variables that a line sets, as the four kinds of files do it.
fn set_by(line: &str) -> Vec<String> {
    let names: Vec<&str> =
        if let Some(pairs) = line.strip_prefix("ENV ").or_else(|| line.strip_prefix("Environment=")) {
            pairs.split_whitespace().filter_map(|pair| Some(pair.split_once('=')?.0)).collect()
        } else if let Some(name) = line.strip_prefix("- name: ") {
            vec![name]
        } else {
            line.split_once(':').map(|(name, _)| name).into_iter().collect()
        };
    names.into_iter().filter(|name| is_variable(name)).map(str::to_owned).collect()
}

/// All variables of the service that the files set; those of PostgreSQL's image are its own.
fn variables() -> BTreeSet<String> {
    let all = FILES.iter().flat_map(|file| said(file)).flat_map(|line| set_by(&line));
    all.filter(|name| !name.starts_with("POSTGRES_")).collect()
}

#[test]
fn every_variable_of_the_deployment_is_one_that_the_service_reads() {
    let folder = Folder::new();
    let shown = lines(&folder.run(&["config"], &[]).stdout);
    let known: BTreeSet<_> = shown.iter().filter_map(|line| line.split_whitespace().next()).collect();
    let is_read = |name: &str| match name.strip_suffix("_FILE") {
        None => known.contains(name),
        // a file that is not there is told, if it is looked for
        Some(_) => {
            let told = lines(&folder.run(&["config"], &[(name, "/nonexistent")]).stderr);
            told.iter().any(|line| line.starts_with(&format!("error: {name}: cannot read")))
        }
    };
    let variables = variables();
    assert!(variables.len() > 12, "{variables:?}");
    for name in &variables {
        assert!(is_read(name), "{name}");
    }
}

#[test]
fn every_command_of_the_deployment_is_one_of_the_binary() {
    let folder = Folder::new();
    let mut commands = BTreeSet::new();
    for line in FILES.iter().flat_map(|file| said(file)) {
        let in_brackets = |rest: &str| rest.trim_matches(['[', ']']).replace([',', '"'], "");
        if let Some(rest) = line.strip_prefix("ExecStart=/usr/local/bin/tenantry ") {
            commands.insert(rest.to_owned());
        }
        let list = line.strip_prefix("command: [").or_else(|| line.strip_prefix("args: ["));
        // the image's own command, too; HEALTHCHECK has its CMD after blanks and a path
        let list = list.or_else(|| line.strip_prefix("CMD [").filter(|rest| !rest.contains('/')));
        commands.extend(list.map(in_brackets));
    }
    assert_eq!(
        commands.iter().map(String::as_str).collect::<Vec<_>>(),
        ["migrate", "serve", "serve --no-worker", "worker"]
    );
    for command in &commands {
        let words: Vec<_> = command.split(' ').chain(["--help"]).collect();
        assert_eq!(folder.run(&words, &[]).status.code(), Some(0), "{command}");
    }
}

/// The number after a word of a file, as seconds.
fn seconds(file: &str, word: &str) -> u64 {
    let line = said(file).into_iter().find(|line| line.starts_with(word)).unwrap_or_else(|| panic!("{word}"));
    line[word.len()..].trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

#[test]
fn whoever_stops_the_service_waits_longer_than_it_takes_to_stop() {
    const DEFAULT: u64 = 1 + 10;
    assert!(seconds("compose.yaml", "stop_grace_period:") > DEFAULT);
    assert!(seconds("deploy/systemd/tenantry.service", "TimeoutStopSec=") > DEFAULT);
    let configuration = "deploy/kubernetes/configuration.yaml";
    let delay = seconds(configuration, "SHUTDOWN_DELAY_MS:") / 1000;
    let grace = seconds(configuration, "SHUTDOWN_GRACE_MS:") / 1000;
    for pods in ["deploy/kubernetes/api.yaml", "deploy/kubernetes/worker.yaml"] {
        assert!(seconds(pods, "terminationGracePeriodSeconds:") > delay + grace, "{pods}");
    }
    // it is still asked when it says that it is not ready, and is believed before it goes
    let api = text("deploy/kubernetes/api.yaml");
    let readiness = api.split("readinessProbe:").nth(1).unwrap();
    let number = |word: &str| -> u64 {
        let rest = readiness.split(word).nth(1).unwrap().trim_start();
        rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap()].parse().unwrap()
    };
    assert!(number("periodSeconds:") * number("failureThreshold:") + number("timeoutSeconds:") < delay);
}

/// The image's own health check, as its command stands in the Dockerfile, against this port.
fn healthy(port: u16) -> bool {
    let dockerfile = text("Dockerfile");
    let command = dockerfile.split("HEALTHCHECK").nth(1).unwrap().split("CMD ").nth(1).unwrap();
    let command: Vec<String> = serde_json::from_str(command.lines().next().unwrap()).unwrap();
    let script = command[1].replace("/usr/libexec/tenantry/", "deploy/container/");
    assert_ne!(script, command[1], "what deploy/container/rootfs installs");
    Command::new(&command[0])
        .arg(root().join(script))
        .env_clear()
        .env("PORT", port.to_string())
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

#[test]
fn the_health_check_tells_a_service_that_is_alive_from_one_that_is_not() {
    let folder = Folder::new();
    let demo = Running::demo(&folder);
    assert!(healthy(demo.port));
    assert!(!healthy(1), "nobody listens there"); // (a port that was free a moment ago may be another test's by now)
    assert_eq!(demo.stop(), Some(0));
    for answer in [
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 2000 x\r\n\r\n",
        "",
        "SSH\r\n",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let other = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.write_all(answer.as_bytes()).unwrap();
        });
        assert!(!healthy(port), "{answer:?}");
        other.join().unwrap();
    }
}

#[test]
fn the_context_of_the_image_has_the_whole_workspace_and_no_image_names_a_registry() {
    let ignore = said(".dockerignore");
    let manifest = text("Cargo.toml");
    let members = manifest.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    for member in members.split(',').map(|member| member.trim().trim_matches('"')) {
        assert!(ignore.contains(&format!("!{member}")), ".dockerignore leaves {member} out of the build");
    }
    let images = ["FROM ", "image: ", "- name: tenantry", "newName: "];
    let mut named = 0;
    for file in FILES.iter().chain(&["deploy/kubernetes/kustomization.yaml"]) {
        for line in said(file) {
            let image = images.iter().find_map(|word| line.strip_prefix(word));
            let Some(image) = image.and_then(|rest| rest.split_whitespace().next()) else { continue };
            assert!(!image.contains('/'), "{file}: {line}");
            named += 1;
        }
    }
    assert!(named > 8);
    // the toolchain of the image is new enough
    let version = manifest.split("rust-version = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(text("Dockerfile").contains(&format!("FROM rust:{version}-")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roles_of_the_deployment_are_enough_and_no_more_on_postgres() {
    if !on_postgres() {
        return;
    }
    // names of this test's own, since roles belong to the server
    let mark = Uuid::new_v4().simple().to_string();
    let (migrate, app) = (format!("migrate_{mark}"), format!("app_{mark}"));
    let roles = text("deploy/postgres/roles.sql")
        .replace("tenantry_migrate", &migrate)
        .replace("tenantry_app", &app)
        .replace(":'migrate_password'", "'one'")
        .replace(":'app_password'", "'another'");
    let database = TestDatabase::empty().await;
    for _ in 0..2 {
        database.execute(&roles).await; // again, as at the next start
    }
    let server = connect(&server_url()).await;
    let powerful = "SELECT count(*) FROM pg_roles WHERE (rolname = $1 OR rolname = $2) AND \
                    (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication)";
    assert_eq!(server.query_one(powerful, &[&migrate, &app]).await.unwrap().get::<_, i64>(0), 0);
    let migrated = tenantry(&database.url_as(&migrate), &["migrate"], &[]);
    assert_eq!(migrated.status.code(), Some(0), "{migrated:?}");
    let seeded = tenantry(&database.url_as(&app), &["seed"], &[]);
    assert_eq!(seeded.status.code(), Some(0), "{seeded:?}");
    assert_eq!(database.count("tenants").await, 2);
    let client = connect(&database.url_as(&app)).await;
    for statement in
        ["SELECT count(*) FROM orders", "CREATE TABLE x (i int)", "DROP TABLE orders", "CREATE ROLE x"]
    {
        client.batch_execute(statement).await.expect_err(statement);
    }
    drop(client);
    drop(database);
    server
        .batch_execute(&format!("DROP OWNED BY {migrate}, {app}; DROP ROLE {migrate}, {app}"))
        .await
        .unwrap();
}

#[test]
fn a_copy_that_is_made_while_it_serves_is_whole_on_sqlite() {
    if on_postgres() {
        return; // the binary's demo is on SQLite whatever the run is on
    }
    let folder = Folder::new();
    let demo = Running::demo(&folder);
    let token = demo.token("acme", "member");
    let place = || demo.ask("POST", "/api/v1/orders", Some(&token), &order().to_string());
    let copy = folder.0.join("copy.db");
    let acknowledged = std::sync::atomic::AtomicI64::new(0);
    let (before, after) = std::thread::scope(|scope| {
        let count = || acknowledged.load(std::sync::atomic::Ordering::SeqCst);
        let writer = scope.spawn(|| {
            for _ in 0..40 {
                assert_eq!(place().0, 201);
                acknowledged.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        });
        while count() < 5 {
            assert!(!writer.is_finished());
            std::thread::yield_now();
        }
        let before = count();
        let live = rusqlite::Connection::open(folder.0.join("tenantry-demo.db")).unwrap();
        live.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
        (before, count() + 1) // one may have committed and not yet been told
    });
    assert_eq!(demo.stop(), Some(0));
    let other = Folder::new();
    fs::rename(&copy, other.0.join("tenantry-demo.db")).unwrap();
    let restored = rusqlite::Connection::open(other.0.join("tenantry-demo.db")).unwrap();
    let ask = |sql: &str| -> i64 { restored.query_row(sql, [], |row| row.get(0)).unwrap() };
    let whole: String = restored.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
    let placed = ask("SELECT count(*) FROM orders") - 60;
    assert!((before..=after).contains(&placed), "{before} <= {placed} <= {after}");
    // no order without its lines, its history and its event
    let torn = "SELECT count(*) FROM orders o WHERE NOT EXISTS (SELECT 1 FROM order_items i WHERE i.order_id = o.id) \
                OR NOT EXISTS (SELECT 1 FROM order_history h WHERE h.order_id = o.id)";
    assert_eq!(ask(torn), 0);
    drop(restored);
    let demo = Running::demo(&other);
    assert_eq!(demo.ask("GET", "/api/v1/auth/me", Some(&token), "").0, 200, "its tokens hold on the copy");
    assert_eq!(demo.stop(), Some(0));
}
