//! Sign-ins.

use crate::document::{Read, Section, Text, mistake};
use crate::requests::Call;
use crate::template::Names;

/// A sign-in, as `[tokens.NAME]` declares it.
pub(crate) struct Token {
    name: String,
    call: Call,
    value: String,
    lifetime: Option<String>,
    lifetime_secs: Option<u32>,
    refresh_value: Option<String>,
    refresh: Option<Call>,
    rotates: bool,
}

/// Reads a sign-in.
pub(crate) fn read(name: &str, section: &Section, names: &Names) -> Read<Token> {
    let call = Call::read(section, names)?;
    let value = place(&section.required("value")?.text("value")?)?;
    let optional = |key: &str| section.text(key)?.as_ref().map(place).transpose();
    let (lifetime, refresh_value) = (optional("lifetime")?, optional("refresh_value")?);
    let refresh = match section.section("refresh")? {
        Some(refresh) => {
            let call = Call::read(&refresh, names)?;
            refresh.finish()?;
            Some(call)
        }
        None => None,
    };
    let token = Token {
        name: name.to_owned(),
        call,
        value,
        lifetime,
        lifetime_secs: section.number("lifetime_secs")?,
        refresh_value,
        refresh,
        rotates: section.flag("rotates", false)?,
    };
    section.finish()?;
    Ok(token)
}

/// Where a value stands in an answer: a JSON Pointer, `header NAME`, `cookies`, `body`, or XML names.
fn place(text: &Text) -> Read<String> {
    let place = text.text.trim();
    Ok(match place.split_once(' ') {
        _ if place.starts_with('/') => format!("TokenPlace::Json({place:?}.into())"),
        _ if place == "cookies" => "TokenPlace::Cookies".to_owned(),
        _ if place == "body" => "TokenPlace::Body".to_owned(),
        Some(("header", name)) => format!("TokenPlace::Header({:?}.into())", name.trim()),
        Some(_) => return mistake(text.line, format!("`{place}` is no place in an answer")),
        None => format!("TokenPlace::Xml({place:?}.into())"),
    })
}

impl Token {
    /// The manifest's form.
    pub(crate) fn code(&self) -> String {
        let place = |place: &Option<String>| match place {
            Some(place) => format!("Some({place})"),
            None => "None".to_owned(),
        };
        let request = |call: &Call, key: &str| format!("{}.step()", call.code(key));
        let refresh = match &self.refresh {
            Some(call) => format!("Some({})", request(call, "refresh")),
            None => "None".to_owned(),
        };
        format!(
            "TokenSource {{ name: {:?}.into(), request: {}, value: {}, lifetime: {}, lifetime_secs: {:?}, \
             refresh_value: {}, refresh: {refresh}, rotates: {} }}",
            self.name,
            request(&self.call, "token"),
            self.value,
            place(&self.lifetime),
            self.lifetime_secs,
            place(&self.refresh_value),
            self.rotates
        )
    }
}
