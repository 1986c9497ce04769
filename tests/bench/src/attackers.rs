//! One honest network in a service, alone and beside attackers, one after another: how long its run takes, whether its rows
//! are the same, how much memory the process takes, and whether `sluice status` names the attacker.
//!
//! The attackers are those of `attackers/list.rs`.

mod list;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sluice_tests::{Operator, http};

use crate::attackers::list::{Attacker, NAME, Settings, attackers};
use crate::load::{self, Load, Service};
use crate::network::{Address, Network, ROWS_PER_REQUEST};
use crate::process;

/// How much longer an honest network's run may take beside an attacker: the limit.
const MAX_ATTACKED_RATIO: f64 = 2.0;
/// Most memory beside an attacker: `memory_mb` plus 25 %, the limit.
const MAX_ATTACKED_MIB: f64 = 512.0 * 1.25;
/// How the honest network's line of the log begins: it is named as `load` names it.
const HONEST: &str = " n00: ";
/// What the variables that hold an attacker's secrets begin with.
const SECRET: &str = "ATTACKER_SECRET";
/// How long an attacker has until a status must name it.
const NAMED_AFTER: Duration = Duration::from_secs(600);
/// How long an attacker's run is watched after that. One that isn't let in has none.
const OVER_AFTER: Duration = Duration::from_secs(30);
/// Between two looks at the status.
const LOOK: Duration = Duration::from_secs(1);
/// Limits that let attackers end soon. None is stricter than an honest network needs.
const LIMITS: &str = "[limits]\ncall_timeout_ms = 2000\nslice_timeout_secs = 30\nrequests_per_slice = 200\n\
     splits_per_run = 20\nquery_secs = 5\n[fetch]\nread_timeout_secs = 5\nrequest_timeout_secs = 20\nmax_attempts = 2\n";

/// What an attacker did to an honest network.
#[derive(Serialize)]
pub(crate) struct Attacked {
    /// The attacker.
    pub(crate) what: String,
    /// The row of the table that it is of; 0: none.
    pub(crate) row: u8,
    /// Seconds of the honest network's run.
    pub(crate) wall_secs: f64,
    /// The same without the attacker.
    pub(crate) alone_secs: f64,
    /// Most memory of the service, the attacker's run included.
    pub(crate) peak_mib: f64,
    /// Whether the honest network's rows are the same.
    pub(crate) same_rows: bool,
    /// Whether `sluice status` names the attacker and what is wrong; none if nothing is.
    pub(crate) is_named: Option<bool>,
    /// Whether the service was there to the end.
    pub(crate) has_survived: bool,
}

impl Attacked {
    fn ratio(&self) -> f64 {
        self.wall_secs / self.alone_secs
    }

    /// What is wrong with it. `quick`: only for trying, so that time and memory aren't judged.
    pub(crate) fn faults(&self, quick: bool) -> Vec<String> {
        let (what, ratio, peak) = (&self.what, self.ratio(), self.peak_mib);
        let slow = (ratio > MAX_ATTACKED_RATIO)
            .then(|| format!("`{what}` slows an honest network down: {ratio:.2} times as long"));
        let large = (peak > MAX_ATTACKED_MIB).then(|| format!("beside `{what}` the process takes {peak:.0} MiB"));
        let rows = (!self.same_rows).then(|| format!("beside `{what}` an honest network has other rows"));
        let ended = (!self.has_survived).then(|| format!("`{what}` ends the service"));
        let unnamed = (self.is_named == Some(false)).then(|| format!("no status names `{what}`"));
        let judged = slow.into_iter().chain(large).filter(|_| !quick);
        ended.into_iter().chain(rows).chain(unnamed).chain(judged).collect()
    }
}

/// Prints what attackers did to an honest network. `quick`: only for trying.
pub(crate) fn print(all: &[Attacked], quick: bool) {
    println!("\nan honest network beside an attacker, by the row of the issue's table; named: `sluice status` does,");
    println!("unless nothing is wrong with it\n");
    println!(
        "{:<26} {:>4} {:>8} {:>8} {:>6} {:>9} {:>10} {:>6}",
        "", "row", "wall s", "alone s", "ratio", "peak MiB", "same rows", "named"
    );
    for attacked in all {
        let Attacked { what, row, wall_secs, alone_secs, peak_mib, same_rows, is_named, .. } = attacked;
        let row = if *row == 0 { "–".to_owned() } else { row.to_string() };
        let is_named = is_named.map_or("–".to_owned(), |is_named| is_named.to_string());
        let ratio = attacked.ratio();
        println!(
            "{what:<26} {row:>4} {wall_secs:>8.1} {alone_secs:>8.1} {ratio:>6.2} {peak_mib:>9.0} {same_rows:>10} {is_named:>6}"
        );
    }
    let judged = if quick { " (not judged: quick)" } else { "" };
    println!("\nratio at most {MAX_ATTACKED_RATIO}, peak at most {MAX_ATTACKED_MIB} MiB{judged}");
}

/// Serves the honest network alone, and then beside each attacker.
/// `only`: the attacker of this name.
pub(crate) fn measure(
    quick: bool,
    only: Option<&str>,
    sluice: &Path,
    connectors: &Path,
) -> anyhow::Result<Vec<Attacked>> {
    let load = if quick {
        Load { networks: 1, accounts: 2, windows: 2, rows_each: ROWS_PER_REQUEST }
    } else {
        Load { networks: 1, accounts: 20, windows: 12, rows_each: ROWS_PER_REQUEST }
    };
    let network = Network::start(ROWS_PER_REQUEST)?;
    let honest = || honest(load, &network.address, sluice, connectors);
    let alone = served(&honest()?, load, None)?;
    ensure!(alone.same_rows && alone.has_survived, "the honest network alone has other rows than it gives");
    let mut attacked = Vec::new();
    let mut attackers = attackers()?;
    attackers.retain(|attacker| only.is_none_or(|only| only == attacker.what));
    ensure!(!attackers.is_empty(), "there is no attacker `{}`", only.unwrap_or_default());
    for attacker in attackers {
        let mut operator = honest()?;
        invite(&mut operator, &attacker)?;
        let beside = served(&operator, load, Some(&attacker))?;
        attacked.push(Attacked {
            what: attacker.what.to_owned(),
            row: attacker.row,
            wall_secs: beside.wall_secs,
            alone_secs: alone.wall_secs,
            peak_mib: beside.peak_mib,
            same_rows: beside.same_rows,
            is_named: beside.is_named,
            has_survived: beside.has_survived,
        });
    }
    Ok(attacked)
}

fn honest(load: Load, address: &Address, sluice: &Path, connectors: &Path) -> anyhow::Result<Operator> {
    let operator = load::one_network(load, address, sluice, connectors)?;
    let settings = std::fs::read_to_string(operator.join("sluice.toml"))?;
    operator.write("sluice.toml", &format!("{settings}{LIMITS}{}", load::LISTENING))?;
    Ok(operator)
}

fn invite(operator: &mut Operator, attacker: &Attacker) -> anyhow::Result<()> {
    let path = format!("networks/{NAME}.json");
    match attacker.settings {
        Settings::Right => {}
        Settings::Text(text) => return operator.write(&path, text),
        Settings::Pipe => {
            let made = Command::new("mkfifo").arg(operator.join(&path)).status().context("cannot run `mkfifo`")?;
            ensure!(made.success(), "no pipe: {made}");
            return Ok(());
        }
    }
    operator.put_connector(&format!("{}.wasm", attacker.id), &attacker.component)?;
    let mut accounts = Vec::new();
    for number in 0..attacker.accounts {
        // Two with one secret would be one account, and are refused.
        let variable = format!("{SECRET}_{number}");
        operator.set(&variable, &format!("s3cret-{number}-of-the-attacker's-own"));
        let secret = json!(attacker.secret.map_or_else(|| format!("env:{variable}"), str::to_owned));
        let secrets: Map<_, _> = attacker.secrets.iter().map(|slot| ((*slot).to_owned(), secret.clone())).collect();
        accounts.push(json!({"name": format!("a{number}"), "settings": {}, "secrets": secrets}));
    }
    let file = json!({
        "connector": attacker.id, "schedule": "* * * * *", "base_url": attacker.origin,
        "look_back": [{"every": "1h", "days": 1}],
        "rate": {"requests": 1000, "per_secs": 1, "concurrency": 16},
        "accounts": accounts,
    });
    operator.write(&path, &file.to_string())
}

/// Clients of the API, until dropped.
struct Clients {
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl Clients {
    fn start(operator: &Operator, address: &str, queries: &'static [&'static str]) -> anyhow::Result<Self> {
        let mut clients = Self { end: Arc::default(), threads: Vec::new() };
        for (number, query) in queries.iter().enumerate() {
            let token = operator.succeed(&["tokens", "create", &format!("client-{number}"), "--role", "read"])?;
            let (address, end) = (address.to_owned(), clients.end.clone());
            clients.threads.push(std::thread::spawn(move || {
                while !end.load(Ordering::Relaxed) {
                    let answer = http(&address, "POST", "/v1/sql", Some(token.trim()), Some(&json!({"query": query})))?;
                    ensure!(answer.status != 500, "`{query}` is answered with {}", answer.text());
                }
                Ok(())
            }));
        }
        Ok(clients)
    }

    /// Waits for their last answers; an error if one had none, or one that tells of a fault of the host.
    fn end(self) -> anyhow::Result<()> {
        self.end.store(true, Ordering::Relaxed);
        let ended = self.threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a client panicked"))?);
        ended.collect()
    }
}

/// What a service gave.
struct ServedBeside {
    wall_secs: f64,
    peak_mib: f64,
    same_rows: bool,
    is_named: Option<bool>,
    has_survived: bool,
}

/// Serves until the honest network was run once, and a status names the attacker.
fn served(operator: &Operator, load: Load, attacker: Option<&Attacker>) -> anyhow::Result<ServedBeside> {
    let start = Instant::now();
    let (sender, log) = channel();
    let mut service = Service::start(operator, sender)?;
    let address = load::listening_at(&mut log.iter())?;
    let queries = attacker.map_or(&[][..], |attacker| attacker.queries);
    let clients = Clients::start(operator, &address, queries)?;
    let honest = until_honest_is_over(&log);
    if honest.is_err() && service.has_ended()? {
        // Nothing of it can be measured any more.
        let (wall_secs, peak_mib) = (f64::INFINITY, f64::INFINITY);
        return Ok(ServedBeside { wall_secs, peak_mib, same_rows: false, is_named: None, has_survived: false });
    }
    let mut attacker_is_over = honest?;
    let wall_secs = start.elapsed().as_secs_f64();
    clients.end()?;
    attacker_is_over |= !queries.is_empty();
    let is_named = match attacker {
        Some(attacker) if attacker.fails => Some(is_named(operator, &attacker.id)?),
        _ => None,
    };
    // Its peak may be yet to come.
    let last = Instant::now() + OVER_AFTER;
    let mut log_has_ended = false;
    while attacker.is_some() && !attacker_is_over {
        match log.recv_timeout(last.saturating_duration_since(Instant::now())) {
            Ok(line) => attacker_is_over = is_of_attacker(&line),
            Err(error) => {
                log_has_ended = error == RecvTimeoutError::Disconnected;
                break;
            }
        }
    }
    // One that was killed for its memory tells of none.
    let has_survived = !log_has_ended && !service.has_ended()?;
    let peak_mib = if has_survived { process::of_running(service.child(), start)?.peak_mib } else { f64::INFINITY };
    drop(service);
    Ok(ServedBeside { wall_secs, peak_mib, same_rows: has_its_rows(operator, load)?, is_named, has_survived })
}

/// Whether the tables hold what the honest network gives: as many rows as it has, and nothing new if its windows are read
/// again. It gives the same for the same window.
fn has_its_rows(operator: &Operator, load: Load) -> anyhow::Result<bool> {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let read =
        operator.sql("SELECT min(since) AS since, max(until) AS until FROM meta.coverage WHERE network = 'awin'")?;
    let counted = "SELECT count(*) AS n FROM unified.transaction_versions WHERE network = 'awin'";
    let before = operator.sql(counted)?[0]["n"].clone();
    let again =
        operator.run(HONEST.trim().trim_end_matches(':'), &[text(&read[0], "since"), text(&read[0], "until")])?;
    let counts = [&before, &again["records"], &operator.sql(counted)?[0]["n"]];
    let same_rows = again["status"] == "done" && counts.iter().all(|count| **count == load.rows());
    if !same_rows {
        println!("{counts:?} rows instead of {}, and {again}", load.rows());
    }
    Ok(same_rows)
}

/// Reads the log until the honest network's run is over, and gives whether the attacker's was over before.
fn until_honest_is_over(log: &Receiver<String>) -> anyhow::Result<bool> {
    let mut attacker_is_over = false;
    loop {
        let line = log.recv_timeout(load::PATIENCE).context("the honest network's run doesn't end")?;
        attacker_is_over |= is_of_attacker(&line);
        if line.contains(HONEST) && line.contains(load::OVER) {
            return Ok(attacker_is_over);
        }
    }
}

fn is_of_attacker(line: &str) -> bool {
    line.contains(&format!(" {NAME}: ")) && line.contains(load::OVER)
}

/// Looks at the status until it names a network with what failed, or a connector with why it isn't let in.
fn is_named(operator: &Operator, id: &str) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let mut output = String::new();
    while begun.elapsed() < NAMED_AFTER {
        let answer = operator.sluice(&["status"])?;
        output = [answer.stdout, answer.stderr].concat();
        let is_wrong =
            |line: &str| line.contains("no connector") || line.contains("doubtful: ") || line.starts_with("warning: ");
        let of_stream = output.lines().skip_while(|line| !(line.starts_with("  ") && line.contains(id)));
        let has_failed = of_stream.take_while(|line| line.starts_with("  ")).any(|line| line.contains(": failed "));
        if has_failed || output.lines().any(|line| line.contains(id) && is_wrong(line)) {
            return Ok(true);
        }
        #[expect(clippy::disallowed_methods, reason = "another process's state is only seen by looking")]
        std::thread::sleep(LOOK);
    }
    println!("no status names {id}:\n{output}");
    Ok(false)
}
