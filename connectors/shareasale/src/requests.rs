//! What is asked, and what an answer means.

use sluice_connector::*;

/// Asked in the query and signed: the two must be the same.
const ACTION: &str = "activity";
/// 2.3 to 3.0 are known. 2.3 is what affiliate clients of this endpoint send.
const VERSION: &str = "2.3";
/// RFC 1123. All templates of one attempt see one moment, so header and signature agree.
const DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// One request per slice: there is no paging, the window alone bounds the answer.
pub(crate) fn plan(slice: &Slice) -> Result<Vec<Request>, Refusal> {
    let affiliate = slice.setting("affiliate_id").unwrap_or_default();
    if affiliate.is_empty() || !affiliate.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Refusal { kind: RefusalKind::Settings, text: "`affiliate_id` must be a number".into() });
    }
    let day = |micros| format_time(micros, "%m/%d/%Y");
    let url = text("https://api.shareasale.com/x.cfm")
        .query("affiliateId", affiliate)
        .query_with("token", text("").secret("token"))
        .query("version", VERSION)
        .query("action", ACTION)
        .query("dateStart", &day(slice.window.local_since))
        // `dateEnd` is taken as inclusive; a window's end isn't part of it.
        .query("dateEnd", &day((slice.window.local_until - 1).max(slice.window.local_since)));
    let signature = text("").secret("token").text(":").now(DATE).text(format!(":{ACTION}:")).secret("secret_key");
    Ok(vec![
        get("activity", url)
            .header("x-ShareASale-Date", text("").now(DATE))
            .header("x-ShareASale-Authentication", signature.sha256_hex()),
    ])
}

/// What a wrong token was answered with in a recording of 2021-12.
const WRONG_TOKEN: &str = "4075";

/// Errors come at 200 as `Invalid Request - Error Code 4075 - <caller's IP>`, in older clients as a text that begins
/// with `Error Code`. What the numbers mean isn't documented in public, so only the recorded one is judged as final; for
/// the others the host counts the attempts.
pub(crate) fn follow(response: &Response) -> Judgement {
    let head = response.head(400);
    let head = String::from_utf8_lossy(&head);
    match (response.status, error(&head)) {
        (200..=299, Some(text)) if code(text) == WRONG_TOKEN => {
            refused(RefusalKind::Credentials, format!("ShareASale answers `{text}`: the token is wrong"))
        }
        (200..=299, Some(text)) => retry(format!("ShareASale answers `{text}`")),
        // Even a window without rows has the header line; taken for one, nothing would make all its rows vanish.
        (200..=299, None) if head.trim().is_empty() => retry("the answer is empty: not even a header line"),
        _ => by_status(response, None),
    }
}

const ERROR: &str = "error code";

/// The body's first line, without markup, if it is an error.
fn error(head: &str) -> Option<&str> {
    let line = head.trim_start_matches('\u{feff}').trim_start().lines().next().unwrap_or_default();
    let line = line.split('<').next().unwrap_or_default().trim_end();
    let begins = |word: &str| line.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    (begins(ERROR) || begins("invalid request")).then_some(line)
}

/// The number behind `Error Code`.
fn code(error: &str) -> &str {
    let at = error.to_ascii_lowercase().find(ERROR).map_or(error.len(), |at| at + ERROR.len());
    error.get(at..).unwrap_or_default().split_ascii_whitespace().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn slice(affiliate: &str, local_since: &str, local_until: &str) -> Slice {
        let time = |text| Time::iso(text).unwrap().micros;
        let (local_since, local_until) = (time(local_since), time(local_until));
        let six_hours = 6 * 3_600 * SECOND_MICROS;
        Slice {
            stream: "transactions".into(),
            account: "main".into(),
            settings: vec![("affiliate_id".into(), affiliate.into())],
            window: Window { since: local_since + six_hours, until: local_until + six_hours, local_since, local_until },
            axis: "transaction".into(),
            cursor: None,
        }
    }

    /// The literal texts of a template, `…` for the rest.
    fn shown(ops: &[Op]) -> String {
        let shown = |op: &Op| match op {
            Op::Text(text) => text.clone(),
            Op::Join(_) | Op::Apply(_) => String::new(),
            _ => "…".to_owned(),
        };
        ops.iter().map(shown).collect()
    }

    fn judged(status: u16, body: &str) -> Verdict {
        let nothing = |_: &str| None;
        follow(&Response::new(status, &[], Some(0), Body::Bytes(body.as_bytes(), &nothing))).verdict
    }

    #[test]
    fn the_end_is_the_last_day_of_the_window() {
        let request = plan(&slice("123", "2026-01-01", "2026-02-01")).unwrap().remove(0);
        assert_eq!(
            shown(&request.url),
            "https://api.shareasale.com/x.cfm?affiliateId=123&token=…&version=2.3&action=activity\
             &dateStart=01%2F01%2F2026&dateEnd=01%2F31%2F2026"
        );
        let day = plan(&slice("123", "2026-03-01", "2026-03-02")).unwrap().remove(0);
        assert!(shown(&day.url).ends_with("dateStart=03%2F01%2F2026&dateEnd=03%2F01%2F2026"));
        let part = plan(&slice("123", "2026-03-01", "2026-03-02T10:00:00")).unwrap().remove(0);
        assert!(shown(&part.url).ends_with("dateEnd=03%2F02%2F2026"));
    }

    #[test]
    fn the_signature_is_the_hash_of_token_date_action_and_key() {
        let request = plan(&slice("123", "2026-01-01", "2026-02-01")).unwrap().remove(0);
        let (_, date) = &request.headers[0];
        let (_, signature) = &request.headers[1];
        assert!(matches!(&date[..], [Op::Now(pattern)] if pattern == DATE));
        let [Op::Secret(token), Op::Text(colon), Op::Now(at), Op::Text(action), Op::Secret(key), rest @ ..] =
            &signature[..]
        else {
            panic!("{signature:?}")
        };
        assert_eq!([token.as_str(), colon, at, action, key], ["token", ":", DATE, ":activity:", "secret_key"]);
        assert!(matches!(rest, [Op::Join(5), Op::Apply(Function::Sha256), Op::Apply(Function::Hex)]));
    }

    #[test]
    fn an_affiliate_id_that_is_no_number_is_refused() {
        assert!(plan(&slice("", "2026-01-01", "2026-02-01")).is_err());
        assert!(plan(&slice("12&action=x", "2026-01-01", "2026-02-01")).is_err());
    }

    #[test]
    fn errors_at_200_are_asked_again() {
        for body in [
            "Invalid Request - Error Code 4030 - 203.0.113.7",
            "Error Code 4002",
            "\r\n error code 4030<br>Invalid",
            "\u{feff}Error Code 1 - x\nmore",
        ] {
            let Verdict::Retry(retry) = judged(200, body) else { panic!("{body}") };
            assert!(retry.reason.to_lowercase().contains("error code"), "{}", retry.reason);
            assert!(!retry.reason.contains('<'));
        }
        assert!(matches!(judged(200, "TransID|UserID\n1|Error Code 4"), Verdict::Done));
        assert!(matches!(judged(404, "Error Code 4002"), Verdict::Refused(_)));
    }

    #[test]
    fn a_wrong_token_is_final() {
        let Verdict::Refused(refusal) = judged(200, "Invalid Request - Error Code 4075 - 203.0.113.7\r\n") else {
            panic!("it can't get better");
        };
        assert_eq!(refusal.kind as u8, RefusalKind::Credentials as u8);
        assert!(refusal.text.contains("203.0.113.7"), "the caller's address may have to be registered");
    }

    #[test]
    fn an_empty_body_is_no_empty_window() {
        assert!(matches!(judged(200, " \r\n"), Verdict::Retry(_)));
        assert!(matches!(judged(200, "TransID|UserID\r\n"), Verdict::Done));
    }
}
