//! How a record becomes a transaction.

use sluice_connector::*;

/// Of all dates and times, which come without an offset.
pub(crate) const TIMEZONE: &str = "America/Chicago";
/// Of all amounts.
const CURRENCY: &str = "USD";

/// The monthly payout's `TransType`. It takes nothing back, so it is no transaction.
const PAYOUT: &str = "Affiliate Payment";

// The recorded header has spaces in its names (`Trans ID`); columns are found by their letters.
inputs! {
    ID = "TransID",
    MERCHANT = "MerchantID",
    MERCHANT_NAME = "MerchantOrganization",
    OCCURRED = "TransDate",
    SALE = "TransAmount",
    COMMISSION = "Commission",
    COMMENT = "Comment",
    VOIDED = "Voided",
    LOCKED = "Locked",
    SUB_ID = "AffComment",
    REVERSED = "ReversalDate",
    CLICK_DATE = "ClickDate",
    CLICK_TIME = "ClickTime",
    LOCKS = "LockDate",
    PAID = "PaidDate",
    TYPE = "TransType",
    REFERENCE = "ReferenceTrans",
    SKUS = "SKUList",
    // What the host calls a field behind the last that the header names.
    EXTRA = "column_27",
}

/// The network has no status word; these stand for what `Voided`, `PaidDate` and `Locked` say, the first that
/// holds. Voided after a payout is clawed back.
pub(crate) const STATUSES: &[Status] = &[
    Status::new("voided", ValidationStatus::Declined, PaymentStatus::Unpaid),
    Status::new("paid", ValidationStatus::Approved, PaymentStatus::Paid),
    Status::new("locked", ValidationStatus::Approved, PaymentStatus::Unknown).locked(true),
    Status::new("pending", ValidationStatus::Pending, PaymentStatus::Unpaid).locked(false),
];

const PINS: &[(Kind, &[&str])] = &[(Kind::Decimal, &["TransAmount", "Commission"]), (Kind::Text, TEXTS)];

pub(crate) fn layout() -> Layout {
    let layout = delimited("|", "");
    let format = match layout.format {
        Format::Delimited(text) => Format::Delimited(Delimited { optional: vec!["SKUList".into()], ..text }),
        other => other,
    };
    Layout { format, pins: pins_by_kind(PINS), inputs: inputs(), key: vec!["TransID".into()] }
}

/// Delimited text has no types, so ids stay the text that they are.
const TEXTS: &[&str] = &[
    "TransID",
    "UserID",
    "MerchantID",
    "TransDate",
    "Comment",
    "Voided",
    "PendingDate",
    "Locked",
    "AffComment",
    "BannerPage",
    "ReversalDate",
    "ClickDate",
    "ClickTime",
    "BannerId",
    "SKUList",
    "QuantityList",
    "LockDate",
    "PaidDate",
    "MerchantOrganization",
    "MerchantWebsite",
    "TransType",
    "MerchantDefinedType",
    "ReferenceTrans",
    "StoreID",
];

pub(crate) fn map(record: Record, out: &mut Output) -> Result<(), String> {
    check_width(record)?;
    if record.filled(TYPE).is_some_and(|word| word.eq_ignore_ascii_case(PAYOUT)) {
        return payout(record, out);
    }
    let (sale, commission) = (record.money(SALE)?, record.money(COMMISSION)?);
    let parent = record.filled(REFERENCE).filter(|id| *id != "0");
    let is_negative = [sale, commission].into_iter().flatten().any(|amount| amount.micros() < 0);
    let is_adjustment = parent.is_some() && is_negative;

    let (voided, locked) = (flag(record.filled(VOIDED)), flag(record.filled(LOCKED)));
    // A date of zeros is none: nothing was paid.
    let paid_at = record.time_by(PAID, time)?;
    let is_paid = paid_at.is_some();
    let status_raw = status_word(voided, is_paid, locked);
    let odd = format!("Voided={}, Locked={}", text(record, VOIDED), text(record, LOCKED));
    if status_raw.is_none() {
        out.unknown_status(&odd);
    }
    // An adjustment is never declined: its sign says what it does.
    let word = if is_adjustment { status_word(Some(false), is_paid, locked) } else { status_raw };
    let status = out.status(STATUSES, word);
    let comment = Comment::read(text(record, COMMENT));
    let row = Transaction {
        transaction_id: id(record.required(ID)?)?,
        kind: if is_adjustment {
            TransactionKind::Adjustment
        } else {
            kind_in(record.filled(TYPE).unwrap_or_default())
        },
        validation_status: status.validation,
        payment_status: payment(is_paid, status.validation, status.payment),
        is_locked: if locked == Some(true) { locked } else { status.locked },
        status_raw: status_raw.or(Some(&odd)),
        reason_raw: comment.reason,
        parent_transaction_id: parent,
        order_id: comment.order,
        sku: record.filled(SKUS),
        advertiser_id: record.filled(MERCHANT),
        advertiser_name: record.filled(MERCHANT_NAME),
        transacted_at: record.time_by(OCCURRED, time)?,
        clicked_at: clicked(record.filled(CLICK_DATE), record.filled(CLICK_TIME))?,
        reversed_at: record.time_by(REVERSED, time)?,
        // The scheduled lock, no decision.
        locks_at: record.time_by(LOCKS, time)?,
        paid_at,
        sale_amount: sale,
        sale_currency: sale.map(|_| CURRENCY),
        commission_amount: commission,
        commission_currency: commission.map(|_| CURRENCY),
        sub_ids: &[("AffComment", record.text(SUB_ID))],
        ..Transaction::default()
    };
    out.push(record, &row);
    Ok(())
}

/// What was paid: the row takes it from the balance, so its sign is the other one.
fn payout(record: Record, out: &mut Output) -> Result<(), String> {
    let amount = record.money(COMMISSION)?.map(|amount| Money::from_micros(-amount.micros()));
    let is_voided = flag(record.filled(VOIDED)) == Some(true);
    let payment = Payment {
        payment_id: id(record.required(ID)?)?,
        created_at: record.time_by(OCCURRED, time)?,
        paid_at: record.time_by(PAID, time)?,
        payment_status: if is_voided { PaymentStatus::Unknown } else { PaymentStatus::Paid },
        amount,
        currency: amount.map(|_| CURRENCY),
        ..Payment::default()
    };
    out.push_payment(record, &payment);
    Ok(())
}

/// The host rejects rows with fewer fields than the header, or more that aren't empty. With an empty further field, a `|`
/// in a comment may have shifted the columns.
fn check_width(record: Record) -> Result<(), String> {
    let is_flag = flag(record.filled(VOIDED)).is_some();
    if record.filled(EXTRA).is_some() || (!is_flag && record.text(EXTRA).is_some()) {
        return Err("it has more fields than the header: a `|` in a comment has shifted its columns".into());
    }
    Ok(())
}

/// What a merchant's comment says.
struct Comment<'a> {
    order: Option<&'a str>,
    reason: Option<&'a str>,
}

impl<'a> Comment<'a> {
    /// `Sale - 10001`, `VOIDED Returned Merchandise Sale - 10001`, or an order number alone.
    fn read(text: &'a str) -> Self {
        let filled = |text: &'a str| Some(text.trim()).filter(|text| !text.is_empty());
        let is_token = |text: &&str| !text.contains(char::is_whitespace);
        match text.rsplit_once("Sale - ") {
            Some((before, order)) => {
                let reason = before.trim_start().strip_prefix("VOIDED").and_then(filled);
                Self { order: filled(order), reason }
            }
            None => Self { order: filled(text).filter(is_token), reason: None },
        }
    }
}

fn text<'a>(record: Record<'a>, input: usize) -> &'a str {
    record.filled(input).unwrap_or_default()
}

/// An id is documented as an integer. Anything else is a line that a line feed in a comment has torn.
fn id(text: &str) -> Result<&str, String> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    is_number.then_some(text).ok_or_else(|| format!("`{}` is no TransID", text.chars().take(40).collect::<String>()))
}

/// What a flag's column says; none for a word that is no flag.
fn flag(text: Option<&str>) -> Option<bool> {
    let Some(text) = text else { return Some(false) };
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match () {
        () if is(&["1", "true", "yes", "y"]) => Some(true),
        () if is(&["0", "false", "no", "n"]) => Some(false),
        () => None,
    }
}

/// The facts' precedence; none where a flag that decides says nothing known.
fn status_word(voided: Option<bool>, is_paid: bool, locked: Option<bool>) -> Option<&'static str> {
    match (voided?, is_paid, locked) {
        (true, ..) => Some("voided"),
        (false, true, _) => Some("paid"),
        (false, false, Some(true)) => Some("locked"),
        (false, false, Some(false)) => Some("pending"),
        (false, false, None) => None,
    }
}

fn payment(is_paid: bool, validation: ValidationStatus, stated: PaymentStatus) -> PaymentStatus {
    match (is_paid, validation) {
        (true, ValidationStatus::Declined) => PaymentStatus::ClawedBack,
        (true, _) => PaymentStatus::Paid,
        (false, _) => stated,
    }
}

/// `01/10/2026 09:30:00 AM`, also without AM or PM (then of 24 hours), without seconds, or only a date; and
/// `2026-01-10 00:00:00.0`, `2026-01-10`.
fn time(text: &str) -> Option<Time> {
    const PATTERNS: [&str; 6] = [
        "%m/%d/%Y %I:%M:%S %p",
        "%m/%d/%Y",
        "%m/%d/%Y %I:%M %p",
        "%m/%d/%Y %H:%M:%S",
        "%m/%d/%Y %H:%M",
        "%m/%d/%Y %I:%M:%S%p",
    ];
    PATTERNS.iter().find_map(|pattern| Time::parse(text, pattern)).or_else(|| Time::iso(text))
}

/// `09:30:00 AM` and its like, in microseconds since midnight.
fn of_day(text: &str) -> Option<i64> {
    const DAY: &str = "01/01/2000";
    let [midnight, moment] = [time(DAY)?, time(&format!("{DAY} {text}"))?].map(|time| time.micros);
    Some(moment - midnight)
}

/// The click's day and time of day are two columns; the day may come with a midnight of its own.
fn clicked(date: Option<&str>, clock: Option<&str>) -> Result<Option<Time>, String> {
    let no_click = || {
        let both = format!("{} {}", date.unwrap_or_default(), clock.unwrap_or_default());
        format!("`{}` is no time of a click", both.trim().chars().take(60).collect::<String>())
    };
    let clock = clock.filter(|text| !Time::stands_for_none(text, Time::iso(text)));
    let clock = clock.map(|text| of_day(text).ok_or_else(no_click)).transpose()?;
    let Some(text) = date else { return Ok(None) };
    let day = time(text);
    if Time::stands_for_none(text, day) {
        return Ok(None);
    }
    let day = day.ok_or_else(no_click)?;
    Ok(Some(match clock {
        Some(clock) => Time { micros: day.micros - day.micros.rem_euclid(DAY_MICROS) + clock, basis: TimeBasis::Local },
        None => day,
    }))
}

#[cfg(test)]
mod tests;
