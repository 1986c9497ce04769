//! What is packaged starts what is built: the unit, the image, compose and Kubernetes files, completions and the manual.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use sluice_tests::{Operator, python_tool, repository, sluice_binary};

fn package(path: &str) -> PathBuf {
    repository().join("host/cli/packages").join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(package(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a YAML file, as a parser that isn't ours reads them.
fn yaml(path: &str) -> Vec<Value> {
    let script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
    let parsed = Command::new(python_tool("python"))
        .args(["-c", script])
        .stdin(Stdio::from(std::fs::File::open(package(path)).unwrap()))
        .output()
        .expect("Python is there: run `just tools`");
    assert!(parsed.status.success(), "{path}: {}", String::from_utf8_lossy(&parsed.stderr));
    serde_json::from_slice(&parsed.stdout).unwrap()
}

/// Fails if the binary doesn't know these arguments.
fn accepted(arguments: &[&str]) {
    let operator = Operator::empty().unwrap();
    let answer = operator.sluice(&[arguments, &["--help"]].concat()).unwrap();
    assert_eq!(answer.code, 0, "{arguments:?}: {answer:?}");
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}")).iter().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn systemd_accepts_the_unit_and_finds_it_confined() {
    let unit = text("systemd/sluice.service");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/sluice ")).unwrap();
    accepted(&start.split(' ').collect::<Vec<_>>());
    assert!(unit.contains("TimeoutStopSec=90"), "30 s for runs, and 30 s for jobs");
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("systemd-analyze isn't here: the unit isn't verified");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sluice.service");
    std::fs::write(&path, unit.replace("/usr/bin/sluice", &sluice_binary().display().to_string())).unwrap();
    let analyze = |arguments: &[&str]| Command::new("systemd-analyze").args(arguments).arg(&path).output().unwrap();
    let verified = analyze(&["verify", "--man=no"]);
    let messages = String::from_utf8_lossy(&verified.stderr).into_owned();
    let own: Vec<&str> = messages.lines().filter(|line| line.contains("sluice.service")).collect();
    assert!(verified.status.success() && own.is_empty(), "{messages}");
    let exposure = analyze(&["security", "--offline=true", "--threshold=20", "--no-pager"]);
    assert!(exposure.status.success(), "{}", String::from_utf8_lossy(&exposure.stdout));
}

#[test]
fn settings_of_each_package_are_settings() {
    let settings = yaml("kubernetes/settings.yaml");
    let of_kubernetes = settings[0]["data"]["sluice.toml"].as_str().unwrap().to_owned();
    for (name, toml) in [
        ("systemd", text("systemd/sluice.toml")),
        ("compose", text("container/sluice.toml")),
        ("kubernetes", of_kubernetes),
    ] {
        let mut operator = Operator::empty().unwrap();
        operator.write("sluice.toml", &toml).unwrap();
        // Nothing listens there: it is read to its end all the same.
        operator.set("PGHOST", "127.0.0.1");
        operator.set("SLUICE_STATE_KEY", &"0".repeat(64));
        let answer = operator.sluice(&["connectors", "inspect", "nothing"]).unwrap();
        assert!(!answer.stderr.contains("is wrong"), "{name}: {answer:?}");
    }
    let operator = Operator::empty().unwrap();
    operator.write("networks/awin.json", settings[1]["data"]["awin.json"].as_str().unwrap()).unwrap();
    operator.install("awin", "awin.wasm").unwrap();
    let checked = operator.sluice(&["check"]).unwrap();
    assert!(
        checked.stderr.contains("AWIN_TOKEN") || checked.stdout.contains("AWIN_TOKEN"),
        "only it is missing: {checked:?}"
    );
}

#[test]
fn compose_starts_what_the_image_holds() {
    let compose = &yaml("container/compose.yaml")[0];
    let services = compose["services"].as_object().unwrap();
    assert_eq!(
        services.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        BTreeSet::from(["bucket", "postgres", "s3", "sluice"])
    );
    let sluice = &services["sluice"];
    accepted(&strings(&sluice["command"]));
    assert_eq!((&sluice["read_only"], &sluice["cap_drop"][0]), (&true.into(), &"ALL".into()));
    let dockerfile = package("container").join(sluice["build"]["context"].as_str().unwrap());
    assert!(dockerfile.join(sluice["build"]["dockerfile"].as_str().unwrap()).is_file());
    let image = text("container/Dockerfile");
    let user = image.lines().rfind(|line| line.starts_with("USER ")).unwrap();
    assert_eq!(user, "USER 65532:65532", "not root");
    let list = |name: &str| {
        let line = image.lines().rfind(|line| line.starts_with(name)).unwrap();
        serde_json::from_str::<Value>(line.strip_prefix(name).unwrap().trim()).unwrap()
    };
    assert_eq!(list("ENTRYPOINT"), serde_json::json!(["/usr/bin/sluice"]));
    accepted(&strings(&list("CMD")));
}

/// The libraries of `gcr.io/distroless/cc-debian12`.
const LIBRARIES: [&str; 8] = [
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "linux-vdso.so.1",
];

#[cfg(target_os = "linux")]
#[test]
fn the_binary_runs_in_a_root_that_has_what_the_image_has() {
    let linked = Command::new("ldd").arg(sluice_binary()).output().unwrap();
    let linked = String::from_utf8(linked.stdout).unwrap();
    let root = tempfile::tempdir().unwrap();
    for line in linked.lines() {
        let library = line.split_whitespace().next().unwrap();
        let name = Path::new(library).file_name().unwrap().to_str().unwrap();
        assert!(LIBRARIES.contains(&name), "the image has no {name}:\n{linked}");
        let path = line.split_whitespace().find(|word| word.starts_with('/'));
        if let Some(path) = path {
            let target = root.path().join(path.trim_start_matches('/'));
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::copy(path, target).unwrap();
        }
    }
    let data = root.path().join("data");
    for folder in ["usr/bin", "data/connectors.d", "data/networks", "tmp", "proc"] {
        std::fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    std::fs::copy(sluice_binary(), root.path().join("usr/bin/sluice")).unwrap();
    std::fs::write(data.join("sluice.toml"), "[lake]\nurl = \"file:/data/lake\"\n").unwrap();
    for folder in [root.path(), &data, &root.path().join("tmp")] {
        std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new("chroot");
        command.arg("--userspec=65532:65532").arg(root.path()).arg("/usr/bin/sluice").args(arguments);
        command.env_clear().env("SLUICE_CONFIG", "/data/sluice.toml").env("XDG_CACHE_HOME", "/data/cache");
        command.output()
    };
    let version = match run(&["--version"]) {
        Ok(version) if !String::from_utf8_lossy(&version.stderr).contains("Operation not permitted") => version,
        refused => return eprintln!("chroot isn't allowed here: {refused:?}"),
    };
    assert!(version.status.success(), "{version:?}");
    let checked = run(&["sql", "SELECT count(*) AS n FROM meta.runs", "--format", "csv"]).unwrap();
    assert_eq!(String::from_utf8_lossy(&checked.stdout), "n\n0\n", "{checked:?}");
}

#[test]
fn pods_run_commands_that_there_are_and_not_as_root() {
    let mut commands = BTreeSet::new();
    for file in ["kubernetes/serve.yaml", "kubernetes/due.yaml", "kubernetes/token.yaml"] {
        for document in yaml(file) {
            let spec = &document["spec"];
            let pod = match document["kind"].as_str().unwrap() {
                "Deployment" | "Job" => &spec["template"]["spec"],
                "CronJob" => &spec["jobTemplate"]["spec"]["template"]["spec"],
                _ => continue,
            };
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{file}");
            let container = &pod["containers"][0];
            let arguments = strings(&container["args"]);
            accepted(&arguments);
            commands.insert(arguments.join(" "));
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{file}");
            let volumes: BTreeSet<&str> =
                pod["volumes"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap()).collect();
            let mounts =
                container["volumeMounts"].as_array().unwrap().iter().map(|mount| mount["name"].as_str().unwrap());
            assert_eq!(mounts.collect::<BTreeSet<_>>(), volumes, "{file}");
        }
    }
    let expected = ["maintain", "run --due", "serve", "tokens create ops --role admin"];
    assert_eq!(commands.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn what_others_reach_has_a_token_before_it_serves() {
    let manual = std::fs::read_to_string(repository().join("docs/operating.md")).unwrap();
    let of = |start: &str| manual.lines().position(|line| line.contains(start)).unwrap_or_else(|| panic!("no {start}"));
    let made_by = "run --rm sluice ";
    let made = manual.lines().find_map(|line| line.split_once(made_by)).expect("compose makes a token").1;
    assert!(made.starts_with("tokens create "), "{made}");
    accepted(&made.split(' ').collect::<Vec<_>>());
    assert!(of(made_by) < of("up --wait"));
    assert!(of("-f host/cli/packages/kubernetes/token.yaml") < of("-f host/cli/packages/kubernetes/serve.yaml"));
}

#[test]
fn shells_complete_and_the_manual_has_every_command() {
    let operator = Operator::empty().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = operator.succeed(&["completions", shell]).unwrap();
        assert!(script.contains("backfill"), "{shell}: {script}");
    }
    let script = operator.succeed(&["completions", "bash"]).unwrap();
    let completed = Command::new("bash")
        .args([
            "-c",
            &format!(
                "{script}\nCOMP_WORDS=(sluice back); COMP_CWORD=1; _sluice sluice back sluice; echo ${{COMPREPLY[@]}}"
            ),
        ])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "backfill", "{completed:?}");
    let page = operator.succeed(&["man"]).unwrap();
    assert!(page.contains(".TH sluice 1") && page.contains("backfill"), "{page}");
    operator.succeed(&["man", "--dir", "man1"]).unwrap();
    let pages: Vec<String> = std::fs::read_dir(operator.join("man1"))
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    for page in ["sluice.1", "sluice-run.1", "sluice-connectors-approve.1"] {
        assert!(pages.iter().any(|found| found == page), "{page} isn't in {pages:?}");
    }
}
