//! Accounts that are one, though their settings are written differently.

use serde_json::{Value, json};
use sluice_tests::Operator;

use crate::held::{pounds, run, steps_of};
use crate::oddities::{JSON, network};

fn check(operator: &Operator) -> String {
    let answer = operator.sluice(&["check"]).unwrap();
    format!("{} {}{}", answer.code, answer.stdout, answer.stderr)
}

#[test]
fn a_number_with_zeros_before_it_is_the_same_account() {
    let folder = tempfile::tempdir().unwrap();
    let (_network, operator) = steps_of(&folder, "awin", &[pounds()]);
    let file = std::fs::read_to_string(operator.join("networks/awin.json")).unwrap();
    let other = file.replace("\"uk\"", "\"other\"");
    operator.write("networks/awin-2.json", &other.replace("123456", "0123456")).unwrap();
    assert!(check(&operator).contains("are one account"));
    operator.write("networks/awin-2.json", &other.replace("123456", "1234560")).unwrap();
    assert!(!check(&operator).contains("are one account"));
}

#[test]
fn zeros_before_a_number_make_no_other_account_of_one_that_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let (_network, operator) = steps_of(&folder, "awin", &[pounds()]);
    assert_eq!(run(&operator).code, 0);
    let file = std::fs::read_to_string(operator.join("networks/awin.json")).unwrap();
    operator.write("networks/awin.json", &file.replace("123456", "0123456")).unwrap();
    let answer = run(&operator);
    assert_eq!(answer.code, 0, "{answer:?}");
    operator.write("networks/awin.json", &file.replace("\"uk\"", "\"renamed\"")).unwrap();
    assert!(check(&operator).contains("was it renamed?"), "the number is that of the account that left");
}

#[test]
fn one_secret_with_and_without_the_account_number_is_one_account() {
    for (name, setting, values) in
        [("belboon", "user_id", ["12", "13"]), ("clickbank", "account_nickname", ["me", "you"])]
    {
        let folder = tempfile::tempdir().unwrap();
        let steps = json!([[{"text": "", "headers": {"content-type": JSON}}]]);
        let (_network, mut operator) = network(folder.path(), "awin", &[], &steps);
        operator.install(name, &format!("{name}.wasm")).unwrap();
        for (variable, value) in [("KEY_ONE", "secret-1"), ("KEY_SAME", "secret-1"), ("KEY_OTHER", "secret-2")] {
            operator.set(variable, value);
        }
        let write = |file: &str, account: &str, number: Option<&str>, key: &str| {
            let mut settings = json!({});
            if let Some(number) = number {
                settings[setting] = Value::from(number);
            }
            let account = json!({"name": account, "settings": settings, "secrets": {"api_key": format!("env:{key}")}});
            let content = json!({"connector": name, "accounts": [account]});
            operator.write(&format!("networks/{file}.json"), &content.to_string()).unwrap();
        };
        write(name, "one", Some(values[0]), "KEY_ONE");
        for (number, key, is_one) in
            [(None, "KEY_SAME", true), (None, "KEY_OTHER", false), (Some(values[1]), "KEY_SAME", false)]
        {
            write(&format!("{name}-2"), "two", number, key);
            let output = check(&operator);
            assert_eq!(output.contains("are one account"), is_one, "{name} {number:?} {key}: {output}");
        }
    }
}
