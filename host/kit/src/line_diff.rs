//! Lines of two texts that differ.

/// Lines around a difference that are shown.
const AROUND: usize = 2;
/// Most lines between the first and the last difference that are aligned.
const MOST_ALIGNED: usize = 2_000;

/// The lines of which two texts differ, `-` before those of the first and `+` before those of the second, with some around
/// them. Empty if they are the same.
pub fn difference(before: &str, now: &str) -> Vec<String> {
    let (before, now): (Vec<&str>, Vec<&str>) = (before.lines().collect(), now.lines().collect());
    let same = before.iter().zip(&now).take_while(|(a, b)| a == b).count();
    let (left, right) = (&before[same..], &now[same..]);
    let same_end = left.iter().rev().zip(right.iter().rev()).take_while(|(a, b)| a == b).count();
    let (left, right) = (&left[..left.len() - same_end], &right[..right.len() - same_end]);
    if left.is_empty() && right.is_empty() {
        return Vec::new();
    }
    let shown = |lines: &[&str]| lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>();
    let mut lines = shown(&before[same.saturating_sub(AROUND)..same]);
    lines.extend(aligned(left, right));
    let end = before.len() - same_end;
    lines.extend(shown(&before[end..before.len().min(end + AROUND)]));
    lines
}

/// Both texts, aligned by their longest common subsequence.
fn aligned(left: &[&str], right: &[&str]) -> Vec<String> {
    let removed = |line: &&str| format!("- {line}");
    let added = |line: &&str| format!("+ {line}");
    if left.len() > MOST_ALIGNED || right.len() > MOST_ALIGNED {
        return left.iter().map(removed).chain(right.iter().map(added)).collect();
    }
    let width = right.len() + 1;
    let mut longest = vec![0_u16; (left.len() + 1) * width];
    for at in (0..left.len()).rev() {
        for other in (0..right.len()).rev() {
            longest[at * width + other] = if left[at] == right[other] {
                longest[(at + 1) * width + other + 1] + 1
            } else {
                longest[(at + 1) * width + other].max(longest[at * width + other + 1])
            };
        }
    }
    let (mut at, mut other, mut lines) = (0, 0, Vec::new());
    while at < left.len() || other < right.len() {
        let both = at < left.len() && other < right.len();
        if both && left[at] == right[other] {
            lines.push(format!("  {}", left[at]));
            (at, other) = (at + 1, other + 1);
        } else if other == right.len() || (both && longest[(at + 1) * width + other] >= longest[at * width + other + 1])
        {
            lines.push(removed(&left[at]));
            at += 1;
        } else {
            lines.push(added(&right[other]));
            other += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_shown_with_its_surroundings() {
        assert!(difference("a\nb\n", "a\nb\n").is_empty());
        assert_eq!(difference("a\nb\nc\nd\ne", "a\nb\nX\nd\ne"), ["  a", "  b", "- c", "+ X", "  d", "  e"]);
        assert_eq!(difference("", "x"), ["+ x"]);
        assert_eq!(difference("1\n2\n3", "2\n3\n4"), ["- 1", "  2", "  3", "+ 4"]);
    }
}
