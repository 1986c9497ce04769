//! A rollback while the version that it holds is on trial.

use std::fs;
use std::sync::{Arc, Mutex};

use chrono::Utc;
use sluice_engine::Connector;
use sluice_fetch::FetchOptions;
use sluice_lake::Lake;
use sluice_model::Digest;
use sluice_registry::{Keys, PlannedReads, Policy, PolicyOptions, Registry, SwapSettings, roll_back};
use sluice_state::{Active, Decision, State};

use crate::guest::Guest;
use crate::{engine, wait};

/// What happens when a candidate's reads are counted, once.
type Meanwhile = Arc<Mutex<Option<Box<dyn FnOnce(&Connector) + Send>>>>;

fn policy(lake: &Lake, lake_url: &str, state: &Arc<State>, meanwhile: &Meanwhile) -> Policy {
    let meanwhile = meanwhile.clone();
    let planned_reads = move |candidate: &Connector| {
        let happens = meanwhile.lock().unwrap().take();
        if let Some(happens) = happens {
            // Another process's doing: not on this one's threads.
            std::thread::scope(|scope| scope.spawn(|| happens(candidate)).join().unwrap());
        }
        Ok(PlannedReads::Slices { newest: Vec::new(), requests_per_slice: 10 })
    };
    let options = PolicyOptions {
        lake_url: lake_url.to_owned(),
        fetch: FetchOptions::default(),
        swap_settings: Arc::new(|_| Ok(SwapSettings::default())),
        planned_reads: Arc::new(planned_reads),
        guest_slots: Arc::new(|_| Box::pin(async { Box::new(()) as Box<dyn Send> })),
    };
    Policy::new(lake.clone(), state.clone(), options)
}

fn active(version: &str, digest: Digest) -> Active {
    Active {
        network: "awin".to_owned(),
        file: "awin.wasm".to_owned(),
        digest,
        version: version.to_owned(),
        rights: String::new(),
        since: Utc::now(),
    }
}

#[test]
fn a_version_that_is_rolled_back_during_its_trial_does_not_serve() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let lake_url = format!("file:{}", disk.path().join("lake").display());
    let state_url = format!("sqlite:{}", disk.path().join("state.db").display());
    let state = Arc::new(wait(State::open(&state_url)).unwrap());
    let lake = wait(Lake::open(&lake_url)).unwrap();
    let meanwhile = Meanwhile::default();
    let policy = Arc::new(policy(&lake, &lake_url, &state, &meanwhile));
    let registry = wait(Registry::open_with_policy(engine(), dir.path(), Keys::default(), policy)).unwrap();
    let put = |version: &str| {
        let component = Guest::new("awin", version).component();
        fs::write(dir.path().join("awin.wasm"), &component).unwrap();
        wait(registry.rescan());
        Digest::of(&component)
    };
    let first = put("1.0.0");
    assert_eq!(registry.get("awin").unwrap().version(), "1.0.0");
    let rolled_back = Box::new({
        let (lake, state) = (lake.clone(), state.clone());
        move |candidate: &Connector| {
            let back = active("1.0.0", first);
            assert!(wait(roll_back(&lake, &state, &back, first, &[candidate.digest()])).unwrap());
        }
    });
    *meanwhile.lock().unwrap() = Some(rolled_back);
    let second = put("1.1.0");
    let served = || registry.get("awin").unwrap().version().to_owned();
    assert_eq!(served(), "1.0.0");
    wait(registry.rescan());
    wait(registry.reconsider());
    assert_eq!(served(), "1.0.0");
    let held = registry.entries().remove(0);
    assert!(held.refusal().unwrap().starts_with("1.1.0 was rolled back at "), "{held:?}");
    assert_eq!(wait(state.active("", Some("awin"))).unwrap().unwrap().digest, first);
    assert_eq!(wait(state.decision("awin", second)).unwrap().unwrap().0, Decision::Hold);
    let history = wait(lake.activations("awin")).unwrap();
    assert_eq!(history.last().unwrap().digest, first, "the lake says the same, should the state store be lost");
}
