//! `sluice doubts`: answers that are held back, and deciding them.

use std::io::Write;
use std::sync::Arc;

use sluice_lake::{DoubtRow, DoubtState};
use sluice_runtime::app::{self, App, open_lake};
use sluice_runtime::doubt::DoubtKind;
use sluice_runtime::doubts;
use sluice_runtime::failure::Failure;
use sluice_runtime::settings::{Settings, network};
use sluice_runtime::text::count;

use super::rfc3339;
use crate::arguments::{DecideArgs, DoubtsArgs, DoubtsCommand};

/// Lists, shows or decides doubts.
///
/// # Errors
/// The lake's failure, or a doubt or network that isn't there.
pub(super) async fn doubts(settings: Settings, args: &DoubtsArgs, json: bool) -> Result<(), Failure> {
    match &args.command {
        None => list(&settings, args.network.as_deref(), args.all, json).await,
        Some(DoubtsCommand::List { network, all }) => {
            list(&settings, network.as_deref().or(args.network.as_deref()), *all || args.all, json).await
        }
        Some(DoubtsCommand::Show { id }) => show(&settings, id, json).await,
        Some(DoubtsCommand::Accept(decision)) => accept(settings, decision, json).await,
        Some(DoubtsCommand::Reject(decision)) => reject(settings, decision, json).await,
    }
}

async fn list(settings: &Settings, name: Option<&str>, all: bool, json: bool) -> Result<(), Failure> {
    let id = name.map(|name| app::network_settings(settings, name)).transpose()?;
    let id = id.map(|network| network.content.connector.clone());
    let mut found = open_lake(settings).await?.doubts(id.as_deref()).await?;
    found.retain(|doubt| all || doubt.state == DoubtState::Open);
    let mut out = std::io::stdout().lock();
    if json {
        let rows: Vec<_> = found.iter().map(doubts::json).collect();
        return Ok(writeln!(out, "{}", serde_json::Value::Array(rows))?);
    }
    for doubt in &found {
        writeln!(out, "{}", line(doubt))?;
    }
    let open = found.iter().filter(|doubt| doubt.state == DoubtState::Open).count();
    let noun = if open == 1 { "doubt" } else { "doubts" };
    Ok(writeln!(out, "{open} open {noun}")?)
}

/// A doubt on one line.
pub(super) fn line(doubt: &DoubtRow) -> String {
    let DoubtRow { doubt_id, network, account, stream, axis, kind, reason, .. } = doubt;
    let (since, until) = (rfc3339(doubt.window.since), rfc3339(doubt.window.until));
    let state = if doubt.state == DoubtState::Open { String::new() } else { format!(" ({})", doubt.state.name()) };
    format!("{doubt_id}{state} {network}.{stream} {account}, {since} to {until} by {axis}: {kind}: {reason}")
}

async fn show(settings: &Settings, id: &str, json: bool) -> Result<(), Failure> {
    let lake = open_lake(settings).await?;
    let doubt = doubts::find(&lake, id).await?;
    let mut out = std::io::stdout().lock();
    if json {
        return Ok(writeln!(out, "{}", doubts::json(&doubt))?);
    }
    writeln!(out, "{}", line(&doubt))?;
    writeln!(out, "  found {} by run {}", rfc3339(doubt.found_at), doubt.run_id)?;
    writeln!(out, "  commission in the tables: {}", money(&doubt.money_in_tables))?;
    writeln!(out, "  commission in the {} records of the answer: {}", doubt.records, money(&doubt.money_in_answer))?;
    if let (Some(at), Some(by)) = (doubt.decided_at, &doubt.decided_by) {
        let why = doubt.decision.as_deref().unwrap_or_default();
        writeln!(out, "  {} {} by {by}: {why}", doubt.state.name(), rfc3339(at))?;
    }
    let ids: Vec<String> = serde_json::from_str(&doubt.request_ids).unwrap_or_default();
    if !ids.is_empty() {
        let listed: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
        writeln!(
            out,
            "  the responses:\n    sluice sql \"SELECT request_key, url, raw_object FROM raw.objects WHERE request_id IN \
             ({})\"",
            listed.join(", ")
        )?;
    }
    if doubt.state == DoubtState::Open {
        if doubt.kind == DoubtKind::Cut.name() {
            writeln!(out, "  the next run reads the window again; a response without its end can't be accepted")?;
        }
        writeln!(out, "  if it is right:  sluice doubts accept {}", doubt.doubt_id)?;
        writeln!(out, "  if it is wrong:  sluice doubts reject {}", doubt.doubt_id)?;
    }
    Ok(out.flush()?)
}

/// `80.00 GBP, 3.50 EUR`.
fn money(json: &str) -> String {
    let parsed: std::collections::BTreeMap<String, String> = serde_json::from_str(json).unwrap_or_default();
    let texts: Vec<String> = parsed.iter().map(|(code, sum)| format!("{sum} {code}").trim_end().to_owned()).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

async fn accept(settings: Settings, decision: &DecideArgs, json: bool) -> Result<(), Failure> {
    let app = Arc::new(App::open(settings).await?);
    let doubt = doubts::find(&app.lake, &decision.id).await?;
    let network = app.network(&name_of(&app, &doubt)?)?;
    let accepted = doubts::accept(&app, &network, &doubt, decision.reason.as_deref()).await?;
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &accepted).map_err(Failure::failed)?;
        return Ok(writeln!(out)?);
    }
    let doubts::Accepted { doubt_id, records, new_versions, older, rejects, .. } = accepted;
    let [records, versions, rejects] = [(records, "record"), (new_versions, "new version"), (rejects, "reject")]
        .map(|(number, noun)| count(number, noun));
    writeln!(out, "{doubt_id} accepted: {records}, {versions}, {rejects}")?;
    if older > 0 {
        let (older, was) = (count(older, "transaction"), if older == 1 { "was" } else { "were" });
        writeln!(out, "  {older} {was} read later, with other contents: that stays in the tables")?;
    }
    Ok(())
}

async fn reject(settings: Settings, decision: &DecideArgs, json: bool) -> Result<(), Failure> {
    let app = Arc::new(App::open(settings).await?);
    let doubt = doubts::find(&app.lake, &decision.id).await?;
    doubts::reject(&app, &doubt, decision.reason.as_deref()).await?;
    let mut out = std::io::stdout().lock();
    if json {
        return Ok(writeln!(out, "{}", serde_json::json!({"doubt_id": doubt.doubt_id, "state": "rejected"}))?);
    }
    let effect = match doubt.request_ids.as_str() {
        "[]" => "it held nothing back",
        _ => "nothing of it is in the tables",
    };
    Ok(writeln!(out, "{} rejected: {effect}", doubt.doubt_id)?)
}

/// What the settings call the network of a doubt.
fn name_of(app: &App, doubt: &DoubtRow) -> Result<String, Failure> {
    let networks = network::load_each(&app.settings.networks_dir)?.networks;
    let has_account = |network: &network::NetworkSettings| {
        network.content.accounts.iter().any(|account| account.id() == doubt.account)
    };
    let of = networks.iter().filter(|network| network.content.connector == doubt.network);
    // Several files may name one connector: the one that has the account.
    let name =
        of.clone().find(|network| has_account(network)).or(of.clone().next()).map(|network| network.name.clone());
    name.ok_or_else(|| {
        Failure::settings(format!("no file in networks/ has \"connector\": \"{}\"", doubt.network))
            .hint("add the network whose answer it is, and accept it then")
    })
}
