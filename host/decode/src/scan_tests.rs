//! What the JSON scanner promises.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn unescaped(body: &str) -> Result<(String, Vec<NoteKind>), ScanError> {
    let mut scanner = Scanner::new(body.as_bytes());
    let text = scanner.string()?;
    let mut buffer = b"old".to_vec();
    scanner.unescape(&text, &mut buffer);
    Ok((String::from_utf8(buffer).unwrap(), scanner.odd.kinds().collect()))
}

fn cleaned(body: &str) -> String {
    let mut scanner = Scanner::new(body.as_bytes());
    scanner.skip().unwrap();
    String::from_utf8(scanner.cleaned(0)).unwrap()
}

#[test]
fn escapes_are_resolved() {
    let body = r#""a\"\\\/\b\f\n\r\t\u00e9\u20AC\ud83d\ude00z" tail"#;
    assert_eq!(unescaped(body).unwrap(), ("a\"\\/\u{8}\u{c}\n\r\té€\u{1f600}z".to_owned(), vec![]));
    for cut in [r#"""#, r#""a\"#, r#""\u00"#, r#""\ud83d"#, r#""\ud83d\u"#] {
        assert_eq!(unescaped(cut), Err(ScanError::End), "{cut}");
    }
}

#[test]
fn odd_escapes_are_read() {
    let (lone, bad) = (NoteKind::LoneSurrogate, NoteKind::BadEscape);
    for (body, text, kinds) in [
        (r#""\ud83d""#, "\u{fffd}", &[lone][..]),
        (r#""\ud83dx""#, "\u{fffd}x", &[lone]),
        (r#""\ud83d\u0041""#, "\u{fffd}A", &[lone]),
        (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}", &[lone]),
        (r#""\ude00\ud83d\n""#, "\u{fffd}\u{fffd}\n", &[lone]),
        (r#""\ud83d\u12""#, "\u{fffd}\\u12", &[lone, bad]),
        (r#""\u00g0""#, "\\u00g0", &[bad]),
        (r#""C:\dir\x""#, "C:\\dir\\x", &[bad]),
        ("\"a\tb\u{1}\"", "a\tb\u{1}", &[NoteKind::Control]),
        ("\"a\0b\"", "a\0b", &[NoteKind::Nul]),
    ] {
        assert_eq!(unescaped(body).unwrap(), (text.to_owned(), kinds.to_vec()), "{body}");
    }
}

#[test]
fn no_numbers_are_read() {
    for body in ["NaN", "nan,", "-Infinity]", "+Inf,", "infinity", "Inf "] {
        let mut scanner = Scanner::new(body.as_bytes());
        scanner.skip().unwrap();
        assert_eq!(scanner.odd.kinds().collect::<Vec<_>>(), [NoteKind::NotANumber], "{body}");
        assert_eq!(scanner.at, body.trim_end_matches([',', ']', ' ']).len());
    }
    for bad in ["NaNa", "nano", "Infinite", "+1", "-x", "nul1"] {
        assert!(matches!(Scanner::new(bad.as_bytes()).skip(), Err(ScanError::Bad(_))), "{bad}");
    }
    for cut in ["Na", "-Infini", "i", "-", "n"] {
        assert_eq!(Scanner::new(cut.as_bytes()).skip(), Err(ScanError::End), "{cut}");
    }
}

#[test]
fn odd_json_is_written_anew() {
    for plain in [r#"[1, -2.5e-3, "a\/b\u0000", {"n": null, "t": true}]"#, "[ ]"] {
        assert_eq!(cleaned(plain), plain);
    }
    assert_eq!(cleaned("[NaN, -inf, {\"a\":Infinity}, -1e+5]"), "[null, null, {\"a\":null}, -1e+5]");
    assert_eq!(cleaned(r#"["\ud83d", "x\/", "\d"]"#), "[\"\u{fffd}\", \"x\\/\", \"\\\\d\"]");
    assert_eq!(cleaned("{\"a\nb\":\"\u{1}\0\"}"), "{\"a\\nb\":\"\\u0001\u{fffd}\"}");
}

#[test]
fn specials_are_found_wherever_they_are() {
    for at in 0..40 {
        for special in [b'"', b'\\', 0x00, 0x1f] {
            let mut body = vec![b' '; 48];
            body[..at].fill(0xc3);
            body[at] = special;
            body[at + 1] = b'!';
            assert_eq!(Scanner::new(&body).find_special(0), at);
        }
    }
    assert_eq!(Scanner::new(b"plain text, no end").find_special(0), 18);
}

#[test]
fn padding_is_no_value() {
    for body in [&b"1\0\0"[..], b"1 \x1a\n", b"1\n\0 \0"] {
        let mut scanner = Scanner::new(body);
        scanner.skip().unwrap();
        assert!(scanner.is_over() && !scanner.odd.is_empty(), "{body:?}");
    }
    let mut scanner = Scanner::new(b"1\0 2");
    scanner.skip().unwrap();
    assert!(!scanner.is_over());
}
