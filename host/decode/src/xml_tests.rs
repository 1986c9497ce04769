//! What the XML decoder promises.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use sluice_model::{Format, Kinds, Layout, NativeBatch};

use super::{DecodeError, decode, value_at};

fn read(place: &str, body: impl AsRef<[u8]>) -> Result<NativeBatch, DecodeError> {
    let layout = Layout { format: Format::Xml(place.into()), pins: vec![], inputs: vec![], key: vec![] };
    decode(&layout, body.as_ref())
}

/// The table as `path=value|value`, `-` for null.
fn shown(place: &str, body: impl AsRef<[u8]>) -> String {
    let column = |column: &sluice_model::NativeColumn| {
        let values: Vec<_> = column.text.iter().map(|value| value.unwrap_or("-").to_owned()).collect();
        format!("{}={}", column.path, values.join("|"))
    };
    read(place, body).unwrap().columns.iter().map(column).collect::<Vec<_>>().join("; ")
}

fn refused(place: &str, body: impl AsRef<[u8]>) -> String {
    read(place, body).unwrap_err().to_string()
}

#[test]
fn elements_and_attributes_are_fields() {
    let body = r#"<?xml version="1.0"?><!-- x --><r xmlns="u" page="1">
        <sale id="7" xsi:type="Sale" xmlns:x="y"><amount currency="EUR">3.50</amount>
            <x:shop><name>A &amp; B &#x20AC;<![CDATA[ <i>]]></name></x:shop><empty/><blank></blank></sale>
        <sale id="8"/></r>"#;
    assert_eq!(
        shown("r.sale", body),
        "@id=7|8; amount.@currency=EUR|-; amount=3.50|-; shop.name=A & B € <i>|-; empty=|-; blank=|-"
    );
    assert_eq!(read("r.sale", body).unwrap().column("amount").unwrap().kinds, Kinds::TEXT);
    assert_eq!(shown("r", "<r><a.b>1</a.b></r>"), r"a\.b=1");
}

#[test]
fn repeated_siblings_are_one_array() {
    let body = r#"<r><s><i>a</i><n>1</n><i>b"</i></s><s><i>c</i></s>
        <s><i k="1"><p>x</p><p/><p xsi:nil="1"/></i><i>t</i><i l="2">u</i></s></r>"#;
    assert_eq!(
        shown("r.s", body),
        r##"i=["a","b\""]|c|[{"@k":"1","p":["x","",null]},"t",{"@l":"2","#text":"u"}]; n=1|-|-"##
    );
    let many: String = (0..60).map(|n| format!("<f{}>{n}</f{}>", n % 50, n % 50)).collect();
    let batch = read("r.s", format!("<r><s>{many}</s></r>")).unwrap();
    assert_eq!(batch.column("f9").unwrap().text.value(0), r#"["9","59"]"#);
    assert_eq!(batch.column("f10").unwrap().text.value(0), "10");
}

#[test]
fn text_beside_children_has_its_own_path() {
    assert_eq!(shown("r.s", "<r><s><a>x<b>1</b>y</a> <c> <d/>\n</c></s></r>"), "a.b=1; a.#text=xy; c.d=");
    assert_eq!(shown("r.s", "<r><s>7</s><s> </s><s u='1'>8</s></r>"), "#text=7|-|8; @u=-|-|1");
}

#[test]
fn nil_is_null() {
    let batch = read("r.s", r#"<r><s><a xsi:nil="true"/></s><s><a xsi:nil="false">1</a></s></r>"#).unwrap();
    let mut kinds = Kinds::NULL;
    kinds.insert(Kinds::TEXT);
    let a = batch.column("a").unwrap();
    assert_eq!((a.text.iter().collect::<Vec<_>>(), a.kinds), (vec![None, Some("1")], kinds));
}

#[test]
fn places_are_local_names() {
    let soap = r#"<e:Envelope xmlns:e="x"><e:Header><item>0</item></e:Header><e:Body><m:get><return><item><id>1</id></item>
        <item><id>2</id></item></return></m:get></e:Body></e:Envelope>"#;
    assert_eq!(shown("Envelope.Body.get.return.item", soap), "id=1|2");
    assert_eq!(shown("*.Body.*.return.item", soap), "id=1|2");
    assert_eq!(read("Envelope.Body.get.return.other", soap).unwrap().rows, 0);
    assert_eq!(read("Envelope.Body.get.return.item.id", soap).unwrap().rows, 2);
    assert_eq!(read("r.s", "<r><x><s/></x><s/></r>").unwrap().rows, 1);
    assert_eq!(read("r.s", "<r/>").unwrap().rows, 0);
    assert_eq!(refused("Envelope.Body.list.return.item", soap), "nothing at `Envelope.Body.list.return.item`");
    let nil = r#"<r xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><list i:nil="true"/></r>"#;
    assert_eq!(refused("r.list.s", nil), "no list of records at r.list.s: it is null");
    assert!(refused("", "<r/>").contains("is no place for records"));
}

#[test]
fn other_documents_are_refused() {
    assert_eq!(refused("r.s", "<x:error>no</x:error>"), "root element is `error`, not `r`");
    assert_eq!(refused("r.s", "<!DOCTYPE html><html></html>"), "no XML: it is HTML");
    assert_eq!(refused("html.s", "<HTML><br></HTML>"), "no XML: it is HTML");
    assert_eq!(refused("r.s", "Invalid token"), "no XML: it begins with `Invalid token`");
    assert_eq!(refused("r.s", " \n"), "no XML: the body is empty");
    let bomb = "<!DOCTYPE r [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><r><s>&b;</s></r>";
    assert!(refused("r.s", bomb).ends_with("it declares a document type"));
    let fault = |inner: &str| format!("<s:Envelope><s:Body><s:Fault>{inner}</s:Fault></s:Body></s:Envelope>");
    let old = fault("<faultcode>c</faultcode><faultstring>Bad\nkey</faultstring>");
    assert_eq!(refused("Envelope.Body.get.item", old), "SOAP fault: Bad key");
    let new = fault("<s:Code><s:Value>c</s:Value></s:Code><s:Reason><s:Text>No</s:Text></s:Reason>");
    assert_eq!(refused("Envelope.Body.*.item", new), "SOAP fault: No");
}

#[test]
fn broken_documents_are_refused() {
    for cut in ["<r><s><a>1</a>", "<r><s", "<r>", "<r><s/></r", "<r><![CDATA[", "<r><!-- ", "<?xml "] {
        assert_eq!(refused("r.s", cut), format!("body is cut short at byte {}", cut.len()), "{cut}");
    }
    for bad in
        ["<r><s><br></s></r>", "<r><br></r>", "<r></r></r>", "<r/><r/>", "<r/>x", "<r><s a=1/></r>", "<r><></></r>"]
    {
        assert!(refused("r.s", bad).starts_with("bad XML at byte"), "{bad}: {}", refused("r.s", bad));
    }
}

#[test]
fn deep_nesting_is_refused() {
    let deep = |depth: usize| format!("<r><s>{}{}</s></r>", "<a>".repeat(depth), "</a>".repeat(depth));
    assert_eq!(read("r.s", deep(127)).unwrap().rows, 1);
    assert!(refused("r.s", deep(128)).ends_with("it nests too deep"));
    assert!(refused("r.x", "<r>".repeat(100_000)).ends_with("it nests too deep"));
    assert_eq!(value_at("<r>".repeat(100_000).as_bytes(), "r"), None);
}

#[test]
fn character_sets_are_those_declared() {
    assert_eq!(shown("r.s", b"<?xml version=\"1.0\" encoding=\"iso-8859-1\"?><r><s><a>\xe9</a></s></r>"), "a=é");
}

#[test]
fn values_are_found() {
    let body =
        br#"<r><p total="3"><next>a&amp;b</next><next>c</next><n xsi:nil="true"/><e/></p><p total="4" last="y"/></r>"#;
    let at = |place: &str| value_at(body, place);
    assert_eq!(at("r.p.next").as_deref(), Some("a&b"));
    assert_eq!(at("r.p.@total").as_deref(), Some("3"));
    assert_eq!(at("r.*.@last").as_deref(), Some("y"));
    assert_eq!(at("r.p.e").as_deref(), Some(""));
    assert_eq!(at("r.p").as_deref(), Some(r#"{"@total":"3","next":["a&b","c"],"n":null,"e":""}"#));
    for none in ["r.p.n", "r.x", "x", "r.p.@none", "r..p", "p.next"] {
        assert_eq!(at(none), None, "{none}");
    }
}

#[test]
fn the_words_of_a_soap_fault_can_be_asked_for() {
    let body =
        b"<E:Envelope xmlns:E='x'><E:Body><E:Fault><faultcode>c</faultcode><faultstring>no session</faultstring>\
        </E:Fault></E:Body></E:Envelope>";
    assert_eq!(value_at(body, "Envelope.Body.Fault.faultstring").as_deref(), Some("no session"));
    assert_eq!(value_at(body, "Envelope.Body.getX"), None);
}

#[test]
fn attributes_are_many_or_too_many_and_each_is_compared_with_none() {
    let element = |count: usize| {
        let attributes: String = (0..count).map(|n| format!(" a{n}='{n}'")).collect();
        format!("<r><row{attributes} b='1' b='2'/></r>")
    };
    let layout = Layout { format: Format::Xml("r.row".into()), pins: vec![], inputs: vec![], key: vec![] };
    let batch = decode(&layout, element(9_000).as_bytes()).unwrap();
    let value = |name: &str| batch.column(name).unwrap().text.value(0).to_owned();
    assert_eq!((batch.rows, value("@a8999").as_str(), value("@b").as_str()), (1, "8999", "2"));
    let refused = decode(&layout, element(1_000_000).as_bytes()).unwrap_err();
    assert_eq!(refused.to_string(), "body has more than 10000 attributes in one element");
    assert_eq!(super::value_at(element(1_000_000).as_bytes(), "r.row.@a7"), None);
}

#[test]
fn an_error_is_no_empty_list_whatever_its_root_is_called() {
    for (place, body) in [
        ("*.lead", "<error>wrong key</error>"),
        ("*.lead", "<result><error><message>wrong key</message></error></result>"),
        ("*.lead", "<html><head><title>Maintenance</title></head><body><p>Later</p></body></html>"),
        ("*.lead", "<html/>"),
        ("r.*.*", "<r><error>wrong key</error></r>"),
        ("r.*.*", "<r><error><![CDATA[wrong key]]></error></r>"),
    ] {
        assert!(read(place, body).is_err(), "{place}: {body}");
    }
    assert_eq!(refused("*.lead", "<error>wrong key</error>"), "no list of records at *.lead: it is text");
    for (place, body) in [
        ("*.lead", "<leads/>"),
        ("*.lead", "<leads>\n</leads>"),
        ("r.*.*", "<r><list/></r>"),
        ("r.s", "<r><count>0</count></r>"),
    ] {
        assert_eq!(read(place, body).map(|batch| batch.rows), Ok(0), "{place}: {body}");
    }
    assert_eq!(read("*.lead", "<leads><count>1</count><lead><id>1</id></lead></leads>").map(|batch| batch.rows), Ok(1));
}
