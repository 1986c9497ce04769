//! Character sets besides Unicode's, in which a network may write a secret that isn't ASCII.

use encoding_rs::Encoding;

/// Labels of those that decoders read (Encoding Standard, section 4.3), without ISO-2022-JP, in which ASCII may hold escape
/// sequences.
const LABELS: [&str; 33] = [
    "ibm866",
    "iso-8859-2",
    "iso-8859-3",
    "iso-8859-4",
    "iso-8859-5",
    "iso-8859-6",
    "iso-8859-7",
    "iso-8859-8",
    "iso-8859-10",
    "iso-8859-13",
    "iso-8859-14",
    "iso-8859-15",
    "iso-8859-16",
    "koi8-r",
    "koi8-u",
    "macintosh",
    "windows-874",
    "windows-1250",
    "windows-1251",
    "windows-1252",
    "windows-1253",
    "windows-1254",
    "windows-1255",
    "windows-1256",
    "windows-1257",
    "windows-1258",
    "x-mac-cyrillic",
    "gbk",
    "gb18030",
    "big5",
    "euc-jp",
    "shift_jis",
    "euc-kr",
];

/// A text in each of these character sets that has all its characters.
pub(super) fn in_character_sets(text: &str) -> impl Iterator<Item = Vec<u8>> {
    LABELS.iter().filter_map(|label| {
        let (bytes, _, is_lossy) = Encoding::for_label(label.as_bytes())?.encode(text);
        (!is_lossy).then(|| bytes.into_owned())
    })
}

/// Bytes that are read as one character each: as Latin-1, and as windows-1252.
pub(super) fn as_characters(bytes: &[u8]) -> [String; 2] {
    let (windows, _) = encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes);
    [bytes.iter().map(|byte| char::from(*byte)).collect(), windows.into_owned()]
}
