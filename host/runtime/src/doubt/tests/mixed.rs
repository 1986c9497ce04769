//! Whatever a business is like that doesn't change.

use proptest::prelude::*;

use super::*;

fn any_row() -> impl Strategy<Value = Row> {
    let currency = prop_oneof![Just("GBP"), Just("EUR"), Just("USD")];
    let status = prop_oneof![9 => Just("approved"), 1 => Just("unknown")];
    (proptest::option::weighted(0.9, 1_i128..5_000_000_000), currency, status, 20_000..20_060, any::<bool>()).prop_map(
        |(commission, currency, status, day, has_sub_id)| Row {
            commission,
            sale: commission.map(|amount| amount * 12),
            currency: Some(currency),
            status,
            day,
            sub_id: has_sub_id.then_some("m"),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Rows of one mixed business, however they are cut into responses, raise no doubt.
    #[test]
    fn a_mixed_business_raises_no_doubt(
        earlier in prop::collection::vec(prop::collection::vec(any_row(), 20..60), 5..20),
        now in prop::collection::vec(any_row(), 20..60),
    ) {
        let mut profile = Profile::default();
        earlier.iter().for_each(|rows| profile.add(&seen(rows)));
        prop_assert_eq!(judged(&profile, &seen(&now)), vec![]);
    }

    /// Observations of parts merge to that of the whole.
    #[test]
    fn parts_are_the_whole(rows in prop::collection::vec(any_row(), 2..40), cut in 1_usize..39) {
        let cut = cut.min(rows.len() - 1);
        let whole = seen(&rows);
        let mut parts = seen(&rows[..cut]);
        parts.merge(&seen(&rows[cut..]));
        prop_assert_eq!((parts.records, parts.transactions), (whole.records, whole.transactions));
        prop_assert_eq!(parts.money_json(), whole.money_json());
        prop_assert_eq!(parts.columns, whole.columns);
        prop_assert_eq!(&parts.days, &whole.days);
        prop_assert_eq!(&parts.currencies, &whole.currencies);
    }

}
