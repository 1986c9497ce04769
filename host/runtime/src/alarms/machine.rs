//! What each machine judges by itself: its disk, its way to the lake, its settings.

use std::collections::BTreeSet;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use sluice_model::Alarm;
use sluice_state::{ServiceStats, host};

use super::fault::{Fault, Findings};
use super::rule::Rule;
use crate::app;
use crate::failure::Failure;
use crate::free_space;
use crate::settings::Settings;

/// After so long other machines end what one that is gone has found of itself.
const FORGOTTEN: TimeDelta = TimeDelta::days(1);

/// Judges this machine. `unusable`: the settings files that can't be used, with the reasons. `unread`: why the lake can't be
/// read.
pub(super) async fn find(
    settings: &Settings,
    services: &[ServiceStats],
    unusable: Vec<(String, Failure)>,
    unread: Vec<Failure>,
    now: DateTime<Utc>,
    findings: &mut Findings,
) {
    let here = host();
    let alive: BTreeSet<String> =
        services.iter().filter(|stats| stats.is_fresh(now)).map(|stats| stats.host.clone()).collect();
    let covers = |here: String| {
        let alive = alive.clone();
        move |alarm: &Alarm| {
            let is_old = alarm.opened_at + FORGOTTEN <= now;
            alarm.host.as_ref().is_none_or(|host| *host == here || is_old && !alive.contains(host))
        }
    };
    let floor = settings.alarms.threshold(Rule::Disk, |of| of.min_free_mb, 2 * settings.limits.min_free_mb);
    findings.add(Rule::Disk, covers(here.clone()), disk_faults(&free_space::disks(settings), floor, &here));
    findings.add(
        Rule::Settings,
        covers(here.clone()),
        unusable.iter().map(|(file, why)| settings_fault(file, why, &here)),
    );
    let failures: Vec<Failure> = broken_lake(settings).await.into_iter().chain(unread).collect();
    findings.add(Rule::Lake, covers(here.clone()), lake_fault(&settings.lake_url, &failures, &here));
}

/// Why the lake can't be written, or what of it can't be believed. A folder that is gone isn't made anew: its disk may not be
/// mounted.
async fn broken_lake(settings: &Settings) -> Option<Failure> {
    let folder = settings.lake_url.strip_prefix("file:").map(|path| path.trim_start_matches("//"));
    if let Some(folder) = folder.filter(|folder| !Path::new(folder).exists()) {
        let gone = Failure::failed(anyhow::anyhow!("its folder {folder} is gone"));
        return Some(gone.hint("mount its disk, or restore it from a backup, before anything is run"));
    }
    let lake = match app::open_writable_lake(settings).await {
        Ok(lake) => lake,
        Err(failure) => return Some(failure),
    };
    match lake.is_half_rebuilt().await {
        Ok(false) => None,
        Ok(true) => {
            let text =
                "a rebuild is putting new tables in place, or was interrupted at that: some may be new and others old";
            let hint = "unless a rebuild is running or queued, start one: `sluice build --from-raw`";
            Some(Failure::failed(anyhow::anyhow!(text)).hint(hint))
        }
        Err(error) => Some(error.into()),
    }
}

fn disk_faults(folders: &[(String, u64)], floor_mb: u64, host: &str) -> Vec<Fault> {
    let low = folders.iter().filter(|(_, free)| free >> 20 < floor_mb);
    let fault = |(folder, free): &(String, u64)| {
        let summary = format!("{host}: the disk of {folder} has {} MiB of free space", free >> 20);
        Fault::new(Rule::Disk, format!("{host}:{folder}"), summary)
            .on(host)
            .evidence([format!("the alarm is below {floor_mb} MiB; below min_free_mb of [limits] nothing is fetched")])
            .advice("free space, or run `sluice maintain`; what is due is read once there is room")
    };
    low.map(fault).collect()
}

fn settings_fault(file: &str, why: &Failure, host: &str) -> Fault {
    Fault::new(Rule::Settings, format!("{host}:{file}"), format!("{host}: {file} can't be used: {}", why.error))
        .on(host)
        .evidence([why.render(false)])
        .advice(format!("correct {file}, and test it with `sluice check`; until then what was read before holds"))
}

fn lake_fault(url: &str, failures: &[Failure], host: &str) -> Option<Fault> {
    let first = failures.first()?;
    let fault =
        Fault::new(Rule::Lake, format!("{host}:{url}"), format!("{host}: the lake {url} fails: {}", first.error));
    let advice = first.hint.clone().unwrap_or_else(|| "see the evidence".to_owned());
    Some(fault.on(host).evidence(failures.iter().map(|failure| failure.render(false))).advice(advice))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_disk_is_low_below_its_floor() {
        let folders = [("/lake".to_owned(), 100 << 20), ("/state".to_owned(), 99 << 20)];
        let faults = disk_faults(&folders, 100, "blue");
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].subject, "blue:/state");
        assert_eq!(faults[0].summary, "blue: the disk of /state has 99 MiB of free space");
    }

    #[test]
    fn a_lake_that_answers_is_no_fault() {
        assert_eq!(lake_fault("file:/lake", &[], "blue"), None);
        let failure = Failure::failed(anyhow::anyhow!("read-only")).hint("mount it");
        let fault = lake_fault("file:/lake", &[failure], "blue").unwrap();
        assert_eq!(
            (fault.summary.as_str(), fault.advice.as_str()),
            ("blue: the lake file:/lake fails: read-only", "mount it")
        );
    }
}
