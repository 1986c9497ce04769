//! Files that hold no settings, or settings that hold secrets.

use super::*;

#[test]
fn no_mistake_in_a_line_prints_what_may_be_a_password() {
    let lines = [
        "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"mysql://sluice:hunter2@db/sluice?password=hunter2\"\n",
        "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"postgres://sluice:hunter2@db/sluice\" x\n",
        "[lake]\nurl = \"file:./lake\"\n[state]\nlease_secs = \"hunter2\"\n",
        "[lake]\nurl = \"s3://key:hunter2@bucket/lake\"\n",
        "[lake]\nurl = \"http://key:hunter2@bucket/lake\"\n",
        "[lake]\nurl = \"file:./lake\"\npassword = hunter2\n",
        "[lake]\nurl = \"s3://AKIA:abc/hunter2@bucket/lake\"\n",
        "[lake]\nurl = \"s3://AKIA:12/hunter2@bucket/lake\"\n",
        "[lake]\nurl = \"s3://AKIA:hunter2\"\n",
        "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"mysql://sluice:hunter2?x@db/sluice\"\n",
        "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"postgres://sluice:hunter2?x@127.0.0.1:1/sluice\"\n",
        "[lake]\nurl = \"file:./lake\"\n[networks]\ndir = \"s3://KEY:hunter2@bucket/networks\"\n",
        "[lake]\nurl = \"file:./lake\"\n[connectors]\nkeys = [\"hunter2\"]\n",
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
        ("\"env:AWIN_TOKEN\"", "\"command:curl -u me:hunter2 https://vault\""),
        ("\"env:AWIN_TOKEN\"", "\"command:PASSWORD=hunter2 curl\""),
        ("\"base_url\": null", "\"base_url\": \"https://me:hunter2@/x\""),
        ("\"base_url\": null", "\"base_url\": \"https://me:hunter2@api.awin.com/x\""),
    ] {
        let output = network_with(from, to);
        assert!(!output.starts_with("exit 0"), "{from} {to}: {output}");
        assert!(!output.contains("hunter2"), "{from} {to}: {output}");
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
