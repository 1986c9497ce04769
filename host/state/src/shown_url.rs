//! A URL as it may be shown: what opens a database or a store is not.

/// A URL without user, password and parameters, for messages and logs.
///
/// What it hides is more than the user's part of a URL that is right: a password may hold characters that should have been
/// escaped, such as `/`, `?`, `#` and `@`.
pub fn without_credentials(url: &str) -> String {
    let (scheme, rest) = match url.find("://") {
        Some(at) => url.split_at(at + 3),
        None if url.starts_with("sqlite:") || url.starts_with("file:") => url.split_at(url.len()),
        None => ("", url),
    };
    let is_file = scheme.starts_with("sqlite:") || scheme.starts_with("file:");
    // A path of a file may hold an `@`.
    let (user, place) = rest.rsplit_once('@').filter(|_| !is_file).map_or(("", rest), |(_, place)| ("…@", place));
    let (place, parameters) = place.split_once('?').map_or((place, ""), |(place, _)| (place, "?…"));
    let scheme = scheme.split_once('?').map_or(scheme.to_owned(), |(scheme, _)| format!("{scheme}?…"));
    // Behind a colon there is a port, or else a password whose host is missing.
    let authority = place.split('/').next().unwrap_or_default();
    let is_port = |text: &str| text.ends_with(']') || text.bytes().all(|byte| byte.is_ascii_digit());
    let place = match authority.rsplit_once(':') {
        Some((_, port)) if !is_file && !scheme.is_empty() && !is_port(port) => "…",
        _ => place,
    };
    format!("{scheme}{user}{place}{parameters}")
}

/// Whether a URL holds a user or a password, or may hold one: an `@` behind a colon, or in the host's part.
pub fn has_credentials(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| !matches!(*scheme, "file" | "sqlite")) else {
        return false;
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let before = rest.rsplit_once('@').map(|(before, _)| before);
    host.contains('@') || before.is_some_and(|before| before.contains(':')) || (scheme == "s3" && host.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_credentials() {
        for (url, shown) in [
            ("mysql://u:p@ss@h/db?password=x", "mysql://…@h/db?…"),
            ("mysql://sluice:hunter2?x@db/sluice", "mysql://…@db/sluice"),
            (
                "postgres://u:p@ss@db.example:5433/sluice?sslmode=require&password=p",
                "postgres://…@db.example:5433/sluice?…",
            ),
            ("postgres://u:p/w#d@[::1]:5433/sluice", "postgres://…@[::1]:5433/sluice"),
            ("postgres://[::1]/sluice", "postgres://[::1]/sluice"),
            ("postgres://db.example/sluice", "postgres://db.example/sluice"),
            ("postgres://sluice:hunter2/db", "postgres://…"),
            ("s3://AKIA:abc/hunter2@bucket/lake", "s3://…@bucket/lake"),
            ("s3://KEY:hunter2", "s3://…"),
            ("u:p@h", "…@h"),
            ("s3://bucket/a", "s3://bucket/a"),
            ("file:./a?x", "file:./a?…"),
            ("file:///srv/a@b", "file:///srv/a@b"),
            ("sqlite:/srv/a@b/state.db?mode=rwc", "sqlite:/srv/a@b/state.db?…"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }

    #[test]
    fn credentials_are_recognized_whatever_they_hold() {
        for url in [
            "s3://key:secret@bucket/a",
            "s3://key@bucket/a",
            "s3://AKIA:abc/hunter2@bucket/lake",
            "s3://AKIA:abc?hunter2@bucket/lake",
            "s3://AKIA:12/hunter2@bucket/lake",
            "s3://AKIA:hunter2",
        ] {
            assert!(has_credentials(url), "{url}");
        }
        for url in ["s3://bucket/a@b", "file:///srv/a@b", "file:./a:b@c", "s3://bucket/a:b"] {
            assert!(!has_credentials(url), "{url}");
        }
    }
}
