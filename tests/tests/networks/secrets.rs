//! Secrets beside hostile networks: what they echo, what they refuse, and who else may be asked.

use std::net::TcpStream;

use sluice_tests::{Ask, visit_files};

use super::*;

#[test]
fn an_echoed_secret_is_masked_and_marked_packed_or_not() {
    let escaped = TOKEN.replace('/', "\\/");
    let body = format!(
        "{{\"error\": \"bad token\", \"description\": \"{escaped} / {}\"}}",
        TOKEN.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D")
    );
    let packed = zstd::encode_all(body.as_bytes(), 3).unwrap();
    for (encoding, sent) in [("identity", body.as_bytes()), ("zstd", packed.as_slice())] {
        let server = HostileServer::saying(response(400, &[JSON, ("Content-Encoding", encoding)], sent)).unwrap();
        let operator = operator("awin", &server, LIMITS);
        let outcome = run(&operator, "awin");
        assert!(outcome.errors.contains("bad token") && !outcome.errors.contains("s3cret"), "{outcome:?}");
        let kept = kept(&operator);
        assert_eq!((&kept[0]["masked"], &kept[0]["outcome"]), (&json!(true), &json!("refused")));
        visit_files(operator.path(), &mut |name, bytes| {
            let found = bytes.windows(6).any(|window| window == b"s3cret");
            assert!(!found, "{encoding}: a secret in {name}");
        })
        .unwrap();
    }
}

#[test]
fn proxies_of_the_environment_are_not_asked() {
    let proxy = HostileServer::saying(response(200, &[JSON], b"[]")).unwrap();
    let server = saying(&[JSON], b"[]");
    let mut operator = operator("awin", &server, LIMITS);
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        operator.set(name, &proxy.origin());
    }
    let outcome = run(&operator, "awin");
    assert_eq!((outcome.code, server.asked().len(), proxy.asked().len()), (0, 1, 0), "{outcome:?}");
}

#[test]
fn a_secret_that_changes_while_a_run_asks_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("token");
    std::fs::write(&secret, "old-token-0001\n").unwrap();
    let rotated = secret.clone();
    let server = HostileServer::start(move |ask: &Ask, stream: &mut TcpStream| {
        // The operator rotates the secret at the very moment at which the old one is refused.
        std::fs::write(&rotated, "new-token-0002\n")?;
        let good = ask.head.contains("Bearer new-token-0002");
        stream.write_all(&if good { response(200, &[JSON], b"[]") } else { response(401, &[JSON], b"{}") })
    })
    .unwrap();
    let operator = operator("awin", &server, LIMITS);
    let account = json!({
        "name": "main", "settings": {"publisher_id": "123456"},
        "secrets": {"token": format!("file:{}", folder.path().display())},
    });
    operator.write_network("awin", &server.origin(), vec![account]).unwrap();
    let outcome = run(&operator, "awin");
    assert_eq!((outcome.code, server.asked().len()), (0, 2), "{outcome:?}");
}

#[test]
fn a_secret_may_come_from_a_program_that_the_settings_allow() {
    let server = saying(&[JSON], b"[]");
    let mut operator = operator("awin", &server, LIMITS);
    operator.set("PASSWORD_STORE", "token-of-a-program");
    let account = json!({
        "name": "main", "settings": {"publisher_id": "123456"},
        "secrets": {"token": "command:printenv 'PASSWORD_STORE'"},
    });
    operator.write_network("awin", &server.origin(), vec![account]).unwrap();
    let refused = operator.sluice(&["run", "awin", "--since", "2026-01-01", "--until", "2026-01-02"]).unwrap();
    assert_eq!(refused.code, 78);
    assert!(refused.stderr.contains("doesn't allow the program `printenv`"), "{}", refused.stderr);
    assert!(refused.stderr.contains("commands = [\"printenv\"]"), "{}", refused.stderr);
    let settings = std::fs::read_to_string(operator.join("sluice.toml")).unwrap();
    operator.write("sluice.toml", &format!("{settings}[secrets]\ncommands = [\"printenv\"]\n")).unwrap();
    assert_eq!(run(&operator, "awin").code, 0);
    assert!(server.asked()[0].head.contains("Bearer token-of-a-program"));
}
