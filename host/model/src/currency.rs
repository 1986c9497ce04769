//! Currencies: what is a code of ISO 4217, whatever its case.

/// The alphabetic codes of ISO 4217 that stand for money, those that were withdrawn since 1999 too; sorted. Codes of metals,
/// of bonds, for tests (`XTS`) and for none (`XXX`) aren't among them.
const CODES: &str = "ADP AED AFA AFN ALL AMD ANG AOA ARS ATS AUD AWG AYM AZM AZN BAM BBD BDT BEF BGL BGN BHD BIF BMD BND BOB BOV \
    BRL BSD BTN BWP BYN BYR BZD CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CSD CUC CUP CVE CYP CZK DEM DJF DKK DOP DZD ECS \
    EEK EGP ERN ESP ETB EUR FIM FJD FKP FRF GBP GEL GHC GHS GIP GMD GNF GRD GTQ GWP GYD HKD HNL HRK HTG HUF IDR IEP ILS INR \
    IQD IRR ISK ITL JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LTL LUF LVL LYD MAD MDL MGA MGF MKD \
    MMK MNT MOP MRO MRU MTL MUR MVR MWK MXN MXV MYR MZM MZN NAD NGN NIO NLG NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PTE PYG \
    QAR ROL RON RSD RUB RUR RWF SAR SBD SCR SDD SDG SEK SGD SHP SIT SKK SLE SLL SOS SRD SRG SSP STD STN SVC SYP SZL THB TJS \
    TMM TMT TND TOP TRL TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VEB VED VEF VES VND VUV WST XAF XCD XCG XOF XPF YER \
    YUM ZAR ZMK ZMW ZWD ZWG ZWL";

/// The ISO 4217 code that a text means: three letters in any case, with or without blanks around them. None if it is none.
///
/// ```
/// use sluice_model::iso_currency;
/// assert_eq!(iso_currency(" usd"), Some("USD"));
/// assert_eq!(iso_currency("points"), None);
/// assert_eq!(iso_currency("XXX"), None);
/// ```
pub fn iso_currency(text: &str) -> Option<&'static str> {
    let mut code: [u8; 3] = text.trim().as_bytes().try_into().ok()?;
    code.make_ascii_uppercase();
    // Every code is three bytes, a space behind it.
    let place = CODES.as_bytes().chunks(4).position(|known| known.starts_with(&code))?;
    CODES.get(place * 4..place * 4 + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_each_is_found() {
        let codes: Vec<&str> = CODES.split(' ').collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
        for code in codes {
            assert_eq!(iso_currency(&code.to_lowercase()), Some(code));
        }
    }

    #[test]
    fn what_is_no_money_is_no_code() {
        for text in ["", "€", "EU", "EURO", "points", "XXX", "XTS", "XAU", "U D", "AED ", "ÄB"] {
            assert_eq!(iso_currency(text).is_some(), text == "AED ", "{text}");
        }
    }
}
