//! What settings may be, and what is refused before anything is asked.

use sluice_tests::Operator;

use super::{GOOD, network_with, operator};

#[test]
fn no_mistake_in_a_line_prints_what_may_be_a_password() {
    let lines = [
        "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"mysql://sluice:hunter2@db/sluice?password=hunter2\"\n",
        "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"postgres://sluice:hunter2@db/sluice\" x\n",
        "[lake]\nurl = \"file:./lake\"\n[state]\nlease_secs = \"hunter2\"\n",
        "[lake]\nurl = \"s3://key:hunter2@bucket/lake\"\n",
        "[lake]\nurl = \"http://key:hunter2@bucket/lake\"\n",
        "[lake]\nurl = \"file:./lake\"\npassword = hunter2\n",
    ];
    for line in lines {
        let operator = operator();
        operator.write("sluice.toml", line).unwrap();
        let answer = operator.sluice(&["check"]).unwrap();
        assert_eq!(answer.code, 78, "{line}: {answer:?}");
        assert!(!format!("{answer:?}").contains("hunter2"), "{line}: {answer:?}");
    }
    for (from, to) in [
        ("\"env:AWIN_TOKEN\"", "{\"hunter2\": \"hunter2\"}"),
        ("\"env:AWIN_TOKEN\"", "\"hunter2"),
        ("\"1h\"", "\"hunter2\""),
        ("\"base_url\": null", "\"base_url\": \"https://me:hunter2@/x\""),
        ("\"base_url\": null", "\"base_url\": \"https://me:hunter2@api.awin.com/x\""),
    ] {
        let shown = network_with(from, to);
        assert!(!shown.starts_with("exit 0"), "{from} {to}: {shown}");
        assert!(!shown.contains("hunter2"), "{from} {to}: {shown}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_waited_for() {
    use std::os::unix::fs::symlink;
    let fifo = |operator: &Operator, path: &str| {
        let made = std::process::Command::new("mkfifo").arg(operator.join(path)).status().unwrap();
        assert!(made.success());
    };
    let operator = operator();
    fifo(&operator, "networks/cj.json");
    let answer = operator.sluice(&["check"]).unwrap();
    assert_eq!((answer.code, answer.stderr.contains("it is no regular file")), (78, true), "{answer:?}");
    std::fs::remove_file(operator.join("networks/cj.json")).unwrap();
    symlink("/dev/zero", operator.join("networks/cj.json")).unwrap();
    assert_eq!(operator.sluice(&["check"]).unwrap().code, 78);
    std::fs::remove_file(operator.join("networks/cj.json")).unwrap();
    fifo(&operator, "token");
    operator.write("networks/awin.json", &GOOD.replace("env:AWIN_TOKEN", "file:token")).unwrap();
    let answer = operator.sluice(&["check"]).unwrap();
    assert!(answer.code != 0 && format!("{answer:?}").contains("is no file"), "{answer:?}");
    std::fs::remove_file(operator.join("sluice.toml")).unwrap();
    fifo(&operator, "sluice.toml");
    assert_eq!(operator.sluice(&["check"]).unwrap().code, 78);
}

#[test]
fn slices_are_counted_before_they_are_made() {
    let operator = operator();
    operator.write("sluice.toml", "[lake]\nurl = \"file:./lake\"\n[limits]\nslices_per_run = 4\n").unwrap();
    let plan = |since: &str| operator.sluice(&["plan", "awin", "--since", since, "--until", "2026-11-01"]).unwrap();
    assert_eq!(plan("2026-08-10").code, 0);
    let answer = plan("2020-01-01");
    assert_eq!(answer.code, 78, "{answer:?}");
    assert!(answer.stderr.contains("more than 4 slices: connector `awin`"), "{answer:?}");
    assert!(answer.stderr.contains("raise slices_per_run of [limits]"), "{answer:?}");
}

#[test]
fn nothing_is_fetched_to_a_disk_that_is_full() {
    let operator = operator();
    operator.write("networks/awin.json", &GOOD.replace("null", "\"http://127.0.0.1:1/\"")).unwrap();
    let run = |floor: u64| {
        let toml = format!("[lake]\nurl = \"file:./lake\"\n[limits]\nmin_free_mb = {floor}\n");
        operator.write("sluice.toml", &toml).unwrap();
        operator.sluice(&["run", "awin", "--since", "2026-10-01", "--until", "2026-10-02"]).unwrap()
    };
    let answer = run(1 << 40);
    assert!(answer.code != 0 && answer.stderr.contains("MiB of free space"), "{answer:?}");
    assert!(!answer.stderr.contains("127.0.0.1"), "it was asked: {answer:?}");
}
