//! A service with its HTTP API, over Awin's simulated accounts, whose history is read.

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sluice_simulator::{Options, Simulator};
use tokio::runtime::Runtime;

use crate::{HttpAnswer, Operator, Service, http, runtime, whole_window};

const HISTORY_DAYS: u32 = 10;

/// Settings of a folder whose service answers HTTP at a port of the system's choice.
pub const API_SETTINGS: &str = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n\
                                [server]\nlisten = \"127.0.0.1:0\"\n";

/// The service, with what it needs.
pub struct Api {
    /// Its folder.
    pub operator: Operator,
    /// Its process.
    pub service: Service,
    /// `host:port` of its HTTP API.
    pub address: String,
    /// The window that holds all that the simulator has.
    pub window: [String; 2],
    _simulator: (Simulator, Runtime),
}

impl Api {
    /// Starts it.
    ///
    /// # Errors
    /// A binary or a connector that isn't built.
    pub fn start() -> anyhow::Result<Self> {
        Self::with_settings("")
    }

    /// Starts it with more settings.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn with_settings(more: &str) -> anyhow::Result<Self> {
        let runtime = runtime();
        let start: DateTime<Utc> = "2025-11-10T12:00:00Z".parse()?;
        let options = Options { start, history_days: HISTORY_DAYS, rows_per_day: 2, ..Options::default() };
        let simulator = runtime.block_on(Simulator::start(options))?;
        let mut operator = Operator::of(&simulator, &["awin"])?;
        operator.write("sluice.toml", &format!("{API_SETTINGS}{more}"))?;
        let network = json!({
            "connector": "awin", "schedule": "0 0 29 2 *", "look_back": [{"every": "1h", "days": 15}],
            "base_url": simulator.origin("awin"), "rate": {"requests": 2000, "per_secs": 1, "concurrency": 8},
            "accounts": operator.accounts(&simulator, "awin"),
        });
        operator.write("networks/awin.json", &network.to_string())?;
        let window = whole_window(&simulator, start, HISTORY_DAYS.into());
        operator.succeed(&["run", "awin", "--since", &window[0], "--until", &window[1]])?;
        let (service, address) = serve(&operator)?;
        Ok(Self { operator, service, address, window, _simulator: (simulator, runtime) })
    }

    /// Starts it with a section for clients of another protocol, and more lines of it and more sections. Gives the port that it
    /// logs after `words`, and the token of `analyst`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn with_clients(section: &str, words: &str, more: &str) -> anyhow::Result<(Self, String, String)> {
        let mut api = Self::with_settings(&format!("[{section}]\nlisten = \"127.0.0.1:0\"\n{more}"))?;
        let words = format!("{words} 127.0.0.1:");
        let seen = api.service.seen().lines().find(|line| line.contains(&words)).map(str::to_owned);
        let line = seen.map_or_else(|| api.service.wait_for(&[words.as_str()]), Ok)?;
        let port = line.rsplit("127.0.0.1:").next().context("no port")?;
        let port = port.chars().take_while(char::is_ascii_digit).collect();
        let token = api.token("analyst", "read")?;
        Ok((api, port, token))
    }

    /// Ends the service as a crash does, and starts another one.
    ///
    /// # Errors
    /// A service that doesn't start.
    pub fn crash_and_start_again(&mut self) -> anyhow::Result<()> {
        self.service.kill();
        (self.service, self.address) = serve(&self.operator)?;
        Ok(())
    }

    /// A new token.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn token(&self, name: &str, role: &str) -> anyhow::Result<String> {
        Ok(self.operator.succeed(&["tokens", "create", name, "--role", role])?.trim().to_owned())
    }

    /// Asks for a path.
    ///
    /// # Errors
    /// A service that is gone.
    pub fn get(&self, path: &str, token: &str) -> anyhow::Result<HttpAnswer> {
        http(&self.address, "GET", path, Some(token), None)
    }

    /// Sends a body to a path.
    ///
    /// # Errors
    /// A service that is gone.
    pub fn post(&self, path: &str, token: &str, body: &Value) -> anyhow::Result<HttpAnswer> {
        http(&self.address, "POST", path, Some(token), Some(body))
    }

    /// Method and path of all routes under `/v1`, their parameters filled in.
    ///
    /// # Errors
    /// A description that lacks a parameter.
    pub fn routes(&self) -> anyhow::Result<Vec<(String, String)>> {
        let description = http(&self.address, "GET", "/openapi.json", None, None)?.json()?;
        let mut routes = Vec::new();
        for (path, methods) in description["paths"].as_object().context("no paths")? {
            let mut filled = path.clone();
            for (method, operation) in methods.as_object().context("no methods")? {
                let declared = operation["parameters"].to_string();
                for name in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
                    ensure!(declared.contains(&format!("\"name\":\"{name}\"")), "{path}: {name} isn't declared");
                    filled = filled.replace(&format!("{{{name}}}"), "awin");
                }
                if path.starts_with("/v1") {
                    routes.push((method.to_uppercase(), filled.clone()));
                }
            }
        }
        Ok(routes)
    }
}

fn serve(operator: &Operator) -> anyhow::Result<(Service, String)> {
    let mut service = Service::start(operator)?;
    let line = service.wait_for(&["the HTTP API listens on http://"])?;
    let address = line.rsplit("http://").next().and_then(|rest| rest.split(['"', ' ']).next()).context("no address")?;
    Ok((service, address.to_owned()))
}
