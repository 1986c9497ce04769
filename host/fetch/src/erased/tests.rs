#![allow(clippy::unwrap_used)]

use super::*;

fn erased(values: &[&str]) -> Erased {
    let mut erased = Erased::new(Secret::new("a key".to_owned()), Vec::new());
    for value in values {
        let found = erased.value(value).unwrap();
        erased.add(found);
    }
    erased
}

/// The text with stand-ins written as `*`.
fn starred(erased: &Erased, text: &str) -> String {
    let mut text = erased.replaced_text(text).unwrap_or_else(|| text.to_owned());
    for value in erased.values() {
        text = text.replace(&value.stand_in, "*");
    }
    text
}

#[test]
fn whole_tokens_are_replaced_in_every_spelling() {
    let erased = erased(&["M123/45 ß"]);
    for (text, wanted) in [
        (r#"{"u1":"M123/45 ß"}"#, r#"{"u1":"*"}"#),
        (r#"{"u1":"M123\/45 \u00df","x":1}"#, r#"{"u1":"*","x":1}"#),
        ("<s>M123/45 &#223;</s>", "<s>*</s>"),
        ("a?u1=M123%2F45%20%C3%9F&b=2", "a?u1=*&b=2"),
        (r#"{"url":"a?u1=M123%2F45%20%C3%9F&b=2"}"#, r#"{"url":"a?u1=*&b=2"}"#),
        ("1,M123/45 ß,2\r\n", "1,*,2\r\n"),
        (r#"{"u1":"M123/45 ßs"}"#, r#"{"u1":"M123/45 ßs"}"#),
    ] {
        assert_eq!(starred(&erased, text), wanted, "{text}");
    }
}

#[test]
fn a_part_of_a_token_is_no_value() {
    let number = erased(&["12345"]);
    for text in ["12345.12", "0.12345", "112345", "12345a", "a-12345", "-12345", "12345-1", "\u{df}12345"] {
        assert_eq!(starred(&number, text), text);
    }
    for (text, wanted) in [
        (r#"{"id":12345,"a":[12345]}"#, r#"{"id":*,"a":[*]}"#),
        ("1,12345,3", "1,*,3"),
        ("12345|s5", "*|s5"),
        ("u=12345%26x", "u=*%26x"),
        ("u%3D12345%26x", "u%3D*%26x"),
        ("u=12345%2D7", "u=12345%2D7"),
        (r"\n12345\n", r"\n*\n"),
    ] {
        assert_eq!(starred(&number, text), wanted, "{text}");
    }
}

#[test]
fn stand_ins_are_random_stay_and_say_nothing() {
    let mut one = erased(&["member-1", "77777"]);
    let again = one.value("member-1").unwrap();
    assert_eq!(again, one.values()[0], "a value keeps its stand-in");
    assert_ne!(erased(&["member-1"]).values()[0].stand_in, again.stand_in);
    assert_eq!((again.stand_in.len(), one.values()[1].stand_in.len()), (23, 15));
    assert_eq!(one.value(&again.stand_in), Err(Unerasable::StandIn));
    one.add(again);
    assert_eq!(one.values().len(), 2);
    assert_eq!(one.without_numbers().values().len(), 1);
    let of = erased(&["member-1", "77777", "pending"]);
    assert_eq!(of.distinctive().values(), &of.values()[..1]);
    assert_eq!(of.digests_in(b"pending|5"), BTreeSet::from([of.values()[2].digest.clone()]));
}

#[test]
fn values_that_would_be_found_everywhere_are_refused() {
    let none = erased(&[]);
    for (value, why) in [
        ("abc", Unerasable::Short),
        ("1234", Unerasable::Short),
        (" member", Unerasable::Edges),
        ("member|", Unerasable::Edges),
        ("123.45", Unerasable::Amount),
        ("2026-02-10", Unerasable::Amount),
    ] {
        assert_eq!(none.value(value), Err(why), "{value}");
    }
    assert_eq!(none.value(&"x".repeat(501)), Err(Unerasable::Long));
}

#[test]
fn stand_ins_of_digits_are_of_the_same_kind() {
    for value in ["12345", "012345", "123456789012345678901"] {
        let stand_in = erased(&[value]).values()[0].stand_in.clone();
        let class = |text: &str| (text.starts_with('0'), text.parse::<i64>().is_ok());
        assert_eq!(class(&stand_in), class(value), "{value} {stand_in}");
    }
}

#[test]
fn quotes_that_csv_doubles_are_one() {
    let erased = erased(&[r#"ORD-1/"4" & S"#]);
    assert_eq!(starred(&erased, r#"1|"ORD-1/""4"" & S"|2"#), r#"1|"*"|2"#);
    assert_eq!(starred(&erased, r#"{"o":"ORD-1\/\"4\" & S"}"#), r#"{"o":"*"}"#);
}

#[test]
fn only_wanted_places_are_replaced() {
    let erased = erased(&["12345"]);
    assert_eq!(erased.count(b"12345 12345 12345"), 3);
    let text = erased.replaced_where(b"12345 12345 12345", |at| at == 1).unwrap();
    let wanted = format!("12345 {} 12345", erased.values()[0].stand_in);
    assert_eq!(String::from_utf8(text).unwrap(), wanted);
}
