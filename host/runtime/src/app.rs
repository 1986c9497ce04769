//! What commands share: settings, connectors, the lake, the state.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sluice_engine::{Engine, EngineOptions, Limits};
use sluice_fetch::{FetchOptions, Fetcher, SpoolMemory, TokenPersistence};
use sluice_lake::{Committer, Fence, Lake};
use sluice_model::describe;
use sluice_query::{Session, SessionOptions};
use sluice_registry::{Policy, PolicyOptions, Registry, Shadow, SwapSettings, TakeGuestSlot};
use sluice_state::{Claim, State, rate_grants, token_persistence};
use tokio::sync::Semaphore;

use crate::failure::Failure;
use crate::free_space::{self, DiskFloor};
use crate::guests::Guests;
use crate::memory::{ByteLimit, MemoryBudget};
use crate::meter::{Meter, Unit};
pub use crate::network::Network;
use crate::query_workers;
use crate::settings::Settings;
use crate::settings::network::{self, Loaded, NetworkSettings};
use crate::step;
use crate::swap_plan::SwapPlan;

/// A service's parts, each opened once.
pub struct App {
    /// The settings, as they were at the start of the process.
    pub settings: Settings,
    /// The connectors that serve.
    pub registry: Arc<Registry>,
    /// Sends requests to the networks.
    pub fetcher: Fetcher,
    /// Raw, tables and connectors.
    pub lake: Lake,
    /// Claims, the queue of runs, cursors, and which version serves.
    pub state: Arc<State>,
    /// How new versions of connectors take over.
    pub policy: Arc<Policy>,
    /// Guests that may run at once: one per core.
    pub guests: Guests,
    /// Runs that may be planned at once: whatever is due at once, each has its share of processor and memory.
    pub starting: Arc<Semaphore>,
    /// What writes the tables, for all runs of this process.
    pub committer: Committer,
    /// Memory for responses, of all runs of this process.
    pub memory: MemoryBudget,
    /// Bytes of requests that wait for their turn, of all runs of this process.
    pub waiting: ByteLimit,
    /// Bounds what slices of few records hold until others are read.
    pub few: ByteLimit,
    /// Bounds what slices remember of their transactions, to compare their responses.
    pub contents: ByteLimit,
    /// Whether the lake's disk has room for what is fetched.
    pub disk: DiskFloor,
    /// What this process is doing.
    pub meter: Arc<Meter>,
    /// What other hosts call this process by to share a query.
    pub query_address: OnceLock<String>,
}

impl App {
    /// Opens everything that a run needs.
    ///
    /// # Errors
    /// What can't be opened, and what to do.
    pub async fn open(settings: Settings) -> Result<Self, Failure> {
        Self::open_with(settings, Arc::default()).await
    }

    /// The same, counting on a meter that somebody watches already: loading connectors may compile them.
    ///
    /// # Errors
    /// As [`App::open`].
    pub async fn open_with(settings: Settings, meter: Arc<Meter>) -> Result<Self, Failure> {
        meter.begin("open the lake", Unit::Nothing, 0);
        let lake = open_writable_lake(&settings).await?;
        let state = Arc::new(State::open(&settings.state_url).await?.with_lease_times(settings.lease_times));
        let guests = Guests::new(cores());
        let options = policy_options(&settings, guests.take_slot());
        let policy = Arc::new(Policy::new(lake.clone(), state.clone(), options));
        let registry = Arc::new(open_registry_counted(&settings, policy.clone(), &meter).await?);
        let committer = lake.committer(settings.limits.committer());
        Ok(Self {
            registry,
            fetcher: Fetcher::with_persistence(fetch_options(&settings), tokens(&settings, &state).await?)?
                .granted_by(rate_grants(&state)),
            lake,
            state,
            policy,
            guests,
            starting: Arc::new(Semaphore::new(2 * cores())),
            committer,
            memory: MemoryBudget::new(settings.limits.response_bytes()),
            waiting: ByteLimit::new(settings.limits.waiting_bytes()),
            few: ByteLimit::new(settings.limits.few_bytes()),
            contents: ByteLimit::new(settings.limits.contents_bytes()),
            disk: DiskFloor::default(),
            settings,
            meter,
            query_address: OnceLock::new(),
        })
    }

    /// Claims a whole network, once no other run works on any of its accounts.
    ///
    /// # Errors
    /// The state store's failure, or that it is in use for too long.
    pub async fn claim(&self, network: &str) -> Result<Claim, Failure> {
        self.meter.begin(format!("wait until {network} is free"), Unit::Nothing, 0);
        Ok(self.state.claim(network, &[]).await?)
    }

    /// The network of this name, its file read now, its connector as it serves now.
    ///
    /// # Errors
    /// A settings failure if there is no such network or no connector for it.
    pub fn network(&self, name: &str) -> Result<Network, Failure> {
        find_network(&self.registry, &self.settings, name)
    }
}

/// The fence in commits of rows that are read under a claim.
pub fn fence(claim: &Claim) -> Fence {
    Fence { resource: claim.resource().to_owned(), epoch: claim.epoch(), lapsed: claim.lapsed() }
}

/// The network of this name, its file read now, its connector as it serves now.
///
/// # Errors
/// A settings failure if there is no such network or no connector for it.
pub fn find_network(registry: &Registry, settings: &Settings, name: &str) -> Result<Network, Failure> {
    with_connector(registry, settings, network_settings(settings, name)?)
}

/// The settings of the network of this name, read now.
///
/// # Errors
/// A settings failure if there is no such network.
pub fn network_settings(settings: &Settings, name: &str) -> Result<NetworkSettings, Failure> {
    let Loaded { networks, broken } = network::load_each(&settings.networks_dir)?;
    if let Some((_, failure)) = broken.into_iter().find(|(broken, _)| broken == name) {
        return Err(failure);
    }
    let names: Vec<_> = networks.iter().map(|network| network.name.clone()).collect();
    networks.into_iter().find(|network| network.name == name).ok_or_else(|| {
        let known =
            if names.is_empty() { "no network is set up".into() } else { format!("there are: {}", names.join(", ")) };
        Failure::usage(format!("there is no network `{name}`"))
            .hint(format!("{known}; add {}", settings.networks_dir.join(format!("{name}.json")).display()))
    })
}

/// The network's settings with the connector that serves it.
///
/// # Errors
/// A settings failure if none does.
pub fn with_connector(registry: &Registry, app: &Settings, settings: NetworkSettings) -> Result<Network, Failure> {
    let id = &settings.content.connector;
    if let Some((connector, candidate)) = registry.pair(id) {
        let shadow = candidate.map(|candidate| Arc::new(Shadow::new(candidate)));
        return Ok(Network { settings, connector, shadow, secrets: app.secrets.clone() });
    }
    let message = format!("{}: no connector `{id}` in {}", settings.file, app.connectors_dir.display());
    let refused = registry.entries().into_iter().find_map(|entry| {
        let reason = entry.refusal()?;
        entry.file.contains(id.as_str()).then(|| format!("{}: {reason}", entry.file))
    });
    Err(Failure::settings(message).hint(refused.unwrap_or_else(|| {
        format!("put its .wasm there (`just build` leaves them in the target directory's connectors/{id}.wasm)")
    })))
}

/// The connectors of the settings' folder, as far as the policy lets them serve.
///
/// # Errors
/// A settings failure if the folder can't be read.
pub async fn open_registry(settings: &Settings, policy: Arc<Policy>) -> Result<Registry, Failure> {
    open_registry_counted(settings, policy, &Meter::default()).await
}

/// The same, its files counted on a meter: at their first load they are compiled, which takes seconds for each.
async fn open_registry_counted(settings: &Settings, policy: Arc<Policy>, meter: &Meter) -> Result<Registry, Failure> {
    let engine = open_engine(settings)?;
    let (dir, keys) = (&settings.connectors_dir, settings.connector_keys.clone());
    let total = OnceLock::new();
    let loads = |left: usize| match total.set(left) {
        Ok(()) => meter.begin("load connectors (each is compiled once)", Unit::Connectors, left as u64),
        Err(_) => meter.done(Unit::Connectors),
    };
    Ok(Registry::open_watched(engine, dir, keys, policy, &loads).await?)
}

/// What the policy of connectors needs of the settings.
fn policy_options(settings: &Settings, guest_slots: TakeGuestSlot) -> PolicyOptions {
    let networks_dir = settings.networks_dir.clone();
    let swap_settings = move |network: &str| {
        let failed = |failure: Failure| sluice_registry::Error::Settings {
            reason: describe(failure.error.as_ref()),
            hint: failure.hint,
        };
        let Loaded { networks, mut broken } = network::load_each(&networks_dir).map_err(failed)?;
        let is_named = networks.iter().any(|file| file.content.connector == network);
        if !is_named && !broken.is_empty() {
            // It may be one of these, and its operator's decision.
            return Err(failed(broken.remove(0).1));
        }
        // A connector that several files name is swapped by the strictest of them.
        let mut named = networks.iter().filter(|file| file.content.connector == network).map(|file| file.content.swap);
        let first = named.next().unwrap_or_default();
        Ok(named.fold(first, SwapSettings::stricter))
    };
    let plan = SwapPlan {
        networks_dir: settings.networks_dir.clone(),
        secrets: settings.secrets.clone(),
        slices_per_run: settings.limits.slices_per_run,
        requests_per_slice: settings.limits.requests_per_slice,
    };
    PolicyOptions {
        planned_reads: Arc::new(move |connector| plan.of(connector)),
        lake_url: settings.lake_url.clone(),
        fetch: settings.fetch.clone(),
        swap_settings: Arc::new(swap_settings),
        guest_slots,
    }
}

/// How responses are received: within the process's memory, the larger ones in files.
fn fetch_options(settings: &Settings) -> FetchOptions {
    FetchOptions {
        body_memory_bytes: settings.limits.body_bytes(),
        spool_memory: SpoolMemory::new(settings.limits.spool_bytes()),
        spool_folder: free_space::spool_folder(settings),
        ..settings.fetch.clone()
    }
}

/// Where refresh tokens are kept: in the state store, sealed by `state.key`.
///
/// # Errors
/// A settings failure for a key that can't be read or is none.
async fn tokens(settings: &Settings, state: &State) -> Result<TokenPersistence, Failure> {
    Ok(token_persistence(state, &settings.state_url, settings.state_key().await?)?)
}

/// Where guests run, within the settings' limits. Compiled components are shared by all processes of this user.
///
/// # Errors
/// A machine on which they can't.
pub fn open_engine(settings: &Settings) -> Result<Engine, Failure> {
    let (limits, check_every) = (settings.limits.engine(), settings.limits.check_every);
    Ok(Engine::new(EngineOptions { cache_dir: cache_dir(), limits, check_every, ..EngineOptions::default() })?)
}

/// Where guests run within limits that no settings say: for commands that need none.
///
/// # Errors
/// A machine on which they can't.
pub fn open_engine_within(limits: Limits) -> Result<Engine, Failure> {
    Ok(Engine::new(EngineOptions { cache_dir: cache_dir(), limits, ..EngineOptions::default() })?)
}

/// The connectors for a command that only reports: nothing is tried, switched or recorded.
///
/// # Errors
/// A failure of the settings or the state store.
pub async fn open_registry_read_only(settings: &Settings) -> Result<Registry, Failure> {
    let state = Arc::new(State::open(&settings.state_url).await?);
    open_registry(
        settings,
        Arc::new(Policy::read_only(state, policy_options(settings, Guests::new(cores()).take_slot()))),
    )
    .await
}

/// The lake of the settings, to be read.
///
/// # Errors
/// A failure if its place can't be opened.
pub async fn open_lake(settings: &Settings) -> Result<Lake, Failure> {
    Ok(Lake::open(&settings.lake_url).await?.watched(step::passed))
}

/// SQL over a lake's tables as they are now.
///
/// # Errors
/// The lake's failure.
pub async fn open_session(lake: Lake) -> Result<Session, Failure> {
    let tables = lake.tables().await?;
    Ok(Session::open(lake, tables, SessionOptions::default())?)
}

/// The same for a query that an operator wrote, within `[limits]` and by `[query]`.
///
/// # Errors
/// The lake's failure; a settings failure for a `state.key` that is missing or can't be read.
pub async fn open_limited_session(lake: Lake, settings: &Settings) -> Result<Session, Failure> {
    query_workers::spread(open_local_session(lake, settings).await?, settings).await
}

/// The same within `[limits]` on this host alone: to list tables and plan queries, which takes no query workers.
///
/// # Errors
/// The lake's failure.
pub async fn open_local_session(lake: Lake, settings: &Settings) -> Result<Session, Failure> {
    let tables = lake.tables().await?;
    Ok(Session::open(lake, tables, settings.limits.query())?)
}

/// The lake of the settings, to be written, on a store that many may write at once.
///
/// # Errors
/// A failure if it can't be written, or if its store loses commits of several writers.
pub async fn open_writable_lake(settings: &Settings) -> Result<Lake, Failure> {
    match Lake::open_writable(&settings.lake_url).await {
        Ok(lake) => Ok(lake.watched(step::passed)),
        Err(error @ sluice_lake::Error::LosesCommits { .. }) => {
            let hint = error.hint();
            Err(Failure::settings(error).maybe_hint(hint))
        }
        Err(error) => Err(error.into()),
    }
}

/// Where compiled components are kept: `$XDG_CACHE_HOME/sluice` or `$HOME/.cache/sluice`; nowhere without either.
fn cache_dir() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    Some(base.join("sluice").join("components"))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How long a stopping service waits for what is in flight.
pub const GRACE: Duration = Duration::from_secs(30);
