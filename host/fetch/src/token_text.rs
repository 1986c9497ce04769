//! Whether a text may be a token: what a network gives as one may be a date, an amount or an id, and is then no secret.

/// The longest token that is masked.
const MAX_TOKEN_BYTES: usize = 16 << 10;
/// Cookies that are masked by themselves, of each token that is cookies.
const MOST_COOKIES: usize = 32;
/// A token that has digits and fewer letters than these may be a date, an amount or an id.
const FEW_LETTERS: usize = 4;

/// Whether a value that a network gave as a token may be one, and is masked in headers, URLs and errors.
pub(crate) fn may_be_a_token(value: &str) -> bool {
    let is_date = matches!(value.as_bytes(), [a, b, c, d, b'-', e, f, b'-', ..]
        if [a, b, c, d, e, f].iter().all(|byte| byte.is_ascii_digit()));
    let has = |is: fn(&u8) -> bool| value.as_bytes().iter().any(is);
    let shortest = match (has(u8::is_ascii_alphabetic), has(u8::is_ascii_digit)) {
        (true, true) => 8,
        (_, false) => 16,
        (false, true) => 20,
    };
    // Tokens are base64, hexadecimal, UUIDs, JWTs or cookies. JSON, CSV and XML need a quote, comma, brace or angle bracket.
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=%:|!*$@".contains(&byte);
    (shortest..=MAX_TOKEN_BYTES).contains(&value.len()) && !is_date && value.bytes().all(is_token_byte)
}

/// Whether a value that may be a token is random enough not to occur in a network's data, and is masked in bodies too. A
/// network, or a connector that names the place of a date, an amount or an id, must not be able to blank out what is kept.
pub(crate) fn looks_like_a_token(value: &str) -> bool {
    let letters = value.bytes().filter(u8::is_ascii_alphabetic).count();
    let has_digits = value.bytes().any(|byte| byte.is_ascii_digit());
    // Dates, amounts with a currency, and numbered ids have few letters.
    let shortest = match letters {
        1..FEW_LETTERS if has_digits => 32,
        _ => 16,
    };
    may_be_a_token(value) && value.len() >= shortest
}

/// The values of a `Cookie` header, of the first `MOST_COOKIES`: each is searched for in every body.
pub(crate) fn cookie_values(header: &str) -> impl Iterator<Item = &str> {
    header.split("; ").take(MOST_COOKIES).filter_map(|pair| pair.split_once('=')).map(|(_, value)| value)
}
