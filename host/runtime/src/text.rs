//! Numbers and nouns as people read them.

/// `1 slice`, `2 slices`, `1,234 records`.
pub fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(number))
}

/// `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The most bytes of reasons that are joined.
const MAX_JOINED_BYTES: usize = 1 << 10;

/// Reasons in one line, cut where they are too long to be read: a network can give thousands.
pub fn joined(reasons: &[&str]) -> String {
    let mut text = String::new();
    for (at, reason) in reasons.iter().enumerate() {
        let separator = if at == 0 { "" } else { "; " };
        let room = MAX_JOINED_BYTES.saturating_sub(text.len() + separator.len());
        text.push_str(separator);
        text.push_str(&reason[..reason.floor_char_boundary(room)]);
        if reason.len() > room {
            text.push('…');
            break;
        }
    }
    text
}

/// `is` or `are`.
pub fn is_are(number: u64) -> &'static str {
    if number == 1 { "is" } else { "are" }
}

/// `90 s`, `5 min`, `1 h`, `2 d`: the largest unit that divides it.
pub fn span(secs: i64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let unit = units.iter().find(|(size, _)| secs >= *size && secs % size == 0);
    unit.map_or_else(|| format!("{secs} s"), |(size, unit)| format!("{} {unit}", secs / size))
}

/// `512 B`, `4.5 MiB`.
pub fn bytes(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", bytes as f64 / *size as f64),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_no_s() {
        assert_eq!([0, 1, 2].map(|number| count(number, "slice")), ["0 slices", "1 slice", "2 slices"]);
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!([7, 999, 1_000, 1_234_567].map(thousands), ["7", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn joined_reasons_have_a_kibibyte() {
        assert_eq!(joined(&["a", "b"]), "a; b");
        let many = vec!["é is odd"; 10_000];
        let text = joined(&many);
        assert!((1_000..1_030).contains(&text.len()) && text.ends_with('…'), "{text}");
        assert!(joined(&["é".repeat(600).as_str(), "b"]).len() < 1_030);
    }

    #[test]
    fn spans_have_their_unit() {
        assert_eq!([90, 300, 3_600, 172_800].map(span), ["90 s", "5 min", "1 h", "2 d"]);
    }

    #[test]
    fn bytes_have_their_unit() {
        assert_eq!([0, 1023, 1536, 5 << 20, 3 << 30].map(bytes), ["0 B", "1023 B", "1.5 KiB", "5.0 MiB", "3.0 GiB"]);
    }
}
