//! All tables made anew from raw alone: equal to what was there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sluice_model::Step;
use sluice_simulator::{Options, Simulator};
use sluice_tests::{
    Background, NETWORKS, Operator, PostgresServer, Service, change_state, claim_elsewhere, lake_sums, runtime,
    true_sums, variant, whole_window,
};

const HISTORY_DAYS: u32 = 25;

fn start() -> DateTime<Utc> {
    "2026-02-10T12:00:00Z".parse().unwrap()
}

/// All rows of every table that follows from raw, as text, sorted; without times of building.
fn state(operator: &Operator, networks: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut tables: Vec<(String, &str)> = networks.iter().map(|name| (format!("{name}.transactions"), "*")).collect();
    for table in
        ["unified.transaction_versions", "unified.transactions", "meta.rejects", "meta.requests", "meta.coverage"]
    {
        tables.push((table.to_owned(), "*"));
    }
    tables.push(("meta.columns".to_owned(), "network, stream, \"column\", path, type, example"));
    let mut state = BTreeMap::new();
    for (table, columns) in tables {
        let text = operator.succeed(&["sql", &format!("SELECT {columns} FROM {table}"), "--format", "csv"]).unwrap();
        let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
        rows.sort();
        state.insert(table, rows);
    }
    state
}

/// How many files are in a folder, at any depth.
fn files_in(folder: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let count = |path: std::path::PathBuf| if path.is_dir() { files_in(&path) } else { 1 };
    entries.map(|entry| count(entry.unwrap().path())).sum()
}

fn differences(before: &BTreeMap<String, Vec<String>>, after: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut found = Vec::new();
    for (table, before) in before {
        let after = &after[table];
        let only = |of: &Vec<String>, than: &Vec<String>| of.iter().find(|row| !than.contains(*row)).cloned();
        if before != after {
            let (gone, new) = (only(before, after), only(after, before));
            found.push(format!("{table}: {} rows, {} before; gone {gone:?}, new {new:?}", after.len(), before.len()));
        }
    }
    found
}

#[test]
fn tables_from_raw_alone_equal_what_was_there() {
    let runtime = runtime();
    let options =
        Options { seed: 41, start: start(), history_days: HISTORY_DAYS, rows_per_day: 4, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let operator = Operator::of(&simulator, &NETWORKS).unwrap();
    for advance in [0, 6, 6] {
        simulator.advance(TimeDelta::days(advance));
        let window = whole_window(&simulator, start(), HISTORY_DAYS.into());
        for network in NETWORKS {
            assert_eq!(operator.run(network, &window).unwrap()["status"], "done");
        }
    }
    let before = state(&operator, &NETWORKS);
    assert!(before["unified.transaction_versions"].len() > before["unified.transactions"].len());
    let asked = simulator.requests().len();
    let output = operator.succeed(&["build", "--from-raw"]).unwrap();
    assert!(output.contains("unified.transaction_versions"), "{output}");
    let found = differences(&before, &state(&operator, &NETWORKS));
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(simulator.requests().len(), asked, "a rebuild asks no network");
    assert_eq!(files_in(&operator.join("lake/tables.new")), 0, "nothing is left beside the tables");
    // Nothing but raw is needed.
    std::fs::remove_dir_all(operator.join("lake/tables")).unwrap();
    operator.succeed(&["build", "--from-raw"]).unwrap();
    let found = differences(&before, &state(&operator, &NETWORKS));
    assert!(found.is_empty(), "{found:#?}");
    let connectors = operator.sql("SELECT DISTINCT network FROM meta.connectors").unwrap();
    assert_eq!(connectors.len(), NETWORKS.len());
    // And the next look finds nothing new.
    let window = whole_window(&simulator, start(), HISTORY_DAYS.into());
    for network in NETWORKS {
        assert_eq!(operator.run(network, &window).unwrap()["new_versions"], 0, "{network}");
    }
}

#[test]
fn a_rebuild_is_by_the_connector_that_serves_and_replaces_nothing_if_it_fails() {
    let runtime = runtime();
    let options = Options { seed: 42, start: start(), history_days: 15, rows_per_day: 3, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let operator = Operator::of(&simulator, &["awin", "cj"]).unwrap();
    let serving = operator.join("connectors.d/awin.wasm");
    let exchanged = variant("awin", "pendingapproveddeclined", "pendingdeclinedapproved").unwrap();
    std::fs::write(&serving, exchanged).unwrap();
    let window = whole_window(&simulator, start(), 15);
    for network in ["awin", "cj"] {
        operator.run(network, &window).unwrap();
    }
    let wrong = "SELECT count(*) AS n FROM unified.transactions
                 WHERE status_raw = 'approved' AND validation_status = 'declined'";
    let count = |query: &str| operator.sql(query).unwrap()[0]["n"].as_u64().unwrap();
    assert!(count(wrong) > 0);
    std::fs::remove_file(&serving).unwrap();
    std::fs::rename(operator.join("networks/awin.json"), operator.join("awin.json")).unwrap();
    let failed = operator.sluice(&["build", "--from-raw"]).unwrap();
    assert_eq!(failed.code, 78, "{failed:?}");
    assert!(failed.stderr.contains("nothing was replaced"), "{failed:?}");
    assert!(count(wrong) > 0);
    std::fs::rename(operator.join("awin.json"), operator.join("networks/awin.json")).unwrap();
    operator.install("awin", "awin.wasm").unwrap();
    operator.succeed(&["build", "--from-raw"]).unwrap();
    assert_eq!(count(wrong), 0);
    assert_eq!(count("SELECT count(*) AS n FROM unified.transaction_versions WHERE version > 1"), 0);
    for network in ["awin", "cj"] {
        assert_eq!(lake_sums(&operator, network).unwrap(), true_sums(&simulator, network), "{network}");
    }
}

#[test]
fn a_rebuild_that_is_killed_leaves_each_table_old_or_new_and_is_made_again() {
    let runtime = runtime();
    let options = Options { seed: 43, start: start(), history_days: 15, rows_per_day: 3, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let operator = Operator::of(&simulator, &["awin"]).unwrap();
    // Built by a connector that reads two words otherwise and knows a field by another name: old and new differ.
    let words = variant("awin", "pendingapproveddeclined", "pendingdeclinedapproved").unwrap();
    operator.put_connector("awin.wasm", &words).unwrap();
    for advance in [0, 6] {
        simulator.advance(TimeDelta::days(advance));
        operator.run("awin", &whole_window(&simulator, start(), 15)).unwrap();
    }
    operator.install("awin", "awin.wasm").unwrap();
    let old = state(&operator, &["awin"]);
    let undisturbed = operator.fork().unwrap();
    undisturbed.succeed(&["build", "--from-raw"]).unwrap();
    let new = state(&undisturbed, &["awin"]);
    assert_ne!(old["unified.transactions"], new["unified.transactions"], "nothing would show");
    let of_rebuild = Step::OF_REBUILD.iter().map(|step| step.name().to_owned());
    let further = ["files-written:2", "native-committed", "unified-committed", "table-replaced:3", "table-replaced:5"];
    let mut mixed = 0;
    for step in of_rebuild.chain(further.map(str::to_owned)) {
        let operator = operator.fork().unwrap();
        let killed = operator.command(&["build", "--from-raw"]).env("SLUICE_STOP_AT", &step).output().unwrap();
        assert_eq!(killed.status.code(), None, "{step} isn't passed: {killed:?}");
        let between = state(&operator, &["awin"]);
        let news: Vec<&String> = between
            .iter()
            .filter(|(name, rows)| **rows == new[*name] && **rows != old[*name])
            .map(|(name, _)| name)
            .collect();
        for (name, rows) in &between {
            assert!(*rows == old[name] || *rows == new[name], "{step}: {name} is neither old nor new");
        }
        let is_between = step.starts_with("table-replaced") || step == "tables-replaced";
        let expected = if step == "rebuild-noted" { &new } else { &old };
        let is_other = !differences(expected, &between).is_empty();
        assert!(is_between || !is_other, "{step}: new are {news:?}: {:#?}", differences(&old, &between));
        let asked = operator.sluice(&["sql", "SELECT count(*) FROM unified.transactions"]).unwrap();
        assert_eq!(asked.stderr.contains("some may be new and others old"), is_between, "{step}: {asked:?}");
        assert_eq!(operator.sluice(&["status"]).unwrap().stderr.contains("some may be new"), is_between, "{step}");
        mixed += usize::from(is_between && !news.is_empty() && between != new);
        operator.succeed(&["build", "--from-raw"]).unwrap();
        let different = differences(&new, &state(&operator, &["awin"]));
        assert!(different.is_empty(), "{step}: a rebuild that nobody disturbed makes others: {different:#?}");
        assert_eq!(files_in(&operator.join("lake/tables.new")), 0, "{step}");
        assert_eq!(operator.sluice(&["sql", "SELECT 1"]).unwrap().stderr, "", "{step}");
    }
    assert!(mixed > 0, "no reader saw new tables beside old ones");
}

/// Networks of which three months of runs are in raw, and the simulator that they were read from.
struct Months {
    _runtime: tokio::runtime::Runtime,
    simulator: Simulator,
    operator: Operator,
}

const SHARED: [&str; 2] = ["awin", "cj"];

impl Months {
    fn new(seed: u64) -> Self {
        let runtime = runtime();
        let options = Options { seed, start: start(), history_days: 15, rows_per_day: 3, ..Options::default() };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        let operator = Operator::of(&simulator, &SHARED).unwrap();
        let months = Self { _runtime: runtime, simulator, operator };
        for _ in 0..3 {
            months.read(&SHARED);
        }
        age_runs(&months.operator, SHARED.len());
        // Nothing but raw knows of the runs by their new names.
        std::fs::remove_dir_all(months.operator.join("lake/tables")).unwrap();
        months.operator.succeed(&["build", "--from-raw"]).unwrap();
        months
    }

    fn read(&self, networks: &[&str]) {
        self.simulator.advance(TimeDelta::days(5));
        for network in networks {
            self.operator.run(network, &whole_window(&self.simulator, start(), 15)).unwrap();
        }
    }

    /// Another host of the same lake, and the database of both, in which leases are short.
    fn second_host(&self) -> (PostgresServer, Operator) {
        let server = PostgresServer::start().unwrap();
        let there = self.operator.fork().unwrap();
        let lake = self.operator.join("lake").display().to_string();
        let state = server.url();
        for host in [&self.operator, &there] {
            let settings = format!("[lake]\nurl = \"file:{lake}\"\n[state]\nurl = \"{state}\"\nlease_secs = 3\n");
            host.write("sluice.toml", &settings).unwrap();
        }
        (server, there)
    }
}

/// Gives the runs in raw ids of other months: as many of each month, beginning with January.
fn age_runs(operator: &Operator, of_each: usize) {
    let raw = operator.join("lake/raw");
    let names = |folder: &Path| -> BTreeSet<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    for (place, run) in names(&raw.join("envelopes")).iter().enumerate() {
        let month = format!("2026-{:02}-05T00:00:00Z", 1 + place / of_each);
        let millis = month.parse::<DateTime<Utc>>().unwrap().timestamp_millis() + i64::try_from(place).unwrap();
        let aged = format!("{:08x}-{:04x}{}", millis >> 16, millis & 0xffff, &run[13..]);
        for folder in ["envelopes", "slices"].map(|folder| raw.join(folder)) {
            for name in names(&folder.join(run)) {
                let file = folder.join(run).join(&name);
                let stored = std::fs::read(&file).unwrap();
                let text = zstd::decode_all(stored.as_slice()).unwrap_or(stored);
                std::fs::remove_file(&file).unwrap();
                let text = String::from_utf8(text).unwrap().replace(run, &aged);
                std::fs::write(folder.join(run).join(name.replace(run, &aged)), text).unwrap();
            }
            std::fs::rename(folder.join(run), folder.join(&aged)).unwrap();
        }
    }
}

/// All rows of the tables, without the examples of columns: a part that is resumed takes them from other rows.
fn shared_state(operator: &Operator) -> BTreeMap<String, Vec<String>> {
    let mut state = state(operator, &SHARED);
    let query = "SELECT network, stream, \"column\", path, type FROM meta.columns ORDER BY 1, 2, 3, 4, 5";
    let columns = operator.succeed(&["sql", query, "--format", "csv"]).unwrap();
    state.insert("meta.columns".to_owned(), columns.lines().map(str::to_owned).collect());
    state
}

/// Queues a rebuild, and gives what the command reports.
fn queue(operator: &Operator) -> Value {
    let queued = operator.succeed(&["--output", "json", "build", "--from-raw", "--queue"]).unwrap();
    serde_json::from_str(&queued).unwrap()
}

fn worker(operator: &Operator, variable: &str, step: &str) -> Service {
    let mut command = operator.command(&["serve", "--role", "worker"]);
    command.env(variable, step);
    Service::run(command).unwrap()
}

/// Has a service do what is left of a rebuild.
fn finish(operator: &Operator) {
    let mut service = Service::start_as(operator, &["--role", "worker"]).unwrap();
    service.wait_for(&["all tables were rebuilt"]).unwrap();
    service.terminate().unwrap();
}

#[test]
fn a_queued_rebuild_is_exact_wherever_its_hosts_are_killed() {
    let months = Months::new(44);
    let operator = &months.operator;
    // Another connector than the one that built the tables: old and new differ.
    let words = variant("awin", "pendingapproveddeclined", "pendingdeclinedapproved").unwrap();
    std::fs::write(operator.join("connectors.d/awin.wasm"), words).unwrap();
    let queued = queue(operator);
    assert_eq!((&queued["queued"], &queued["runs"], &queued["left"]), (&6.into(), &6.into(), &0.into()), "{queued}");
    let again = operator.sluice(&["build", "--from-raw", "--queue"]).unwrap();
    assert!(again.code == 2 && again.stderr.contains("is queued already"), "{again:?}");
    let old = shared_state(operator);
    // What comes after it was cut is in the new tables too.
    months.read(&["awin"]);
    let read = shared_state(operator);
    assert_ne!(read["unified.transaction_versions"], old["unified.transaction_versions"]);
    let undisturbed = operator.fork().unwrap();
    let built = undisturbed.sluice(&["build", "--from-raw"]).unwrap();
    assert!(built.stderr.contains("the rebuild that was queued is forgotten"), "{built:?}");
    let new = shared_state(&undisturbed);
    assert_ne!(read["unified.transactions"], new["unified.transactions"], "nothing would show");
    let of_rebuild = Step::OF_REBUILD.iter().map(|step| step.name().to_owned());
    let further = ["files-written:3", "native-committed:2", "unified-committed:5", "latest-caught-up:4"];
    for step in of_rebuild.chain(further.map(str::to_owned)) {
        let operator = operator.fork().unwrap();
        let mut killed = worker(&operator, "SLUICE_STOP_AT", &step);
        assert_eq!(killed.wait().unwrap().code(), None, "{step} isn't passed: {}", killed.log());
        finish(&operator);
        let different = differences(&new, &shared_state(&operator));
        assert!(different.is_empty(), "{step}: one process makes others: {different:#?}");
        assert_eq!(files_in(&operator.join("lake/tables.new")), 0, "{step}");
        let twice = "SELECT run_id FROM meta.runs WHERE command = 'rebuild' GROUP BY run_id HAVING count(*) > 1";
        assert_eq!(operator.sql(twice).unwrap(), Vec::<Value>::new(), "{step}");
    }
}

#[test]
fn a_queued_rebuild_whose_connector_is_exchanged_replaces_nothing() {
    let months = Months::new(45);
    let operator = &months.operator;
    let old = shared_state(operator);
    queue(operator);
    let words = variant("awin", "pendingapproveddeclined", "pendingdeclinedapproved").unwrap();
    std::fs::write(operator.join("connectors.d/awin.wasm"), words).unwrap();
    let mut service = Service::start_as(operator, &["--role", "worker"]).unwrap();
    service.wait_for(&["the rebuild is given up", "a connector was exchanged"]).unwrap();
    service.terminate().unwrap();
    assert!(differences(&old, &shared_state(operator)).is_empty());
    let runs = operator.sql("SELECT error FROM meta.runs WHERE command = 'rebuild' AND outcome = 'failed'").unwrap();
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!(files_in(&operator.join("lake/tables.new")), 0);
    // Nobody stands in the way of another one.
    queue(operator);
    finish(operator);
    assert!(!differences(&old, &shared_state(operator)).is_empty());
}

#[test]
fn a_rebuild_goes_on_while_its_network_is_paused_and_what_waits_keeps_nothing_back() {
    let months = Months::new(48);
    let operator = &months.operator;
    queue(operator);
    operator.succeed(&["pause", "cj"]).unwrap();
    // The last step, which awin's name stands for, waits for the other one's months.
    claim_elsewhere(operator, "cj", &[]);
    let [since, until] = whole_window(&months.simulator, start(), 15);
    operator.succeed(&["backfill", "awin", "--since", &since, "--until", &until, "--queue"]).unwrap();
    let mut service = Service::start_as(operator, &["--role", "worker"]).unwrap();
    service.wait_for(&["run begins", "awin"]).unwrap();
    change_state(operator, "UPDATE leases SET expires_at = 1 WHERE resource = 'process/9'");
    service.wait_for(&["all tables were rebuilt"]).unwrap();
    service.terminate().unwrap();
}

#[test]
fn a_host_that_wakes_up_late_writes_nothing_into_a_rebuild_that_another_one_finished() {
    let months = Months::new(46);
    let (_server, there) = months.second_host();
    let here = &months.operator;
    here.succeed(&["build", "--from-raw"]).unwrap();
    let expected = shared_state(here);
    for step in ["files-written:2", "native-committed:2", "unified-committed:2"] {
        queue(here);
        let late = worker(here, "SLUICE_PAUSE_AT", step);
        let child = rustix::process::Pid::from_raw(i32::try_from(late.id()).unwrap());
        rustix::process::waitpid(child, rustix::process::WaitOptions::UNTRACED).unwrap();
        finish(&there);
        let mut late = late;
        late.go_on().unwrap();
        late.wait_for(&["lease"]).unwrap();
        late.terminate().unwrap();
        let different = differences(&expected, &shared_state(&there));
        assert!(different.is_empty(), "{step}: {different:#?}");
    }
}

#[test]
fn a_rebuild_in_one_process_that_wakes_up_late_replaces_nothing() {
    let months = Months::new(47);
    let (_server, there) = months.second_host();
    let here = &months.operator;
    let mut command = here.command(&["build", "--from-raw"]);
    command.env("NO_COLOR", "1").env("SLUICE_PAUSE_AT", "tables-built");
    let late = Background::start(command).unwrap();
    late.wait_until_stopped().unwrap();
    // What is read meanwhile is of one network: the other one's table would be replaced first.
    months.simulator.advance(TimeDelta::days(5));
    there.run("cj", &whole_window(&months.simulator, start(), 15)).unwrap();
    let before = shared_state(&there);
    late.go_on().unwrap();
    let ended = late.end().unwrap();
    assert!(!ended.status.success() && ended.stderr.contains("lease"), "{ended:?}");
    let different = differences(&before, &shared_state(&there));
    assert!(different.is_empty(), "{different:#?}");
    let asked = there.sluice(&["sql", "SELECT 1"]).unwrap();
    assert!(!asked.stderr.contains("some may be new and others old"), "{asked:?}");
}
