//! Texts in UTF-16, which are searched and masked as UTF-8: their escapes are resolved like all others.

/// UTF-16 of one byte order.
#[derive(Clone, Copy)]
pub(super) struct Wide {
    is_little: bool,
}

impl Wide {
    /// The UTF-16 that a text is in, by its byte-order mark or because it begins with two ASCII characters.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        match text {
            [0xff, 0xfe, ..] | [1..=0x7f, 0, 1..=0x7f, 0, ..] => Some(Self { is_little: true }),
            [0xfe, 0xff, ..] | [0, 1..=0x7f, 0, 1..=0x7f, ..] => Some(Self { is_little: false }),
            _ => None,
        }
    }

    /// The text in UTF-8, its byte-order mark included; what is no character is U+FFFD.
    pub(super) fn read(self, text: &[u8]) -> String {
        let read = if self.is_little { u16::from_le_bytes } else { u16::from_be_bytes };
        let units = text.chunks(2).map(|pair| match pair {
            [first, second] => read([*first, *second]),
            _ => u16::MAX,
        });
        let mut out = String::with_capacity(text.len() / 2);
        out.extend(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
        out
    }

    /// A text of UTF-8 as it was before it was read.
    pub(super) fn written(self, text: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 * text.len());
        for unit in text.encode_utf16() {
            out.extend(if self.is_little { unit.to_le_bytes() } else { unit.to_be_bytes() });
        }
        out
    }
}
