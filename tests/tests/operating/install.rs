//! The commands of the section Install: those that a test may run, and the files that the others name.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use sluice_tests::{connectors_dir, repository};

use crate::{blocks, console};

/// The lines of the unit's block, below a root of their own, without what asks systemd for anything.
fn below_root(block: &str) -> String {
    let commands = block.lines().flat_map(|line| line.split(" && ")).filter(|command| !command.contains("systemctl"));
    let commands = commands.filter(|command| *command != "systemd-sysusers");
    let rooted = commands.map(|command| {
        ["/usr/", "/etc/", "/var/"].iter().fold(command.to_owned(), |command, folder| {
            command.replace(&format!(" {folder}"), &format!(" root{folder}"))
        })
    });
    // The user is made by systemd-sysusers.
    rooted.collect::<Vec<_>>().join("\n").replace(" -o sluice -g sluice", "")
}

#[test]
fn the_service_of_systemd_is_installed() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    std::fs::create_dir_all(target.join("release")).unwrap();
    std::fs::write(target.join("release/sluice"), "the binary").unwrap();
    symlink(std::path::absolute(connectors_dir()).unwrap(), target.join("connectors")).unwrap();
    symlink(std::path::absolute(repository().join("host")).unwrap(), folder.path().join("host")).unwrap();
    let root = folder.path().join("root");
    // They are on every machine.
    for there in ["usr/bin", "etc/systemd/system", "var/lib"] {
        std::fs::create_dir_all(root.join(there)).unwrap();
    }
    let script = format!("set -euo pipefail\n{}", below_root(&console("install -m 755")));
    let ran = Command::new("bash").args(["-xc", &script]).current_dir(folder.path()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let installed = [
        ("usr/bin/sluice", 0o755),
        ("usr/lib/sysusers.d/sluice.conf", 0o644),
        ("etc/sluice/sluice.toml", 0o644),
        ("etc/sluice/secrets.env", 0o600),
        ("var/lib/sluice/connectors.d/awin.wasm", 0o644),
        ("etc/systemd/system/sluice.service", 0o644),
    ];
    for (path, mode) in installed {
        let metadata = std::fs::metadata(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{path}");
    }
    assert!(root.join("etc/sluice/networks").is_dir());
    // The unit names nothing but what was installed, and what systemd makes.
    let unit = std::fs::read_to_string(root.join("etc/systemd/system/sluice.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/sluice ") && unit.contains("/etc/sluice"), "{unit}");
}

#[test]
fn files_that_commands_name_are_there() {
    let mut named = 0;
    for block in blocks().iter().filter(|block| block.section == "Install" && block.language == "console") {
        for path in block.text.split_whitespace().filter(|word| word.starts_with("host/cli/packages/")) {
            // A folder ends with a slash.
            assert!(repository().join(path).exists(), "{path}");
            named += 1;
        }
    }
    assert!(named >= 9, "{named}");
}
