//! Callers of the HTTP API whom an issuer of identities vouches for: their roles, and their names in the list of calls.
//!
//! What is refused of a token is tested with the crate that checks it (`host/fetch/tests/fetch/issuer.rs`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sluice_tests::{Api, Flight, FlightClient, Operator};

/// An issuer on this machine, which signs whatever it is asked to.
struct TestIssuer {
    url: String,
    key: EcdsaKeyPair,
}

impl TestIssuer {
    fn start() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let point = key.public_key().as_ref();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "1", "x": part(&point[1..33]), "y": part(&point[33..])});
        let configuration = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut line = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                reader.read_line(&mut line).unwrap();
                let mut rest = String::new();
                while reader.read_line(&mut rest).is_ok_and(|bytes| bytes > 2) {
                    rest.clear();
                }
                let is_keys = line.starts_with("GET /keys ");
                let body = if is_keys { json!({"keys": [jwk]}) } else { configuration.clone() }.to_string();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{head}{body}").as_bytes());
            }
        });
        Self { url, key }
    }

    fn token(&self, subject: &str, roles: &Value) -> String {
        let exp = Utc::now().timestamp() + 600;
        self.signed(&json!({"iss": self.url, "aud": "sluice", "sub": subject, "exp": exp, "realm": {"groups": roles}}))
    }

    fn signed(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&json!({"alg": "ES256", "kid": "1"})), part(claims));
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn settings(&self) -> String {
        format!(
            "[server.oidc]\nissuer = \"{}\"\naudience = \"sluice\"\nroles_claim = \"realm.groups\"\n\
             [server.oidc.roles]\noperate = [\"ops\"]\nadmin = [\"leads\"]\n",
            self.url
        )
    }
}

#[test]
fn an_issuers_subject_asks_over_flight_sql() {
    let issuer = TestIssuer::start();
    let flight = Flight::start(&issuer.settings()).unwrap();
    let asked = json!([{"sql": "SELECT 1 AS a"}]);
    let answer = |token: &str| flight.ask(FlightClient::AdbcToken, token, &asked).unwrap().remove(0);
    for token in [issuer.token("alice", &json!(["read"])), flight.token.clone()] {
        assert_eq!(answer(&token)["rows"], json!([["1"]]));
    }
    let nobody = answer(&issuer.token("alice", &json!([])));
    assert!(nobody["error"].as_str().unwrap().contains("has no role"), "{nobody}");
    let foreign = answer(&TestIssuer::start().token("alice", &json!(["leads"])));
    assert_eq!(foreign["code"], "UNAUTHENTICATED", "{foreign}");
}

#[test]
fn an_issuers_subject_has_its_role_and_is_named_in_the_list_of_calls() {
    let issuer = TestIssuer::start();
    let mut api = Api::with_settings(&issuer.settings()).unwrap();
    let token = |roles: Value| issuer.token("alice smith", &roles);
    let pause = |token: &str| api.post("/v1/networks/awin/pause", token, &json!({"reason": "a test"})).unwrap();
    let reads = |token: &str| api.get("/v1/status", token).unwrap().status;
    assert_eq!(reads(&token(json!(["read"]))), 200, "a role's own name, where no other is given");
    assert_eq!(pause(&token(json!(["read"]))).status, 403);
    let paused = pause(&token(json!(["read", "ops"])));
    assert!((200..300).contains(&paused.status), "{paused:?}");
    for roles in [json!([]), json!(["operate"]), json!({"ops": true}), Value::Null] {
        let refused = api.get("/v1/status", &token(roles.clone())).unwrap();
        assert_eq!(refused.status, 403, "{roles}: {refused:?}");
        assert!(refused.text().contains("has no role"), "{}", refused.text());
    }
    // The console signs in by this.
    let events = api.get("/v1/events", &token(json!(["ops"]))).unwrap();
    assert_eq!(events.status, 200, "{events:?}");
    let events = events.json().unwrap();
    assert_eq!((&events["token"], &events["role"]), (&json!("oidc:alice%20smith"), &json!("operate")), "{events}");
    // Its own tokens are taken as before.
    let own = api.token("own", "admin").unwrap();
    assert_eq!(reads(&own), 200);
    let calls = api.get("/v1/audit", &own).unwrap().json().unwrap();
    let calls = calls.as_array().unwrap();
    let noted: Vec<(&str, u64)> = calls
        .iter()
        .filter(|call| call["path"] == "/v1/networks/awin/pause")
        .map(|call| (call["token"].as_str().unwrap(), call["status"].as_u64().unwrap()))
        .collect();
    assert_eq!(noted.len(), 2, "{calls:?}");
    assert!(noted.iter().all(|(name, _)| *name == "oidc:alice%20smith"), "{noted:?}");
    // What isn't the issuer's, or isn't for here.
    let foreign = TestIssuer::start().token("alice", &json!(["leads"]));
    let exp = Utc::now().timestamp() + 600;
    let mut claims =
        json!({"iss": issuer.url, "aud": "grafana", "sub": "alice", "exp": exp, "realm": {"groups": ["leads"]}});
    let elsewhere = issuer.signed(&claims);
    claims["aud"] = json!("sluice");
    claims["exp"] = json!(exp - 1_200);
    for wrong in [foreign, elsewhere, issuer.signed(&claims), "a.b.c".to_owned(), String::new()] {
        let refused = api.get("/v1/status", &wrong).unwrap();
        assert_eq!(refused.status, 401, "{wrong}: {refused:?}");
    }
    let log = api.service.log().to_owned();
    assert!(!log.contains(&own), "a token is logged");
}

#[test]
fn an_issuer_that_anyone_could_answer_for_is_refused_and_one_that_is_gone_lets_nobody_in() {
    let settings = |url: &str, listen: &str| {
        format!(
            "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n[server]\nlisten = \"{listen}\"\n\
             [server.oidc]\nissuer = \"{url}\"\naudience = \"sluice\"\n"
        )
    };
    let operator = Operator::empty().unwrap();
    operator.write("sluice.toml", &settings("http://login.example.com", "127.0.0.1:0")).unwrap();
    let refused = operator.sluice(&["serve"]).unwrap();
    assert_eq!(refused.code, 78, "{refused:?}");
    assert!(refused.stderr.contains("neither an https URL nor one of this machine"), "{refused:?}");
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let issuer = TestIssuer::start();
    let mut api = Api::with_settings(&issuer.settings().replace(&issuer.url, &format!("http://{gone}"))).unwrap();
    let refused = api.get("/v1/status", &issuer.token("alice", &json!(["leads"]))).unwrap();
    assert_eq!(refused.status, 503, "{refused:?}");
    api.service.wait_for(&["the issuer's keys can't be read"]).unwrap();
    let own = api.token("own", "read").unwrap();
    assert_eq!(api.get("/v1/status", &own).unwrap().status, 200);
}
