//! Backups that are made while a service runs, and put back.

use std::process::Command;

use chrono::{TimeDelta, Utc};
use sluice_simulator::Options;
use sluice_tests::{Operator, PostgresServer, Service, Simulated, check_exact, check_runs_once};

use crate::{blocks, console, shell};

const NETWORK: &str = "awin";

/// The line of the block that begins with a program's name; none where the program isn't there.
fn line_of(program: &str) -> Option<String> {
    if Command::new(program).arg("--version").output().is_err() {
        eprintln!("{program} isn't here: its line isn't run");
        return None;
    }
    let block = console("VACUUM INTO");
    Some(block.lines().find(|line| line.starts_with(&format!("{program} "))).unwrap().to_owned())
}

#[test]
fn a_state_store_in_sqlite_is_backed_up_beside_a_service_and_put_back() {
    let Some(line) = line_of("sqlite3") else { return };
    // What is advanced by is past, too: it is read by three days.
    let start = Utc::now() - TimeDelta::hours(21);
    let options = Options { start, history_days: 1, rows_per_day: 4, ..Options::default() };
    let mut world = Simulated::start(options, &[NETWORK]).unwrap();
    world.operator.read_every_second(&world.simulator, NETWORK).unwrap();
    let mut service = Service::start(&world.operator).unwrap();
    service.wait_for(&[NETWORK, "new versions"]).unwrap();
    shell(&world.operator, &format!("mkdir backup\n{line}"));
    assert_eq!(service.terminate().unwrap(), Some(0));
    shell(&world.operator, "cp -a lake backup/");
    // What comes after the backup is lost with what was there.
    world.simulator.advance(TimeDelta::hours(20));
    world.operator.succeed(&["run", NETWORK]).unwrap();
    let restore = blocks().into_iter().find(|block| block.text.contains("cp -a backup/lake")).unwrap();
    assert_eq!(restore.language, "sh");
    shell(&world.operator, &restore.text);
    world.operator.succeed(&["run", NETWORK]).unwrap();
    check_exact(&world.operator, &world.simulator, &[NETWORK]).unwrap();
    check_runs_once(&world.operator).unwrap();
}

#[test]
fn a_state_store_in_postgresql_is_backed_up() {
    let Some(line) = line_of("pg_dump") else { return };
    let server = PostgresServer::start().unwrap();
    let mut operator = Operator::empty().unwrap();
    operator.set("STATE_URL", &server.url());
    operator
        .write("sluice.toml", &format!("[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"{}\"\n", server.url()))
        .unwrap();
    operator.succeed(&["tokens", "create", "ops", "--role", "read"]).unwrap();
    shell(&operator, &format!("mkdir backup\n{line}"));
    server.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public").unwrap();
    shell(&operator, "pg_restore --dbname=\"$STATE_URL\" backup/state.dump");
    let tokens = operator.succeed(&["tokens"]).unwrap();
    assert!(tokens.contains("ops"), "{tokens}");
}
