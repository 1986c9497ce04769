//! One value of a JSON body, for connectors that ask for it.

use std::time::Instant;

use super::charset;
use super::clock::Clock;
use super::notes::NoteSet;
use super::place::{Step, pointer_names};
use super::scan::{ScanError, Scanner};

/// Ends a lookup, which gives nothing then.
const OUT_OF_TIME: ScanError = ScanError::Bad("it takes too long");

/// The value at a JSON Pointer; see [`super::value_at`].
pub(super) fn value_at(body: &[u8], place: &str, deadline: Option<Instant>) -> Option<String> {
    let names = pointer_names(place).ok()?;
    let steps: Vec<Step> = names.into_iter().map(Step::Member).collect();
    let read = |body: &[u8]| {
        let mut scanner = Scanner::new(body);
        let value = find(&mut scanner, &steps, &mut Clock::new(deadline))?;
        if scanner.is_over() { Ok(value) } else { Err(ScanError::Bad("something follows the value")) }
    };
    match read(body) {
        Ok(None) => None,
        // A text that isn't UTF-8 is no fault to the scanner.
        Ok(Some(value)) if std::str::from_utf8(&value).is_ok() => String::from_utf8(value).ok(),
        _ => {
            let text = charset::json_text(None, body)?;
            read(text.text.as_bytes()).ok()?.and_then(|value| String::from_utf8(value).ok())
        }
    }
}

fn find(scanner: &mut Scanner<'_>, steps: &[Step], clock: &mut Clock) -> Result<Option<Vec<u8>>, ScanError> {
    let (open, start) = (scanner.peek()?, scanner.at);
    let Some((step, rest)) = steps.split_first() else { return value(scanner, open, start) };
    let (mut found, mut at) = (None, 0);
    let close = match open {
        b'{' => b'}',
        b'[' => b']',
        _ => return scanner.skip().map(|()| None),
    };
    let mut more = scanner.enter(close)?;
    while more {
        clock.check(scanner.at).map_err(|_| OUT_OF_TIME)?;
        let is_it = match open {
            b'{' => step.is_named(scanner)?,
            _ => step.index() == Some(at),
        };
        if is_it {
            found = find(scanner, rest, clock)?
        } else {
            scanner.skip()?
        }
        more = scanner.more(close)?;
        at += 1;
    }
    Ok(found)
}

/// The value here: a string's text, and of all else the JSON text. None for null, and for what is no number.
fn value(scanner: &mut Scanner<'_>, open: u8, start: usize) -> Result<Option<Vec<u8>>, ScanError> {
    if open == b'"' {
        let (text, mut buffer) = (scanner.string()?, Vec::new());
        scanner.unescape(&text, &mut buffer);
        return Ok(Some(buffer));
    }
    scanner.odd = NoteSet::default();
    scanner.skip()?;
    Ok(match (open, scanner.odd.is_empty()) {
        (b'n', _) => None,
        (_, true) => scanner.body.get(start..scanner.at).map(<[u8]>::to_vec),
        (b'{' | b'[', false) => Some(scanner.cleaned(start)),
        (_, false) => None,
    })
}

impl Step {
    /// Takes a member's name, and decides whether it is this step.
    pub(super) fn is_named(&self, scanner: &mut Scanner<'_>) -> Result<bool, ScanError> {
        let text = scanner.name()?;
        let Self::Member(name) = self else { return Ok(true) };
        if !text.escaped {
            return Ok(scanner.body.get(text.span) == Some(name.as_bytes()));
        }
        let mut buffer = Vec::new();
        scanner.unescape(&text, &mut buffer);
        Ok(buffer == name.as_bytes())
    }
}
