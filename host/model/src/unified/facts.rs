//! The columns that connectors and the engine give of items, payments, programmes and aggregates: the one place in which they
//! are written down, in the form of `table.rs`. The lake puts keys before them and versions behind them, the same for each kind:
//! see `Fact`. The SDK includes this file by its path.
//!
//! A column of kind `day` crosses the boundary as a time, of which the engine takes the calendar day in the answer's zone; one of
//! kind `int64` as millionths, which must be whole.

macro_rules! item_columns {
    ($with:ident) => {
        $with! {
            connector {
                item_id id required key "What identifies the item among others of its stream: the transaction's id and the item's own, joined.";
                transaction_id id required key "The `transaction_id` of the transaction that it is part of.";
                item_number text nullable core "The item's own id or its place within the transaction, as the network gives it.";
                order_id text nullable core "The advertiser's order reference.";
                sku text nullable core "The article, verbatim.";
                product_name text nullable core "The article, by name.";
                category text nullable core "The article's category, as the network names it.";
                advertiser_id text nullable core "The programme or merchant, by the network's id.";
                transacted_at time nullable lifecycle "When the sale happened.";
                validation_status enum(ValidationStatus::Unknown) implied lifecycle "The advertiser's decision of the item.";
                status_raw text nullable lifecycle "The network's status, verbatim.";
                reason_raw text nullable lifecycle "Why it was declined or corrected, verbatim.";
                quantity money nullable money "How many of the article; may be a part of one.";
                sale_amount money nullable money "The item's value, in major units: of all of `quantity`.";
                sale_currency currency nullable money "ISO 4217 code of `sale_amount`; none where the network states none, or what is no such code.";
                commission_amount money nullable money "The publisher's commission of the item, in major units.";
                commission_currency currency nullable money "ISO 4217 code of `commission_amount`; none where the network states none, or what is no such code.";
            }
            engine {
                sale_currency_raw text nullable money "What the network wrote for `sale_currency`, where that differs.";
                commission_currency_raw text nullable money "What the network wrote for `commission_currency`, where that differs.";
                network_timezone text required lifecycle "IANA zone of the answer's local times.";
                timezone_basis enum(TimezoneBasis::Declared) required lifecycle "How that zone is known.";
            }
        }
    };
}
pub(crate) use item_columns;

macro_rules! payment_columns {
    ($with:ident) => {
        $with! {
            connector {
                payment_id id required key "The network's id of the payment, verbatim: the `payment_id` of the transactions that it pays, where these name it.";
                reference text nullable core "What the payment is called on paper: the number of an invoice, a self-bill or a transfer.";
                advertiser_id text nullable core "The programme or merchant that pays, by the network's id, where it isn't the network.";
                advertiser_name text nullable core "The programme or merchant that pays, by name.";
                site_id text nullable core "The publisher's property that is paid for, by the network's id.";
                method text nullable core "How it is paid, as the network names it.";
                first_day day nullable lifecycle "First calendar day of what is paid, in `network_timezone`.";
                last_day day nullable lifecycle "Last calendar day of what is paid, in `network_timezone`.";
                created_at time nullable lifecycle "When the network made the payment or its invoice.";
                due_at time nullable lifecycle "When it is due.";
                paid_at time nullable lifecycle "When it was paid.";
                payment_status enum(PaymentStatus::Unknown) implied lifecycle "Where the money is.";
                status_raw text nullable lifecycle "The network's status of the payment, verbatim.";
                amount money nullable money "What is paid, in major units, as the network states it; negative where it takes money back.";
                tax_amount money nullable money "The tax that the network states beside `amount` or in it, in major units.";
                currency currency nullable money "ISO 4217 code of the amounts; none where the network states none, or what is no such code.";
            }
            engine {
                currency_raw text nullable money "What the network wrote for `currency`, where that differs.";
                network_timezone text required lifecycle "IANA zone of days and local times.";
                timezone_basis enum(TimezoneBasis::Declared) required lifecycle "How that zone is known.";
            }
        }
    };
}
pub(crate) use payment_columns;

macro_rules! programme_columns {
    ($with:ident) => {
        $with! {
            connector {
                programme_id id required key "The network's id of the programme, verbatim: the `advertiser_id` of its transactions, where these name it.";
                name text nullable core "Its name.";
                advertiser_name text nullable core "Who runs it, where the network names that beside the programme.";
                url text nullable core "Its web site.";
                category text nullable core "Its category, as the network names it.";
                country text nullable core "Where it sells, as the network gives it.";
                commission_terms text nullable core "What it pays, as the network writes it.";
                currency text nullable core "The currency in which it pays, as the network writes it.";
                is_joined flag nullable lifecycle "Whether the publisher may promote it, by what the network reports.";
                status_raw text nullable lifecycle "The network's status of the programme or of the partnership, verbatim; several are joined by ` / `.";
                created_at time nullable lifecycle "When it began.";
                joined_at time nullable lifecycle "When the publisher was accepted.";
                modified_at time nullable lifecycle "When the network last changed it.";
                ends_at time nullable lifecycle "When it ends or ended.";
            }
            engine {
                network_timezone text required lifecycle "IANA zone of the answer's local times.";
                timezone_basis enum(TimezoneBasis::Declared) required lifecycle "How that zone is known.";
            }
        }
    };
}
pub(crate) use programme_columns;

macro_rules! aggregate_columns {
    ($with:ident) => {
        $with! {
            connector {
                aggregate_id id required key "What identifies the row among others of its stream: all that the network groups by, joined.";
                day day required core "The calendar day in `network_timezone`; the first one of a longer period.";
                last_day day nullable core "The last calendar day of a longer period.";
                advertiser_id text nullable core "The programme or merchant, by the network's id.";
                advertiser_name text nullable core "The programme or merchant, by name.";
                site_id text nullable core "The publisher's property or channel, by the network's id.";
                site_name text nullable core "The publisher's property or channel, by name.";
                country text nullable core "The country, as the network gives it.";
                grouped_by text nullable core "What else the network groups by, verbatim; several are joined by ` / `.";
                impressions int64 nullable core "How often something was shown.";
                clicks int64 nullable core "How many clicks.";
                leads int64 nullable core "How many leads.";
                sales int64 nullable core "How many sales.";
                sale_amount money nullable money "Value of the sales, in major units.";
                commission_amount money nullable money "The publisher's commission, in major units.";
                currency currency nullable money "ISO 4217 code of the amounts; none where the network states none, or what is no such code.";
            }
            engine {
                currency_raw text nullable money "What the network wrote for `currency`, where that differs.";
                network_timezone text required lifecycle "IANA zone of the network's reporting day.";
                timezone_basis enum(TimezoneBasis::Declared) required lifecycle "How that zone is known.";
            }
        }
    };
}
pub(crate) use aggregate_columns;
