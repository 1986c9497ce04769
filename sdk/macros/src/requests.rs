//! What is asked, and what an answer means.

use crate::document::{Read, Section, Text, mistake};
use crate::network::Network;
use crate::stream::Stream;
use crate::template::{self, Names, Piece};

/// A name and a template: a query parameter or a header.
pub(crate) struct Named {
    name: String,
    value: Vec<Piece>,
}

pub(crate) struct Call {
    method: &'static str,
    url: Vec<Piece>,
    query: Vec<Named>,
    headers: Vec<Named>,
    body: Option<Vec<Piece>>,
}

/// What a status of an answer means: the status, and the code of the judgement.
pub(crate) struct HttpRule(u32, String);

/// Reads a table of templates, if it is there.
pub(crate) fn read_named(section: &Section, key: &str, names: &Names) -> Read<Vec<Named>> {
    section.section(key)?.map_or(Ok(Vec::new()), |table| read_named_in(&table, names))
}

/// Reads a table of templates; a list of templates is the same name several times.
pub(crate) fn read_named_in(table: &Section, names: &Names) -> Read<Vec<Named>> {
    let mut found = Vec::new();
    for (name, value) in table.all() {
        for text in value.texts(&name)? {
            found.push(Named { name: name.clone(), value: template::read(&text, names)? });
        }
    }
    Ok(found)
}

impl Call {
    /// Reads `method`, `url`, `query`, `headers` and `body`, and leaves other keys.
    pub(crate) fn read(section: &Section, names: &Names) -> Read<Self> {
        let method = section.text("method")?;
        let method = match method.as_ref().map_or("GET", |method| method.text.as_str()) {
            "GET" => "Get",
            "POST" => "Post",
            "PUT" => "Put",
            other => return mistake(section.line, format!("`{other}` is no method: GET, POST or PUT")),
        };
        let url = section.required("url")?.text("url")?;
        if !url.text.starts_with("https://") {
            return mistake(url.line, "a URL begins with https://");
        }
        Ok(Self {
            method,
            url: template::read(&url, names)?,
            query: read_named(section, "query", names)?,
            headers: read_named(section, "headers", names)?,
            body: section.text("body")?.map(|body| template::read(&body, names)).transpose()?,
        })
    }

    /// A request whose templates know no slice: a sign-in.
    pub(crate) fn code(&self, key: &str) -> String {
        let query: String = self.query.iter().map(|named| named.query_with()).collect();
        let headers: String = self.headers.iter().map(Named::header).collect();
        let url = format!("{}{query}", template::code(&self.url));
        let made = match &self.body {
            Some(body) => format!("post({key:?}, {url}, {})", template::code(body)),
            None => format!("get({key:?}, {url})"),
        };
        format!("Request {{ method: Method::{}, ..{made} }}{headers}", self.method)
    }
}

impl Named {
    fn query_with(&self) -> String {
        format!(".query_with({:?}, {})", self.name, template::code(&self.value))
    }

    fn query(&self) -> String {
        if template::is_open(&self.value) {
            format!(".query({:?}, &{})", self.name, template::text_code(&self.value, false))
        } else {
            self.query_with()
        }
    }

    fn header(&self) -> String {
        format!(".header({:?}, {})", self.name.to_ascii_lowercase(), template::code(&self.value))
    }
}

impl HttpRule {
    /// Reads `[http]`: `403 = "retry after 60"`, `204 = "done"`.
    pub(crate) fn read_all(root: &Section) -> Read<Vec<Self>> {
        let Some(table) = root.section("http")? else { return Ok(Vec::new()) };
        table.all().into_iter().map(|(status, value)| Self::read(&status, &value.text(&status)?)).collect()
    }

    fn read(status: &str, rule: &Text) -> Read<Self> {
        let Some(number) = status.parse().ok().filter(|status| (100..600).contains(status)) else {
            return mistake(rule.line, format!("`{status}` is no HTTP status"));
        };
        let words: Vec<&str> = rule.text.split(' ').collect();
        let reason = format!("the network answered {number}");
        let code = match words[..] {
            ["done"] => "done()".to_owned(),
            ["split"] => "split()".to_owned(),
            ["retry"] => format!("retry({reason:?})"),
            ["retry", "after", secs] if secs.parse::<u32>().is_ok() => {
                format!("retry_after(response, {secs}, {reason:?})")
            }
            ["refuse", "credentials"] => format!("refused(RefusalKind::Credentials, {reason:?})"),
            ["refuse", "request"] => format!("refused(RefusalKind::Request, {reason:?})"),
            _ => {
                return mistake(
                    rule.line,
                    format!(
                        "`{}` is none of: done, split, retry, retry after SECONDS, refuse credentials, refuse request",
                        rule.text
                    ),
                );
            }
        };
        Ok(Self(number, code))
    }
}

/// The code of `plan` and `follow`.
pub(crate) fn code(network: &Network) -> String {
    let mut code = settings(network);
    for stream in &network.streams {
        code.push_str(&request(network, stream));
    }
    code.push_str(&plan(network));
    code.push_str(&follow(network));
    code
}

/// What settings must look like.
fn settings(network: &Network) -> String {
    let checks: String = network
        .settings
        .iter()
        .filter_map(|setting| {
            let name = &setting.name;
            let (test, what) = match setting.form.as_deref() {
                Some("digits") => ("value.bytes().all(|byte| byte.is_ascii_digit())", "a number"),
                Some("word") => (
                    "value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))",
                    "letters, digits, `-` and `_`",
                ),
                Some("currency") => (
                    "value.len() == 3 && value.bytes().all(|byte| byte.is_ascii_uppercase())",
                    "an ISO 4217 code such as `EUR`",
                ),
                _ if setting.required => ("true", "filled in"),
                _ => return None,
            };
            let text = format!("`{name}` must be {what}");
            let empty = !setting.required;
            Some(format!(
                "let value = slice.setting({name:?}).unwrap_or_default().trim();
                if !(if value.is_empty() {{ {empty} }} else {{ {test} }}) {{
                    return Err(refusal(RefusalKind::Settings, {text:?}));
                }}"
            ))
        })
        .collect();
    format!(
        "#[allow(unused_variables)] fn declared_settings(slice: &::sluice_connector::Slice) -> Result<(), ::sluice_connector::Refusal> {{
            #[allow(unused_imports)] use ::sluice_connector::*;
            {checks}
            Ok(())
        }}\n"
    )
}

/// The request of a stream at a position.
fn request(network: &Network, stream: &Stream) -> String {
    let call = &stream.call;
    let fixed: String = call.query.iter().map(|named| format!("let url = url{};", named.query())).collect();
    let arm =
        |name: &str, query: &[Named]| format!("{name} => url{},", query.iter().map(Named::query).collect::<String>());
    let others = stream.axes.iter().skip(1);
    let others: String = others.map(|(axis, query)| arm(&format!("{:?}", axis.to_ascii_lowercase()), query)).collect();
    // The first axis is the default.
    let default = stream.axes.first().map(|(_, query)| arm("_", query)).unwrap_or_else(|| "_ => url".to_owned());
    let urls: String = stream
        .axis_urls
        .iter()
        .map(|(axis, url)| format!("{:?} => {},", axis.to_ascii_lowercase(), template::url_code(url)))
        .collect();
    let headers: String = network.headers.iter().chain(&call.headers).map(Named::header).collect();
    let key = match &stream.pages {
        Some(pages) => format!("format!(\"{}-{{position}}\")", if pages.by_offset { "offset" } else { "page" }),
        None => format!("String::from({:?})", stream.name.replace('_', "-")),
    };
    let made = match &call.body {
        Some(body) => format!("post({key}, url, {})", template::code(body)),
        None => format!("get({key}, url)"),
    };
    format!(
        "/// The request of this stream at a position in its list.
        #[allow(unused_variables)] pub(crate) fn request_of_{}(slice: &::sluice_connector::Slice, position: u64) -> ::sluice_connector::Request {{
            #[allow(unused_imports)] use ::sluice_connector::*;
            let url = match slice.axis.as_str() {{ {urls} _ => {} }};
            {fixed}
            let url = match slice.axis.as_str() {{ {others} {default} }};
            Request {{ method: Method::{}, ..{made} }}{headers}
        }}\n",
        stream.name,
        template::url_code(&call.url),
        call.method
    )
}

fn plan(network: &Network) -> String {
    let arms: String = network
        .streams
        .iter()
        .map(|stream| {
            let name = &stream.name;
            match &stream.pages {
                Some(pages) => format!(
                    "{name:?} => {{ let pages = {}; Ok(vec![request_of_{name}(slice, pages.first).state(pages.start())]) }}",
                    pages.code()
                ),
                None => format!("{name:?} => Ok(vec![request_of_{name}(slice, 0)]),"),
            }
        })
        .collect();
    format!(
        "#[allow(dead_code)] fn declared_plan(slice: &::sluice_connector::Slice)
            -> Result<Vec<::sluice_connector::Request>, ::sluice_connector::Refusal> {{
            #[allow(unused_imports)] use ::sluice_connector::*;
            match slice.stream.as_str() {{
                {arms}
                other => Err(refusal(RefusalKind::Request, format!(\"there is no stream `{{other}}`\"))),
            }}
        }}\n"
    )
}

fn follow(network: &Network) -> String {
    let hook = match &network.hooks.follow {
        Some(path) => format!("if let Some(judgement) = {path}(slice, request, response) {{ return judgement; }}"),
        None => String::new(),
    };
    let http: String =
        network.http.iter().map(|HttpRule(status, code)| format!("{status} => return {code},")).collect();
    let renews = match &network.renews {
        Some(token) => format!("Some({token:?})"),
        None => "None".to_owned(),
    };
    let arms: String = network
        .streams
        .iter()
        .filter_map(|stream| {
            let name = &stream.name;
            let pages = stream.pages.as_ref()?.code();
            Some(format!(
                "{name:?} => {pages}.follow(request, response, |position| request_of_{name}(slice, position)),"
            ))
        })
        .collect();
    format!(
        "#[allow(unused_variables)] fn declared_follow(slice: &::sluice_connector::Slice, request: &::sluice_connector::Request,
            response: &::sluice_connector::Response) -> ::sluice_connector::Judgement {{
            #[allow(unused_imports)] use ::sluice_connector::*;
            {hook}
            match response.status {{ {http} _ => {{}} }}
            {}
            let judgement = by_status(response, {renews});
            if !matches!(judgement.verdict, Verdict::Done) || !request.yields_records {{ return judgement; }}
            match slice.stream.as_str() {{ {arms} _ => judgement }}
        }}\n",
        errors(network)
    )
}

/// The search for errors in bodies: places first, then texts.
fn errors(network: &Network) -> String {
    let list = |texts: &[String]| format!("&{texts:?}");
    let places: String = network
        .errors
        .iter()
        .filter_map(|error| {
            let at = error.at.as_ref()?;
            Some(format!(
                "BodyError {{ at: {at:?}, is: {}, words: {}, then: {} }},",
                list(&error.is),
                list(&error.words),
                error.then
            ))
        })
        .collect();
    let texts: String = network
        .errors
        .iter()
        .filter(|error| error.at.is_none())
        .flat_map(|error| error.is.iter().map(|word| format!("({word:?}, {}),", error.then)))
        .collect();
    let mut code = String::new();
    if !places.is_empty() {
        code.push_str(&format!("if let Some(judgement) = error_in(response, &[{places}]) {{ return judgement; }}"));
    }
    if !texts.is_empty() {
        // The head of a body with records says nothing of an error.
        code.push_str(&format!(
            "if response.records.is_none_or(|records| records == 0) || response.problem.is_some() {{
                if let Some(judgement) = error_in_text(&response.head(500), &[{texts}]) {{ return judgement; }}
            }}"
        ));
    }
    // Another status says enough: a 401 renews the token, whatever stands in its body.
    if code.is_empty() { code } else { format!("if (200..300).contains(&response.status) {{ {code} }}") }
}
