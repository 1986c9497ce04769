//! What a connector may do to accounts and networks, and what a new version of it wants more.

use serde::{Deserialize, Serialize};
use sluice_model::{Manifest, Rate, TokenSource};

/// The rights of a version, as its manifest asks for them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rights {
    hosts: Vec<String>,
    secrets: Vec<String>,
    tokens: Vec<TokenSource>,
    rate: Option<Rate>,
}

impl Rights {
    /// What a manifest asks for.
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            hosts: manifest.hosts.clone(),
            secrets: manifest.secrets.iter().map(|slot| slot.name.clone()).collect(),
            tokens: manifest.tokens.clone(),
            rate: manifest.rate,
        }
    }

    /// What these are beyond others, a line for each: what the operator has to agree to.
    pub fn beyond(&self, before: &Self) -> Vec<String> {
        let mut gained = Vec::new();
        let covered = |host: &String| before.hosts.iter().any(|pattern| covers(pattern, host));
        gained.extend(self.hosts.iter().filter(|host| !covered(host)).map(|host| format!("+ host {host}")));
        let new = self.secrets.iter().filter(|slot| !before.secrets.contains(slot));
        gained.extend(new.map(|slot| format!("+ secret slot {slot}")));
        for token in &self.tokens {
            match before.tokens.iter().find(|known| known.name == token.name) {
                None => gained.push(format!("+ token source {}", token.name)),
                Some(known) if known != token => gained.push(format!("~ token source {}", token.name)),
                Some(_) => {}
            }
        }
        gained.extend(looser(before.rate, self.rate));
        gained
    }

    /// Whether both allow the same.
    pub fn same(&self, other: &Self) -> bool {
        self.beyond(other).is_empty() && other.beyond(self).is_empty()
    }
}

/// Whether a host pattern allows all that another does.
fn covers(pattern: &str, host: &str) -> bool {
    pattern == host
        || pattern.strip_prefix('*').is_some_and(|domain| host.ends_with(domain) && host.len() > domain.len())
}

fn looser(before: Option<Rate>, after: Option<Rate>) -> Option<String> {
    let (before, after) = match (before, after) {
        (Some(before), Some(after)) => (before, after),
        (Some(before), None) => return Some(format!("~ rate: none instead of {}", shown(before))),
        (None, _) => return None,
    };
    let per = |rate: Rate, other: Rate| u64::from(rate.requests) * u64::from(other.per_secs);
    let is_looser = per(after, before) > per(before, after)
        || after.requests > before.requests
        || after.concurrency > before.concurrency;
    is_looser.then(|| format!("~ rate: {} instead of {}", shown(after), shown(before)))
}

fn shown(rate: Rate) -> String {
    format!("{} requests in {} s, {} at once", rate.requests, rate.per_secs, rate.concurrency)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(hosts: &[&str], secrets: &[&str], rate: Option<(u32, u32, u32)>) -> Rights {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let rate = rate.map(|(requests, per_secs, concurrency)| Rate { requests, per_secs, concurrency });
        Rights { hosts: texts(hosts), secrets: texts(secrets), tokens: Vec::new(), rate }
    }

    #[test]
    fn more_is_named_and_less_is_not() {
        let before = rights(&["api.awin.com"], &["token"], Some((20, 60, 4)));
        assert!(before.beyond(&before).is_empty());
        assert!(rights(&[], &[], Some((10, 60, 1))).beyond(&before).is_empty());
        let after = rights(&["api.awin.com", "cdn.example.com"], &["token", "key"], Some((20, 30, 4)));
        assert_eq!(
            after.beyond(&before),
            [
                "+ host cdn.example.com",
                "+ secret slot key",
                "~ rate: 20 requests in 30 s, 4 at once instead of 20 requests in 60 s, 4 at once"
            ]
        );
        assert_eq!(rights(&[], &[], None).beyond(&before), ["~ rate: none instead of 20 requests in 60 s, 4 at once"]);
    }

    #[test]
    fn a_pattern_covers_its_hosts_and_no_others() {
        let before = rights(&["*.example.com"], &[], None);
        assert!(rights(&["a.example.com"], &[], None).beyond(&before).is_empty());
        for host in ["example.com", ".example.com", "aexample.com", "a.example.com.evil.net", "*.com"] {
            assert_eq!(rights(&[host], &[], None).beyond(&before).len(), 1, "{host}");
        }
        let narrow = rights(&["a.example.com"], &[], None);
        assert_eq!(before.beyond(&narrow), ["+ host *.example.com"]);
    }

    #[test]
    fn a_burst_is_looser_though_the_mean_is_the_same() {
        let before = rights(&[], &[], Some((20, 60, 4)));
        assert_eq!(rights(&[], &[], Some((1_200, 3_600, 4))).beyond(&before).len(), 1);
        assert_eq!(rights(&[], &[], Some((20, 60, 5))).beyond(&before).len(), 1);
    }
}
