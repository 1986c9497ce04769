//! `sluice demo`: five simulated networks, two collects with time between them, and a few telling answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::TimeDelta;
use sluice_query::Format;
use sluice_simulator::{Options, Simulator};

use sluice_runtime::app::App;
use sluice_runtime::failure::Failure;
use sluice_runtime::run;
use sluice_runtime::settings::{Settings, network};
use sluice_state::Selection;
use sluice_state::Verb;

use crate::arguments::DemoArgs;

const HISTORY_DAYS: u32 = 60;
const LATER_DAYS: i64 = 10;

/// What the demo asks once all is collected.
const QUESTIONS: &[(&str, &str)] = &[
    (
        "What did each network earn us, by status?",
        "SELECT network, validation_status, payment_status, commission_currency AS currency, count(*) AS transactions,
                sum(commission_amount) AS commission, sum(commission_effective) AS effective
         FROM unified.transactions GROUP BY 1, 2, 3, 4 ORDER BY 1, 4, 2, 3",
    ),
    (
        "What changed between the two collects?",
        "SELECT network, change, count(*) AS versions, count(DISTINCT transaction_key) AS transactions
         FROM unified.transaction_versions
         WHERE run_id IN (SELECT run_id FROM meta.runs WHERE started_at > (SELECT max(finished_at) FROM (
             SELECT finished_at FROM meta.runs ORDER BY started_at LIMIT 5)))
         GROUP BY 1, 2 ORDER BY 1, 2",
    ),
    (
        "How did one transaction come to be what it is?",
        "SELECT v.network, v.transaction_id, v.version, v.status_raw, v.validation_status, v.payment_status,
                v.commission_amount, v.commission_currency AS currency, v.change, substr(v.raw_object, 1, 12) AS raw_object
         FROM unified.transaction_versions v
         WHERE v.transaction_key = (SELECT transaction_key FROM unified.transaction_versions
             WHERE version > 1 AND network = 'awin' ORDER BY transaction_key LIMIT 1)
         ORDER BY v.version",
    ),
];

/// Runs the demo.
///
/// # Errors
/// A failure to find the connectors, or of anything that a real run uses.
pub(super) async fn demo(args: &DemoArgs) -> Result<(), Failure> {
    let dir =
        args.dir.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("sluice-demo-{}", std::process::id())));
    let simulator = Simulator::start(Options { history_days: HISTORY_DAYS, ..Options::default() })
        .await
        .map_err(Failure::failed)?;
    prepare(&dir, &simulator)?;
    let settings = Settings::load(&dir.join("sluice.toml"))?;
    let app = Arc::new(App::open(settings).await?);
    say(&format!("Five simulated networks, two accounts each, {HISTORY_DAYS} days of history. First collect:"));
    collect(&app, &simulator).await?;
    simulator.advance(TimeDelta::days(LATER_DAYS));
    say(&format!("\n{LATER_DAYS} days later: late rows, decisions, corrections, payouts. Second collect:"));
    collect(&app, &simulator).await?;
    say("\nAnd again, with nothing changed: nothing is written.");
    collect(&app, &simulator).await?;
    let session = super::sql::open(&app.settings).await?;
    for (question, query) in QUESTIONS {
        say(&format!("\n{question}"));
        super::sql::answer(&session, query, Format::Table, &mut std::io::stdout()).await?;
    }
    where_to_look(&dir);
    Ok(())
}

/// Reads all networks over the simulator's whole history.
async fn collect(app: &Arc<App>, simulator: &Simulator) -> Result<(), Failure> {
    let until = simulator.clock();
    let since = until - TimeDelta::days(i64::from(HISTORY_DAYS) + 2 * LATER_DAYS);
    for network in network::load_all(&app.settings.networks_dir)? {
        let network = app.network(&network.name)?;
        let selection = Selection { since: Some(since), until: Some(until), ..Selection::default() };
        let lease = app.state.acquire(&network.settings.name).await?;
        let report = lease.guard(run::run(app, &network, &lease, Verb::Run, &selection)).await;
        lease.release().await;
        let report = report?;
        say(&format!("  {}", report.line()));
        if report.status != "done" {
            return Err(Failure::failed(anyhow::anyhow!(report.errors.join("; "))));
        }
    }
    Ok(())
}

/// Lays out a folder as an operator would: settings, networks, secrets in files, connectors.
fn prepare(dir: &Path, simulator: &Simulator) -> Result<(), Failure> {
    for folder in ["networks", "connectors.d", "secrets"] {
        std::fs::create_dir_all(dir.join(folder))?;
    }
    std::fs::write(dir.join("sluice.toml"), "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n")?;
    let mut networks = std::collections::BTreeMap::<&str, Vec<serde_json::Value>>::new();
    for account in simulator.accounts() {
        let mut secrets = serde_json::Map::new();
        for (slot, value) in &account.secrets {
            let file = dir.join("secrets").join(format!("{}-{}-{slot}", account.network, account.name));
            std::fs::write(&file, value)?;
            secrets.insert(slot.clone(), format!("file:{}", file.display()).into());
        }
        networks
            .entry(&account.network)
            .or_default()
            .push(serde_json::json!({"name": account.name, "settings": account.settings, "secrets": secrets}));
    }
    let source = find_connectors()?;
    for (network, accounts) in networks {
        let file = serde_json::json!({
            "connector": network, "base_url": simulator.origin(network), "accounts": accounts,
            "rate": {"requests": 1000, "per_secs": 1, "concurrency": 8},
        });
        std::fs::write(dir.join("networks").join(format!("{network}.json")), format!("{file:#}\n"))?;
        let name = format!("{network}.wasm");
        std::fs::copy(source.join(&name), dir.join("connectors.d").join(&name)).map_err(|error| {
            Failure::failed(anyhow::anyhow!("cannot copy {}: {error}", source.join(&name).display()))
                .hint("run `just build`")
        })?;
    }
    Ok(())
}

/// The built connectors: in `$SLUICE_CONNECTORS`, or where `just build` leaves them, beside the binary's folder.
fn find_connectors() -> Result<PathBuf, Failure> {
    let named = std::env::var_os("SLUICE_CONNECTORS").map(PathBuf::from);
    let built = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join("connectors"));
    named.or_else(built).filter(|dir| dir.is_dir()).ok_or_else(|| {
        Failure::failed(anyhow::anyhow!("no built connectors were found"))
            .hint("run `just build`, or set SLUICE_CONNECTORS")
    })
}

fn where_to_look(dir: &Path) {
    let dir = dir.display();
    say(&format!(
        "\nThe lake is yours to ask. Where to look next:
  cd {dir}
  sluice sql \"SHOW TABLES\"
  sluice sql \"SELECT * FROM awin.transactions LIMIT 3\" --format json
  sluice sql \"SELECT network, status, count(*), sum(body_bytes) FROM raw.objects GROUP BY 1, 2\"
  sluice status
  sluice connectors inspect cj"
    ));
}

fn say(text: &str) {
    println!("{text}");
}
