//! What rows are made of: merchants, products, sub ids; with the characters that break naive parsers.

/// A merchant that pays commissions.
#[derive(Debug)]
pub(crate) struct Advertiser {
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    pub(crate) site: &'static str,
    pub(crate) country: &'static str,
    pub(crate) currency: &'static str,
    /// Its commission in thousandths of a sale.
    pub(crate) per_mille: i64,
}

const fn advertiser(
    id: u32,
    name: &'static str,
    site: &'static str,
    country: &'static str,
    currency: &'static str,
    per_mille: i64,
) -> Advertiser {
    Advertiser { id, name, site, country, currency, per_mille }
}

/// The merchants of every account.
pub(crate) static ADVERTISERS: [Advertiser; 8] = [
    advertiser(7777, "Bücher & Söhne", "https://www.buecher-soehne.example", "DE", "EUR", 80),
    advertiser(1001, "O'Reilly \"Outdoor\" Ltd", "https://outdoor.example.co.uk", "GB", "GBP", 65),
    advertiser(46483, "Café Crème <Paris>", "https://cafe-creme.example.fr/boutique?a=1&b=2", "FR", "EUR", 120),
    advertiser(50001, "東京ストア", "https://tokyo-store.example.jp", "JP", "USD", 30),
    advertiser(23, "Plain Shoes", "https://plain-shoes.example", "US", "USD", 50),
    advertiser(8_812_345, "Żabka Zoo", "https://zabka.example.pl", "PL", "PLN", 45),
    advertiser(640, "Fjällräven Förmåner", "https://fjall.example.se", "SE", "SEK", 70),
    advertiser(31_337, "Gadgets; Co, Inc.", "https://gadgets.example", "US", "USD", 25),
];

/// Product names.
pub(crate) const PRODUCTS: [&str; 8] = [
    "Wanderschuh \"Größe 42\"",
    "T-shirt <XL> & socks",
    "Blender 500W",
    "新しい本",
    "Crème brûlée, set of 4",
    "Tab\tin the name",
    "",
    "Emoji mug \u{1f680}",
];

/// Sub ids; some empty, some in need of escaping.
pub(crate) const SUB_IDS: [&str; 10] = [
    "user-81723",
    "c=42&u=7",
    "newsletter/2026-01",
    "größe",
    "",
    "\"quoted\"",
    "a b c",
    "9007199254740993",
    "<b>bold</b>",
    "u_\u{1f600}",
];

/// Reasons for a refusal.
pub(crate) const DECLINE_REASONS: [&str; 4] =
    ["Customer returned the item within 14 days", "Duplicate order", "Zahlung abgelehnt – \"Karte\"", "Fraud & abuse"];

/// Reasons for an amendment.
pub(crate) const AMEND_REASONS: [&str; 3] =
    ["Partial return", "Price corrected by the advertiser", "VAT & shipping removed"];

/// Devices, as networks name them.
pub(crate) const DEVICES: [&str; 5] = ["Windows", "iPhone", "Android Mobile", "iPad", "Unknown"];

/// Browsers.
pub(crate) const BROWSERS: [&str; 4] = ["Chrome", "Safari", "Firefox", "Edge"];

/// Countries of customers.
pub(crate) const COUNTRIES: [&str; 6] = ["DE", "GB", "FR", "US", "NL", "PL"];

/// Voucher codes.
pub(crate) const VOUCHERS: [&str; 4] = ["SPRING10", "10%OFF", "ÉTÉ-2026", "A&B"];
