//! Which hosts may be contacted: those that both the connector's manifest and the operator name.
//!
//! The check applies to the URL as the client parses it, and again to every redirect.

use sluice_model::{Op, Request};
use url::{Host, Url};

use crate::address::is_public;
use crate::error::Error;

/// The longest host with its port; a name has at most 253 bytes.
const MAX_AUTHORITY_BYTES: usize = 260;
/// The longest location that is followed.
const MAX_LOCATION_BYTES: usize = 32 << 10;

/// The hosts that one account may contact.
#[derive(Clone, Debug)]
pub(crate) struct Allow {
    network: String,
    manifest: Vec<String>,
    operator: Vec<String>,
    base: Option<Url>,
}

/// Whether a URL is an http or https origin with a path at most, as a `base_url` has to be.
pub fn is_origin(url: &Url) -> bool {
    let no_more = url.query().is_none() && url.fragment().is_none();
    matches!(url.scheme(), "http" | "https") && url.has_host() && !has_userinfo(url) && no_more
}

impl Allow {
    /// Fails if `base` has more than an http(s) origin and a path.
    pub(crate) fn new(
        network: String,
        manifest: Vec<String>,
        operator: Vec<String>,
        base: Option<Url>,
    ) -> Result<Self, Error> {
        if base.as_ref().is_some_and(|url| !is_origin(url)) {
            let reason = "`base_url` must be an http or https origin, with a path at most".to_owned();
            return Err(Error::Settings { network, reason });
        }
        Ok(Self { network, manifest, operator, base })
    }

    /// Whether a URL has the origin of `base_url`.
    pub(crate) fn is_base(&self, url: &Url) -> bool {
        self.base.as_ref().is_some_and(|base| base.origin() == url.origin())
    }

    /// The `base_url`; empty without one.
    pub(crate) fn base(&self) -> &str {
        self.base.as_ref().map(Url::as_str).unwrap_or_default()
    }

    /// Checks a request by the first text of its URL, before any secret is used.
    pub(crate) fn request(&self, request: &Request) -> Result<(), Error> {
        let (_, url) = self.origin(request)?;
        // `base_url` is the operator's consent to its own host; a list of hosts may still exclude it.
        let consents = |base: &Url| {
            let hosts = [host_of(base), base.host_str().unwrap_or_default().to_owned()];
            self.operator.is_empty()
                || self.operator.iter().any(|pattern| hosts.iter().any(|host| matches(pattern, host)))
        };
        self.hosts(&url, self.base.as_ref().is_some_and(consents))
    }

    /// The URL to connect to for an evaluated template: checked, and moved to `base_url` if there is one.
    pub(crate) fn target(&self, request: &Request, evaluated: &[u8]) -> Result<Url, Error> {
        let fault = |reason: &str| self.fault(request, reason);
        let (prefix, origin) = self.origin(request)?;
        let text = std::str::from_utf8(evaluated).map_err(|_| fault("it is not text"))?;
        let rest = text.strip_prefix(&prefix).ok_or_else(|| fault("it does not begin with its first text"))?;
        if !rest.is_empty() && !rest.starts_with(['/', '?']) {
            return Err(fault("what follows the host must begin with `/` or `?`"));
        }
        if text.chars().any(char::is_control) {
            return Err(fault("it contains a control character"));
        }
        let url = Url::parse(text).map_err(|_| fault("it is no URL"))?;
        if url.origin() != origin.origin() || has_userinfo(&url) {
            return Err(fault("its host is not that of its first text"));
        }
        if url.fragment().is_some() {
            return Err(fault("it contains a `#`, whose rest would not be sent (use url-encode)"));
        }
        Ok(self.moved(url))
    }

    /// A URL on the origin and below the path of `base_url`, if there is one.
    pub(crate) fn moved(&self, url: Url) -> Url {
        let Some(base) = &self.base else { return url };
        let mut moved = base.clone();
        moved.set_path(&format!("{}{}", base.path().trim_end_matches('/'), url.path()));
        moved.set_query(url.query());
        moved
    }

    /// The target of a redirect, by the same rules. A host other than that of `base_url` must be in both lists.
    pub(crate) fn hop(&self, from: &Url, location: &str) -> Result<Url, Error> {
        let refuse = |reason: &str| Error::Redirect {
            network: self.network.clone(),
            host: host_of(from),
            reason: reason.to_owned(),
        };
        if location.len() > MAX_LOCATION_BYTES {
            return Err(refuse("its location is longer than 32768 bytes"));
        }
        let mut next = from.join(location).map_err(|_| refuse("its location is no URL"))?;
        // An error names the host.
        if next.host_str().is_some_and(|host| host.len() > MAX_AUTHORITY_BYTES) {
            return Err(refuse("its location's host is longer than a host may be"));
        }
        next.set_fragment(None);
        if has_userinfo(&next) {
            return Err(refuse("its location holds credentials"));
        }
        if self.is_base(&next) {
            return Ok(next);
        }
        if next.scheme() != "https" {
            return Err(refuse("its location is not https"));
        }
        self.hosts(&next, false)?;
        Ok(next)
    }

    /// The origin in the first text of a URL template, as text and parsed.
    fn origin(&self, request: &Request) -> Result<(String, Url), Error> {
        let fault = |reason: &str| self.fault(request, reason);
        let Some(Op::Text(first)) = request.url.first() else {
            return Err(fault("its first op must be a text with scheme and host"));
        };
        let rest = first.strip_prefix("https://").ok_or_else(|| fault("it must begin with `https://`"))?;
        let end = rest.find(['/', '?', '#', '\\']);
        if end.is_none() && request.url.len() > 1 {
            return Err(fault("its first text must hold the whole host and the `/` after it"));
        }
        let authority = end.map_or(rest, |end| &rest[..end]);
        let odd = |c: char| c == '@' || c.is_whitespace() || c.is_control();
        if authority.is_empty() || authority.contains(odd) || rest[authority.len()..].starts_with('\\') {
            return Err(fault("what stands between `https://` and the first `/` must be a host, and a port at most"));
        }
        // An error names the host; letters of other scripts take up to four bytes.
        if authority.len() > 4 * MAX_AUTHORITY_BYTES {
            return Err(fault("its host is longer than a host may be"));
        }
        let prefix = format!("https://{authority}");
        let url = Url::parse(&prefix).map_err(|_| fault("its host is no host"))?;
        Ok((prefix, url))
    }

    fn hosts(&self, url: &Url, operator_consents: bool) -> Result<(), Error> {
        let host = host_of(url);
        let manifest = self.manifest.iter().any(|pattern| matches(pattern, &host));
        let operator = operator_consents || self.operator.iter().any(|pattern| matches(pattern, &host));
        if !(manifest && operator) {
            return Err(Error::Host { network: self.network.clone(), host, manifest, operator });
        }
        let public = match url.host() {
            Some(Host::Ipv4(address)) => is_public(address.into()),
            Some(Host::Ipv6(address)) => is_public(address.into()),
            _ => true,
        };
        // With a `base_url` this host only names the API; no connection to it is made.
        if !public && !operator_consents {
            return Err(Error::PrivateAddress { network: self.network.clone(), host });
        }
        Ok(())
    }

    fn fault(&self, request: &Request, reason: &str) -> Error {
        Error::Template {
            network: self.network.clone(),
            request: request.key.clone(),
            place: "url".to_owned(),
            reason: reason.to_owned(),
        }
    }
}

fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// A URL's host, with its port unless that is the scheme's own.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// `api.example.com` matches itself; `*.example.com` matches any host below it, not itself. A wildcard below a top-level
/// domain matches nothing.
fn matches(pattern: &str, host: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    match pattern.strip_prefix("*.") {
        Some(suffix) => {
            let below = host.strip_suffix(suffix).and_then(|rest| rest.strip_suffix('.'));
            suffix.contains('.') && below.is_some_and(|label| !label.is_empty())
        }
        None => pattern == host,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn request(url: &[&str]) -> Request {
        Request { url: url.iter().map(|text| Op::Text((*text).to_owned())).collect(), ..Request::get("page-1") }
    }

    fn allow(manifest: &[&str], operator: &[&str], base: Option<&str>) -> Allow {
        let list = |hosts: &[&str]| hosts.iter().map(|host| (*host).to_owned()).collect();
        Allow::new("awin".into(), list(manifest), list(operator), base.map(|url| url.parse().unwrap())).unwrap()
    }

    fn target(allow: &Allow, url: &[&str]) -> Result<String, Error> {
        let request = request(url);
        allow.request(&request)?;
        allow.target(&request, url.concat().as_bytes()).map(String::from)
    }

    #[test]
    fn both_must_name_the_host_and_the_error_names_who_does_not() {
        let hint = |manifest: &[&str], operator: &[&str]| {
            let error = target(&allow(manifest, operator, None), &["https://cdn.example.com/a"]).unwrap_err();
            assert!(!error.is_retryable());
            (error.to_string(), error.hint().unwrap())
        };
        let (text, line) = hint(&["cdn.example.com"], &[]);
        assert_eq!(text, "connector `awin` may not ask `cdn.example.com`: the operator doesn't allow it");
        assert_eq!(line, "add `\"cdn.example.com\"` to `hosts` in networks/awin.json");
        let (text, line) = hint(&[], &["cdn.example.com"]);
        assert_eq!(text, "connector `awin` may not ask `cdn.example.com`: its manifest doesn't name it");
        assert_eq!(line, "add `\"cdn.example.com\"` to `hosts` in the manifest of connector `awin`");
        assert!(hint(&[], &[]).1.ends_with("and in networks/awin.json"));
        assert!(target(&allow(&["cdn.example.com"], &["*.example.com"], None), &["https://cdn.example.com/a"]).is_ok());
    }

    #[test]
    fn ambiguous_urls_are_refused() {
        let good = allow(&["good.example.com", "*.tenant.example.com"], &["good.example.com", "*.example.com"], None);
        for url in [
            &["http://good.example.com/"] as &[&str],
            &["https://good.example.com.evil/"],
            &["https://good.example.com", ".evil/"],
            &["https://good.example.com", "@evil.com/"],
            &["https://good.example.com@evil.com/"],
            &["https://user:pass@good.example.com/"],
            &["https://good.example.com\\@evil.com/"],
            &["https://evil.com\\.good.example.com/"],
            &["https://good.example.com:8443/"],
            &["https://good.example.com./"],
            &["https://evil.com/?https://good.example.com/"],
            &["https://evil.com#.good.example.com/"],
            &["https://tenant.example.com/"],
            &["https://xtenant.example.com/"],
            &["https:good.example.com/"],
            &["https:///good.example.com/"],
            &["//good.example.com/"],
            &[" https://good.example.com/"],
            &["https://good.example.com\t.evil/"],
            &["https://good.example.com/#x"],
            &["https://good.example.com/a\nb"],
            &["", "https://good.example.com/"],
        ] {
            assert!(target(&good, url).is_err(), "{url:?}");
        }
        assert_eq!(target(&good, &["https://good.example.com"]).unwrap(), "https://good.example.com/");
        assert_eq!(target(&good, &["https://good.example.com:443/a"]).unwrap(), "https://good.example.com/a");
        assert_eq!(
            target(&good, &["https://a.tenant.example.com/", "x?y"]).unwrap(),
            "https://a.tenant.example.com/x?y"
        );
        assert_eq!(target(&good, &["https://GOOD.example.com/", "//evil.com/"]).unwrap().matches("evil").count(), 1);
    }

    #[test]
    fn hosts_in_other_letters_are_the_hosts_that_they_stand_for() {
        let named = allow(&["api.example.com", "*.shop.example.com"], &["api.example.com", "*.shop.example.com"], None);
        // Fullwidth letters and full stops are ASCII ones to a resolver, and checked as such.
        for same in ["https://ａｐｉ.example.com/a", "https://api。example．com/a", "https://API.ｅxample.com/a"]
        {
            assert_eq!(target(&named, &[same]).unwrap(), "https://api.example.com/a", "{same}");
        }
        for (other, shown) in [
            ("https://аpi.example.com/", "`xn--pi-6kc.example.com`"),
            ("https://api.exаmple.com/", "`api.xn--exmple-4nf.com`"),
            ("https://evil。net/", "`evil.net`"),
            ("https://１２７。0。0。1/", "`127.0.0.1`"),
        ] {
            let error = target(&named, &[other]).unwrap_err().to_string();
            assert!(error.contains(shown), "{other}: {error}");
        }
        // What would end a host, or begin another one.
        for odd in [
            "https://api.example.com／.evil.net/",
            "https://api.example.com＠evil.net/",
            "https://evil.net＃.shop.example.com/",
        ] {
            assert!(target(&named, &[odd]).is_err(), "{odd}");
        }
        // A pattern in other letters allows nothing.
        assert!(
            target(&allow(&["аpi.example.com"], &["аpi.example.com"], None), &["https://api.example.com/"]).is_err()
        );
        let from: Url = "https://api.example.com/".parse().unwrap();
        assert!(named.hop(&from, "https://аpi.example.com/").is_err());
        assert!(named.hop(&from, "//evil。net/").is_err());
        assert_eq!(named.hop(&from, "https://ａｐｉ.example.com/b").unwrap().host_str(), Some("api.example.com"));
    }

    #[test]
    fn hosts_that_are_too_long_are_refused_without_a_name() {
        let named = allow(&["api.example.com"], &["api.example.com"], None);
        let long = "a.".repeat(1 << 20);
        let error = target(&named, &[&format!("https://{long}example.com/")]).unwrap_err().to_string();
        assert!(error.ends_with("url: its host is longer than a host may be"), "{} bytes", error.len());
        let from: Url = "https://api.example.com/".parse().unwrap();
        let hop = |location: &str| named.hop(&from, location).unwrap_err().to_string();
        assert!(hop(&format!("https://{}example.com/", &long[..1 << 12])).len() < 200);
        assert!(hop(&format!("https://api.example.com/{long}")).ends_with("longer than 32768 bytes"));
    }

    #[test]
    fn a_port_must_be_named() {
        let with_port = allow(&["api.example.com:8443"], &["api.example.com:8443"], None);
        assert!(target(&with_port, &["https://api.example.com:8443/"]).is_ok());
        assert!(target(&with_port, &["https://api.example.com/"]).is_err());
    }

    #[test]
    fn a_wildcard_over_a_top_level_domain_allows_nothing() {
        assert!(!matches("*.com", "example.com") && !matches("*", "example.com") && !matches("*.", "example.com"));
        assert!(matches("*.example.com", "a.b.example.com") && !matches("*.example.com", ".example.com"));
    }

    #[test]
    fn private_literal_addresses_are_refused_even_if_named() {
        for host in ["127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1"] {
            let named = allow(&[host, "[::ffff:7f00:1]"], &[host, "[::ffff:7f00:1]"], None);
            let refused = target(&named, &[&format!("https://{host}/")]);
            assert!(matches!(refused, Err(Error::PrivateAddress { .. })), "{refused:?}");
        }
        // Other spellings of 127.0.0.1 are 127.0.0.1.
        let named = allow(&["127.0.0.1"], &["127.0.0.1"], None);
        assert!(matches!(target(&named, &["https://0x7f.1/"]), Err(Error::PrivateAddress { .. })));
    }

    #[test]
    fn a_base_url_replaces_the_origin() {
        let base = allow(&["api.example.com"], &[], Some("http://127.0.0.1:8080/sim/awin/"));
        assert_eq!(
            target(&base, &["https://api.example.com/v1/../v2/rows?a=%20b"]).unwrap(),
            "http://127.0.0.1:8080/sim/awin/v2/rows?a=%20b"
        );
        assert!(target(&base, &["https://other.example.com/"]).is_err(), "the manifest still counts");
        let both = allow(&["api.example.com"], &["www.example.com"], Some("http://127.0.0.1:8080"));
        assert!(target(&both, &["https://api.example.com/"]).is_err(), "the operator's list excludes it");
        let listed = allow(&["api.example.com"], &["127.0.0.1:8080"], Some("http://127.0.0.1:8080"));
        assert!(target(&listed, &["https://api.example.com/"]).is_ok(), "the list names the host of `base_url`");
        let listed = allow(&["api.example.com"], &["127.0.0.1"], Some("http://127.0.0.1:8080"));
        assert!(target(&listed, &["https://api.example.com/"]).is_ok(), "with or without its port");
    }

    #[test]
    fn a_base_url_is_an_origin() {
        for url in ["ftp://a/", "http://u:p@a/", "http://a/?q", "http://a/#f", "data:x"] {
            assert!(Allow::new("n".into(), vec![], vec![], Some(url.parse().unwrap())).is_err(), "{url}");
        }
    }

    #[test]
    fn redirects_obey_the_same_rules() {
        let allow = allow(&["api.example.com"], &["api.example.com"], Some("http://127.0.0.1:8080/sim"));
        let from: Url = "http://127.0.0.1:8080/sim/a".parse().unwrap();
        assert_eq!(allow.hop(&from, "/b#c").unwrap().as_str(), "http://127.0.0.1:8080/b");
        assert_eq!(allow.hop(&from, "https://api.example.com/c").unwrap().as_str(), "https://api.example.com/c");
        for location in [
            "http://127.0.0.1:8081/b",
            "https://127.0.0.1:8080/b",
            "http://api.example.com/c",
            "https://evil.com/",
            "//evil.com/",
            "https://u@api.example.com/",
            "file:///etc/passwd",
            "https://",
        ] {
            assert!(allow.hop(&from, location).is_err(), "{location}");
        }
    }
}
