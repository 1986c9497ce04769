//! The HTTP API does what its description says, whatever it is asked: requests that somebody else's program makes up.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

use sluice_tests::{Api, schemathesis};

/// What an answer must be. Not that all requests that the description allows succeed: a network that isn't there is one.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method,ignored_auth";

#[test]
fn no_request_breaks_the_api_or_its_description() {
    let mut api = Api::start().unwrap();
    let token = api.token("schemathesis", "admin").unwrap();
    let tried = Command::new(schemathesis())
        .current_dir(api.operator.path())
        .args(["run", &format!("http://{}/openapi.json", api.address), "--checks", CHECKS])
        .args(["--phases", "coverage,fuzzing", "--max-examples", "8", "--seed", "7"])
        // A token has 20 calls a second.
        .args(["--rate-limit", "15/s", "--workers", "2"])
        .args(["--header", &format!("Authorization: Bearer {token}"), "--warnings", "off", "--no-color"])
        .output()
        .expect("schemathesis is there: run `just tools`");
    let printed = String::from_utf8_lossy(&tried.stdout);
    assert!(tried.status.success(), "{printed}\n{}", String::from_utf8_lossy(&tried.stderr));
    assert!(api.service.is_alive());
}
