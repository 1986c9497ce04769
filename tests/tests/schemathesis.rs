//! The HTTP API does what its description says, whatever it is asked: requests that somebody else's program makes up.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

use serde_json::Value;
use sluice_tests::{Api, http, schemathesis};

/// What an answer must be. Not that all requests that the description allows succeed: a network that isn't there is one.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method,ignored_auth";

/// Tries an API in some phases, and gives what is printed.
fn tried(api: &mut Api, phases: &str) -> String {
    let token = api.token("schemathesis", "admin").unwrap();
    let tried = Command::new(schemathesis())
        .current_dir(api.operator.path())
        .args(["run", &format!("http://{}/openapi.json", api.address), "--checks", CHECKS])
        .args(["--phases", phases, "--max-examples", "8", "--seed", "7"])
        // A token has 20 calls a second, and who asks for a job may wait for a minute.
        .args(["--rate-limit", "15/s", "--workers", "2", "--request-timeout", "90"])
        .args(["--header", &format!("Authorization: Bearer {token}"), "--warnings", "off", "--no-color"])
        .output()
        .expect("schemathesis is there: run `just tools`");
    let printed = String::from_utf8_lossy(&tried.stdout).into_owned();
    assert!(tried.status.success(), "{printed}\n{}", String::from_utf8_lossy(&tried.stderr));
    assert!(api.service.is_alive());
    printed
}

#[test]
fn no_request_breaks_the_api_or_its_description() {
    tried(&mut Api::start().unwrap(), "coverage,fuzzing");
}

/// What a route names is asked of the routes that take such names, one request after another.
#[test]
fn no_chain_of_requests_breaks_the_api_or_its_description() {
    let mut api = Api::start().unwrap();
    let described = http(&api.address, "GET", "/openapi.json", None, None).unwrap();
    let described: Value = serde_json::from_slice(&described.body).unwrap();
    let paths = described["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let operations: Vec<&Value> = paths.collect();
    let ids: Vec<&Value> = operations.iter().map(|operation| &operation["operationId"]).collect();
    let answers = operations.iter().flat_map(|operation| operation["responses"].as_object().unwrap().values());
    let links: Vec<&Value> =
        answers.filter_map(|answer| answer["links"].as_object()).flat_map(|links| links.values()).collect();
    assert!(links.len() >= 12, "{links:?}");
    assert!(links.iter().all(|link| ids.contains(&&link["operationId"])), "{links:?}");
    let printed = tried(&mut api, "stateful");
    assert!(!printed.contains("not applicable"), "it follows no link: {printed}");
}
