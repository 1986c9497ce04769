//! Accounts: what the options leave open is drawn from the seed and the account's name.

use crate::dice::Dice;
use crate::network::Network;
use crate::{Account, AccountSpec, Error, Options};
use std::collections::BTreeMap;

const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
/// What needs encoding in a query.
const AWKWARD: &[u8] = b"+/=&";

/// The name of the Awin account of the bench.
pub(crate) const BULK: &str = "bulk";

/// An account that is played.
#[derive(Debug, Clone)]
pub(crate) struct Played {
    pub(crate) network: Network,
    pub(crate) account: Account,
    /// Its place among the accounts of its network.
    pub(crate) place: usize,
    /// It gives the bench's rows and has no transactions of its own.
    pub(crate) bulk: bool,
}

impl Played {
    /// A setting, empty when the network has none of that name.
    pub(crate) fn setting(&self, name: &str) -> &str {
        self.account.settings.get(name).map_or("", String::as_str)
    }

    /// A secret, empty when the network has none of that name.
    pub(crate) fn secret(&self, name: &str) -> &str {
        self.account.secrets.get(name).map_or("", String::as_str)
    }
}

/// The accounts of the options, completed.
pub(crate) fn played(options: &Options) -> Result<Vec<Played>, Error> {
    let mut specs = options.accounts.clone();
    if specs.is_empty() {
        specs = Network::ALL
            .iter()
            .flat_map(|network| ["alpha", "beta"].map(|name| AccountSpec::new(network.slug(), name)))
            .collect();
    }
    if options.bulk_rows.is_some() {
        specs.push(AccountSpec::new(Network::Awin.slug(), BULK));
    }
    let mut played: Vec<Played> = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let network = Network::of(&spec.network)?;
        if played.iter().any(|it| it.network == network && it.account.name == spec.name) {
            return Err(Error::DuplicateAccount { network: spec.network.clone(), name: spec.name.clone() });
        }
        let place = played.iter().filter(|it| it.network == network).count();
        let bulk = options.bulk_rows.is_some() && index + 1 == specs.len();
        played.push(Played { network, account: account(options.seed, network, spec, place), place, bulk });
    }
    Ok(played)
}

fn account(seed: u64, network: Network, spec: &AccountSpec, place: usize) -> Account {
    let mut dice = Dice::of(seed, &[network.slug(), &spec.name, "account"]);
    // The place keeps ids apart however the dice fall.
    let mut number = |digits: u32| {
        let low = 10_i64.pow(digits - 1);
        let drawn = dice.between(low / 100, low * 9 / 100 - 1) * 100;
        (drawn + i64::try_from(place % 100).unwrap_or(0)).to_string()
    };
    let settings: Vec<(&str, String)> = match network {
        Network::Awin => vec![("publisher_id", number(7))],
        Network::Cj => {
            let currency = if place.is_multiple_of(2) { "EUR" } else { "USD" };
            vec![("publisher_id", number(8)), ("currency", currency.to_owned())]
        }
        Network::Rakuten => vec![("sid", number(8))],
        Network::TradeTracker => vec![("customer_id", number(7)), ("affiliate_site_id", number(7))],
        Network::ShareAsale => vec![("affiliate_id", number(8))],
        Network::Data(_) => Vec::new(),
    };
    let names: &[&str] = match network {
        Network::Awin | Network::Cj => &["token"],
        Network::Rakuten => &["client_id", "client_secret"],
        Network::TradeTracker => &["passphrase"],
        Network::ShareAsale => &["token", "secret_key"],
        Network::Data(_) => &[],
    };
    let facts = network.facts();
    let mut settings: BTreeMap<String, String> =
        settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    for (name, pattern) in facts.iter().flat_map(|facts| &facts.settings) {
        settings.insert(name.clone(), patterned(&mut dice, pattern, place));
    }
    settings.extend(spec.settings.clone());
    let by_data = facts.iter().flat_map(|facts| facts.secrets.iter().map(String::as_str));
    let names = names.iter().copied().chain(by_data);
    let secrets = names.map(|name| (name.to_owned(), secret(seed, network, &spec.name, name))).collect();
    Account { network: spec.network.clone(), name: spec.name.clone(), settings, secrets }
}

/// A setting by its pattern: digits for `#`, the last of which are the account's place; what follows a `=` as it is.
fn patterned(dice: &mut Dice, pattern: &str, place: usize) -> String {
    if let Some(text) = pattern.strip_prefix('=') {
        return text.to_owned();
    }
    let digits = pattern.matches('#').count();
    let mut number = format!("{}{:02}", dice.text(b"123456789", digits.saturating_sub(2)), place % 100).into_bytes();
    number.reverse();
    pattern.chars().map(|c| if c == '#' { number.pop().map_or('0', char::from) } else { c }).collect()
}

/// Forty characters, four of them in need of encoding (none in a client id, which is half of a basic credential).
fn secret(seed: u64, network: Network, account: &str, name: &str) -> String {
    let mut dice = Dice::of(seed, &[network.slug(), account, name, "secret"]);
    let parts: Vec<String> = (0..5).map(|_| dice.text(LETTERS, 8)).collect();
    if name == "client_id" {
        return parts.concat();
    }
    let mut text = String::new();
    for (index, part) in parts.iter().enumerate() {
        if let Some(byte) = index.checked_sub(1).and_then(|at| AWKWARD.get(at)) {
            text.push(char::from(*byte));
        }
        text.push_str(part);
    }
    text
}
