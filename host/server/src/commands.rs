//! Commands of this binary, run for a request: what they print on standard output is the answer.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use sluice_runtime::failure::{Exit, Failure};
use sluice_runtime::own_command::{self, own_command};
use tokio::io::AsyncReadExt;

use crate::Shared;
use crate::answer::CommandOutput;
use crate::api::Arguments;
use crate::error::{ApiError, ErrorBody};

/// The largest answer, unless its route says otherwise.
pub(crate) const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// As much of what a command says of itself.
const MAX_MESSAGE_BYTES: u64 = 1 << 20;
/// Warnings of a query, as JSON: rows may be missing, or answers are doubted.
const WARNINGS: HeaderName = HeaderName::from_static(own_command::WARNINGS_HEADER);

/// Runs a command and answers with what it prints.
///
/// # Errors
/// The command's failure, as it printed it; one of a command that takes too long or prints too much.
pub(crate) async fn answer(
    shared: &Shared,
    content_type: &'static str,
    arguments: Arguments,
) -> Result<Response, ApiError> {
    // First the place for the answer: it is given back once the client has it, a command's permit when it ends.
    let place = shared.answers.clone().acquire_owned().await.map_err(Failure::failed)?;
    let Printed { answer, messages } = run(shared, &arguments).await?;
    let mut headers = headers(content_type, &messages);
    headers.insert(header::CONTENT_LENGTH, answer.len().into());
    Ok((headers, answer.into_body(place)).into_response())
}

/// Runs a command that prints an object, and answers with those values of its list `field` that are wanted.
///
/// # Errors
/// As [`answer`].
pub(crate) async fn answer_part(
    shared: &Shared,
    arguments: Arguments,
    field: &str,
    is_wanted: impl Fn(&Value) -> bool,
) -> Result<Response, ApiError> {
    let _place = shared.answers.acquire().await.map_err(Failure::failed)?;
    let Printed { answer, messages } = run(shared, &arguments).await?;
    let bytes = answer.into_bytes().await.map_err(Failure::from)?;
    let mut printed: Value = serde_json::from_slice(&bytes).map_err(Failure::failed)?;
    let Value::Array(mut values) = printed[field].take() else {
        return Err(Failure::failed(anyhow::anyhow!("the command printed no `{field}`")).into());
    };
    values.retain(is_wanted);
    Ok((headers("application/json", &messages), Value::Array(values).to_string()).into_response())
}

struct Printed {
    answer: CommandOutput,
    messages: Vec<u8>,
}

/// Runs a command to its end, within its time.
async fn run(shared: &Shared, arguments: &Arguments) -> Result<Printed, ApiError> {
    if arguments.words.iter().any(|argument| argument.contains('\0')) {
        let error = "the request holds a null character";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error, "leave it out"));
    }
    let _turn = shared.commands.acquire().await.map_err(Failure::failed)?;
    let most = shared.app.settings.limits.process_time();
    tokio::time::timeout(most, run_to_end(shared, arguments)).await.unwrap_or_else(|_| {
        Err(ApiError::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!("the command took more than {} s", most.as_secs()),
            "ask for less, or raise query_secs of [limits] in sluice.toml",
        ))
    })
}

async fn run_to_end(shared: &Shared, arguments: &Arguments) -> Result<Printed, ApiError> {
    let failed = |error: std::io::Error| ApiError::from(Failure::from(error));
    let mut command = own_command(&shared.app.settings.path, &arguments.words).map_err(failed)?;
    let mut child = command.spawn().map_err(failed)?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Failure::failed(anyhow::anyhow!("the command has no output")).into());
    };
    // Each pipe is closed once it was read, so that a command that prints more ends instead of waiting for a reader.
    let messages = async move {
        let mut messages = Vec::new();
        stderr.take(MAX_MESSAGE_BYTES).read_to_end(&mut messages).await.map(|_| messages)
    };
    let most_bytes = arguments.most_bytes;
    let (answer, messages) = tokio::join!(CommandOutput::read(stdout, most_bytes), messages);
    let (answer, messages) = (answer.map_err(failed)?, messages.map_err(failed)?);
    if answer.len() > most_bytes {
        return Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the answer has more than {most_bytes} bytes"),
            "ask for less",
        ));
    }
    let status = child.wait().await.map_err(failed)?;
    match status.code() {
        Some(0) => Ok(Printed { answer, messages }),
        Some(_) if arguments.keeps_report && answer.len() > 0 => Ok(Printed { answer, messages }),
        code => Err(refused(code, &messages)),
    }
}

/// A command that failed, by its exit code and its last line.
fn refused(code: Option<i32>, messages: &[u8]) -> ApiError {
    let exit = |exit: Exit| Some(exit as i32);
    let status = match code {
        code if code == exit(Exit::Usage) => StatusCode::NOT_FOUND,
        code if code == exit(Exit::Failed) => StatusCode::UNPROCESSABLE_ENTITY,
        code if code == exit(Exit::Doubtful) => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let code_is_settings = code == exit(Exit::Settings);
    let text = String::from_utf8_lossy(messages);
    let body = text.lines().rev().find_map(|line| serde_json::from_str::<ErrorBody>(line).ok());
    let body = body.unwrap_or_else(|| ErrorBody {
        error: format!("the command ended with {}", code.map_or("a signal".to_owned(), |code| code.to_string())),
        kind: "host".to_owned(),
        ..ErrorBody::default()
    });
    // What the settings of a network don't allow can't be had by asking for it. A store that fails is the server's fault.
    let is_refused = code_is_settings && ["settings", "credentials"].contains(&body.kind.as_str());
    ApiError::of(if is_refused { StatusCode::UNPROCESSABLE_ENTITY } else { status }, body)
}

fn headers(content_type: &'static str, messages: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // A network's body is never shown as a page.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(warnings) = warnings(messages) {
        headers.insert(WARNINGS, warnings);
    }
    headers
}

/// The warnings that a command printed, in ASCII; none if there is none.
fn warnings(messages: &[u8]) -> Option<HeaderValue> {
    let all = own_command::warnings(&String::from_utf8_lossy(messages));
    HeaderValue::from_str(&own_command::warnings_header(&all)?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_failure_keeps_what_the_command_said() {
        let messages = b"{\"warning\":\"x\"}\n{\"causes\":[\"b\"],\"error\":\"a\",\"hint\":\"c\",\"kind\":\"host\"}\n";
        let error = refused(Some(1), messages);
        assert_eq!((error.status, error.body.error.as_str()), (StatusCode::UNPROCESSABLE_ENTITY, "a"));
        assert_eq!((error.body.causes.len(), error.body.hint.as_deref()), (1, Some("c")));
        assert_eq!(refused(Some(2), b"").status, StatusCode::NOT_FOUND);
        let settings = |kind: &str| refused(Some(78), format!("{{\"error\":\"a\",\"kind\":\"{kind}\"}}").as_bytes());
        assert_eq!(settings("settings").status, StatusCode::UNPROCESSABLE_ENTITY, "too many slices");
        assert_eq!(settings("host").status, StatusCode::INTERNAL_SERVER_ERROR, "a store that fails");
        assert!(refused(None, b"killed").body.error.contains("a signal"));
    }

    #[test]
    fn warnings_fit_into_a_header() {
        let line = |text: &str| format!("{{\"warning\":\"{text}\"}}\n");
        let found = warnings(format!("{}not json\n{}", line("gäp"), line("doubt")).as_bytes()).unwrap();
        assert_eq!(found.to_str().unwrap(), r#"[{"warning":"g?p"},{"warning":"doubt"}]"#);
        let many = line(&"x".repeat(1_000)).repeat(10);
        let found = warnings(many.as_bytes()).unwrap();
        assert!(found.len() <= 4_096 && found.to_str().unwrap().ends_with(r#",{"warning":"and 6 more"}]"#));
        let summed = warnings(format!("{many}{{\"warning\":\"and 7 more\",\"more\":7}}\n").as_bytes()).unwrap();
        assert!(summed.to_str().unwrap().ends_with(r#",{"warning":"and 13 more"}]"#), "{summed:?}");
        let long = warnings(line(&"x".repeat(5_000)).as_bytes()).unwrap();
        assert_eq!(long.to_str().unwrap(), r#"[{"warning":"and 1 more"}]"#);
        assert!(warnings(b"").is_none());
    }
}
