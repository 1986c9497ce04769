//! Tokens of an issuer: whose keys are read, when they are read again, and what is refused.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair,
    RsaPublicKeyComponents,
};
use serde_json::{Value, json};
use sluice_fetch::{Issuer, IssuerError, Refused, TokenError};

use crate::server::{Reply, Server};

/// A key that signs tokens.
enum SigningKey {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl SigningKey {
    fn ec() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::Ec(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap())
    }

    /// ring makes none of these.
    fn rsa() -> Self {
        let mut openssl = Command::new("openssl");
        openssl.args(["genrsa", "-traditional", "2048"]);
        let pem = openssl.output().expect("no OpenSSL").stdout;
        let pem = String::from_utf8(pem).unwrap();
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(base64).unwrap();
        Self::Rsa(RsaKeyPair::from_der(&der).unwrap())
    }

    fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                let (n, e) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
                json!({"kty": "RSA", "kid": id, "use": "sig", "alg": "RS256", "n": n, "e": e})
            }
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
                json!({"kty": "EC", "crv": "P-256", "kid": id, "x": part(&point[1..33]), "y": part(&point[33..])})
            }
        }
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature).unwrap();
                signature
            }
            Self::Ec(pair) => pair.sign(&random, text).unwrap().as_ref().to_vec(),
        }
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        signed(header, claims, |text| self.sign(text))
    }
}

fn signed(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(text.as_bytes()));
    format!("{text}.{signature}")
}

/// A server that publishes keys as an issuer does.
struct Publisher {
    server: Server,
    keys: Arc<Mutex<Vec<Value>>>,
    fails: Arc<AtomicBool>,
    named: Arc<Mutex<Option<String>>>,
}

impl Publisher {
    async fn start(keys: Vec<Value>) -> Self {
        let (keys, fails) = (Arc::new(Mutex::new(keys)), Arc::new(AtomicBool::new(false)));
        let named = Arc::<Mutex<Option<String>>>::default();
        let (published, failing, other) = (keys.clone(), fails.clone(), named.clone());
        let server = Server::start(move |request| {
            let origin = format!("http://{}", request.header("host").unwrap());
            if failing.load(Ordering::SeqCst) {
                return Reply::status(503, "");
            }
            match request.path() {
                "/realm/.well-known/openid-configuration" => {
                    let issuer = other.lock().unwrap().clone().unwrap_or(format!("{origin}/realm"));
                    Reply::ok(json!({"issuer": issuer, "jwks_uri": format!("{origin}/keys")}).to_string())
                }
                "/keys" => Reply::ok(json!({"keys": *published.lock().unwrap()}).to_string()),
                _ => Reply::status(404, ""),
            }
        });
        Self { server: server.await, keys, fails, named }
    }

    fn url(&self) -> String {
        format!("{}/realm", self.server.url().as_str().trim_end_matches('/'))
    }

    fn issuer(&self) -> Issuer {
        Issuer::new(&self.url(), "sluice", "test").unwrap()
    }

    fn claims(&self) -> Value {
        let now = Utc::now().timestamp();
        json!({"iss": self.url(), "aud": ["other", "sluice"], "sub": "alice", "exp": now + 86_400, "roles": ["read"]})
    }

    /// How often its keys were read.
    fn reads(&self) -> usize {
        self.server.seen().iter().filter(|request| request.path() == "/keys").count()
    }
}

/// A moment so many seconds from now.
fn in_secs(secs: i64) -> DateTime<Utc> {
    Utc::now() + TimeDelta::seconds(secs)
}

fn refusal(refused: Result<serde_json::Map<String, Value>, Refused>) -> TokenError {
    match refused.unwrap_err() {
        Refused::Token(error) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_token_of_each_algorithm_is_accepted_and_its_keys_are_read_once() {
    let (rsa, ec) = (SigningKey::rsa(), SigningKey::ec());
    let publisher = Publisher::start(vec![rsa.jwk("r"), ec.jwk("e")]).await;
    let issuer = publisher.issuer();
    let claims = publisher.claims();
    for (key, algorithm, id) in [(&rsa, "RS256", "r"), (&ec, "ES256", "e")] {
        for header in [json!({"alg": algorithm, "kid": id, "typ": "at+jwt"}), json!({"alg": algorithm})] {
            let found = issuer.claims(&key.token(&header, &claims), Utc::now()).await.unwrap();
            assert_eq!(found["sub"], "alice", "{header}");
        }
    }
    assert_eq!(publisher.reads(), 1);
}

#[tokio::test]
async fn nothing_but_the_issuers_signature_counts() {
    let (rsa, ec, foreign) = (SigningKey::rsa(), SigningKey::ec(), SigningKey::ec());
    let publisher =
        Publisher::start(vec![rsa.jwk("r"), ec.jwk("e"), json!({"kty": "oct", "kid": "o", "k": "AA"})]).await;
    let (issuer, claims) = (publisher.issuer(), publisher.claims());
    let now = Utc::now();
    let check = async |token: &str| refusal(issuer.claims(token, now).await);
    let header = |algorithm: &str, id: &str| json!({"alg": algorithm, "kid": id});
    assert_eq!(check(&foreign.token(&header("ES256", "e"), &claims)).await, TokenError::Signature);
    assert_eq!(check(&ec.token(&header("RS256", "r"), &claims)).await, TokenError::Signature);
    assert_eq!(check(&ec.token(&header("ES256", "r"), &claims)).await, TokenError::Signature, "another kind of key");
    assert_eq!(check(&ec.token(&header("ES256", "o"), &claims)).await, TokenError::Signature);
    for name in ["none", "HS256"] {
        // By the public key as a shared one, and by nothing.
        let n = rsa.jwk("r")["n"].as_str().unwrap().as_bytes().to_vec();
        for signature in [Vec::new(), n] {
            let token = signed(&header(name, "r"), &claims, |_| signature.clone());
            assert_eq!(check(&token).await, TokenError::Algorithm, "{name}");
        }
    }
    if let SigningKey::Rsa(pair) = &rsa {
        let sha512 = signed(&header("RS256", "r"), &claims, |text| {
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(&RSA_PKCS1_SHA512, &SystemRandom::new(), text, &mut signature).unwrap();
            signature
        });
        assert_eq!(check(&sha512).await, TokenError::Signature, "another hash");
    }
    // A claim, or a bit of the signature, is changed.
    let good = ec.token(&header("ES256", "e"), &claims);
    let parts: Vec<&str> = good.split('.').collect();
    let mut richer = claims.clone();
    richer["roles"] = json!(["admin"]);
    let richer = URL_SAFE_NO_PAD.encode(richer.to_string());
    assert_eq!(check(&format!("{}.{richer}.{}", parts[0], parts[2])).await, TokenError::Signature);
    let mut signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
    signature[5] ^= 1;
    let signature = URL_SAFE_NO_PAD.encode(signature);
    assert_eq!(check(&format!("{}.{}.{signature}", parts[0], parts[1])).await, TokenError::Signature);
    assert!(issuer.claims(&good, now).await.is_ok());
    // What is signed, and isn't for here or for now.
    for (name, value) in [("iss", json!("https://other.example.com")), ("aud", json!("other")), ("exp", json!(1))] {
        let mut wrong = claims.clone();
        wrong[name] = value;
        assert_eq!(check(&ec.token(&header("ES256", "e"), &wrong)).await, TokenError::Claim(name));
    }
    let later = now + TimeDelta::days(2);
    assert_eq!(refusal(issuer.claims(&good, later).await), TokenError::Claim("exp"));
}

#[tokio::test]
async fn short_keys_and_keys_for_something_else_sign_nothing() {
    let (rsa, ec) = (SigningKey::rsa(), SigningKey::ec());
    let with = |mut key: Value, name: &str, value: &str| {
        key[name] = json!(value);
        key
    };
    let keys = [
        with(ec.jwk("k"), "use", "enc"),
        with(ec.jwk("k"), "alg", "ES384"),
        with(ec.jwk("k"), "crv", "P-384"),
        with(ec.jwk("k"), "x", "AA"),
        with(rsa.jwk("k"), "alg", "RS512"),
        with(rsa.jwk("k"), "n", "AQAB"),
    ];
    for key in keys {
        let publisher = Publisher::start(vec![key.clone()]).await;
        for (by, algorithm) in [(&ec, "ES256"), (&rsa, "RS256")] {
            let token = by.token(&json!({"alg": algorithm, "kid": "k"}), &publisher.claims());
            assert_eq!(refusal(publisher.issuer().claims(&token, Utc::now()).await), TokenError::Signature, "{key}");
        }
    }
}

#[tokio::test]
async fn keys_are_read_again_for_a_new_one_and_no_more_often_than_the_issuer_bears() {
    let (old, new) = (SigningKey::ec(), SigningKey::ec());
    let publisher = Publisher::start(vec![old.jwk("old")]).await;
    let (issuer, claims) = (publisher.issuer(), publisher.claims());
    let by = |key: &SigningKey, id: &str| key.token(&json!({"alg": "ES256", "kid": id}), &claims);
    let check = async |token: &str, secs: i64| issuer.claims(token, in_secs(secs)).await;
    assert!(check(&by(&old, "old"), 0).await.is_ok());
    // Whoever invents names of keys makes nobody read them.
    for number in 0..20 {
        assert_eq!(refusal(check(&by(&new, &format!("k{number}")), 0).await), TokenError::Signature);
    }
    assert_eq!(publisher.reads(), 1);
    *publisher.keys.lock().unwrap() = vec![new.jwk("new"), old.jwk("old")];
    assert!(check(&by(&new, "new"), 40).await.is_ok());
    assert_eq!(publisher.reads(), 2);
    // A key that is withdrawn is trusted for ten minutes.
    *publisher.keys.lock().unwrap() = vec![new.jwk("new")];
    assert!(check(&by(&old, "old"), 540).await.is_ok());
    assert_eq!(refusal(check(&by(&old, "old"), 700).await), TokenError::Signature);
    assert!(check(&by(&new, "new"), 700).await.is_ok());
    assert_eq!(publisher.reads(), 3);
    // What a clock read that went back since is read again.
    assert!(check(&by(&new, "new"), 60).await.is_ok());
    assert_eq!(publisher.reads(), 4);
}

#[tokio::test]
async fn while_the_issuer_fails_the_keys_that_are_known_are_used_for_hours() {
    let key = SigningKey::ec();
    let publisher = Publisher::start(vec![key.jwk("k")]).await;
    let issuer = publisher.issuer();
    let token = key.token(&json!({"alg": "ES256", "kid": "k"}), &publisher.claims());
    let check = async |secs: i64| issuer.claims(&token, in_secs(secs)).await;
    publisher.fails.store(true, Ordering::SeqCst);
    assert!(matches!(check(0).await, Err(Refused::Issuer(IssuerError::Status { .. }))));
    assert!(matches!(check(0).await, Err(Refused::Issuer(IssuerError::Again))), "it isn't asked at every call");
    publisher.fails.store(false, Ordering::SeqCst);
    assert!(check(40).await.is_ok());
    publisher.fails.store(true, Ordering::SeqCst);
    assert!(check(3 * 3_600).await.is_ok());
    assert!(matches!(check(7 * 3_600).await, Err(Refused::Issuer(_))), "no key is trusted forever");
    publisher.fails.store(false, Ordering::SeqCst);
    assert!(check(8 * 3_600).await.is_ok());
}

#[tokio::test]
async fn the_configuration_must_be_the_issuers_own() {
    let key = SigningKey::ec();
    let publisher = Publisher::start(vec![key.jwk("k")]).await;
    let token = key.token(&json!({"alg": "ES256", "kid": "k"}), &publisher.claims());
    *publisher.named.lock().unwrap() = Some("https://other.example.com".to_owned());
    let refused = publisher.issuer().claims(&token, Utc::now()).await;
    assert!(matches!(refused, Err(Refused::Issuer(IssuerError::Other { .. }))), "{refused:?}");
    for url in ["http://login.example.com/realm", "https://", "login"] {
        assert!(matches!(Issuer::new(url, "sluice", "test"), Err(IssuerError::Url(_))), "{url}");
    }
}
