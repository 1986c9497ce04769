//! The image starts: what the Dockerfile's last stage says, over the files of the Debian packages that its base image has,
//! started by runc as Kubernetes starts it.
//!
//! The base image can't be pulled where tests run. It is made of these packages of the release that the tests run on, and of nothing
//! else.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpListener;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_tests::{http, repository, sluice_binary};

/// What `gcr.io/distroless/cc-debian12` is made of, without what only tools read.
const PACKAGES: [&str; 6] = ["base-files", "ca-certificates", "libc6", "libgcc-s1", "netbase", "tzdata"];
/// Folders of a merged `/usr`.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];
const PATIENCE: Duration = Duration::from_secs(60);

/// What the last stage of the Dockerfile says.
struct Image {
    user: u32,
    folder: String,
    environment: Vec<String>,
    entry: Vec<String>,
    command: Vec<String>,
}

impl Image {
    fn read() -> Self {
        let text = std::fs::read_to_string(repository().join("host/cli/packages/container/Dockerfile")).unwrap();
        let last = text.rsplit("\nFROM ").next().unwrap();
        let after = |name: &str| {
            let line = last.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name}in:\n{last}")).trim().to_owned()
        };
        let list = |name: &str| serde_json::from_str::<Vec<String>>(&after(name)).unwrap();
        assert!(after("COPY --from=build /target/release/sluice ").ends_with("/usr/bin/sluice"), "{last}");
        assert!(after("COPY --from=build --chown=65532:65532 ").ends_with(" /data"), "{last}");
        Self {
            user: after("USER ").split(':').next().unwrap().parse().unwrap(),
            folder: after("WORKDIR "),
            environment: after("ENV ").split(' ').map(str::to_owned).collect(),
            entry: list("ENTRYPOINT "),
            command: list("CMD "),
        }
    }
}

/// A bundle that runc starts.
struct Bundle {
    folder: tempfile::TempDir,
    image: Image,
}

impl Bundle {
    fn new(listen: &str) -> Self {
        let (folder, image) = (tempfile::tempdir().unwrap(), Image::read());
        let root = folder.path().join("rootfs");
        for name in MERGED {
            std::fs::create_dir_all(root.join("usr").join(name)).unwrap();
            symlink(format!("usr/{name}"), root.join(name)).unwrap();
        }
        PACKAGES.iter().for_each(|package| copy_package(package, &root));
        // The package makes it when it is installed.
        copy(Path::new("/etc/ssl/certs/ca-certificates.crt"), &root);
        for name in ["proc", "dev", "tmp", "data", "etc/sluice"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        // Half a gigabyte in a debug build: it is linked where that is possible.
        let binary = root.join("usr/bin/sluice");
        std::fs::hard_link(sluice_binary(), &binary)
            .or_else(|_| std::fs::copy(sluice_binary(), &binary).map(drop))
            .unwrap();
        let settings = folder.path().join("settings");
        std::fs::create_dir_all(&settings).unwrap();
        let text = format!(
            "[lake]\nurl = \"file:/data/lake\"\n[state]\nurl = \"sqlite:/data/state.db\"\n\
             [connectors]\ndir = \"/data/connectors.d\"\n[networks]\ndir = \"/data/networks\"\n\
             [server]\nlisten = \"{listen}\"\n"
        );
        std::fs::write(settings.join("sluice.toml"), text).unwrap();
        let data = folder.path().join("data");
        for folder in [data.clone(), data.join("cache"), data.join("connectors.d"), data.join("networks")] {
            std::fs::create_dir_all(&folder).unwrap();
            chown(&folder, Some(image.user), Some(image.user)).unwrap();
        }
        Self { folder, image }
    }

    /// The command that starts it with these arguments; with the image's own without any.
    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let Image { user, folder, environment, entry, command } = &self.image;
        let arguments: Vec<String> = match arguments {
            [] => command.clone(),
            _ => arguments.iter().map(|&argument| argument.to_owned()).collect(),
        };
        let line = [entry.clone(), arguments].concat();
        let mount = |to: &str, kind: &str, from: &str, options: &[&str]| json!({"destination": to, "type": kind, "source": from, "options": options});
        let own = |name: &str| self.folder.path().join(name).display().to_string();
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": user, "gid": user}, "cwd": folder, "env": environment, "args": line,
                "noNewPrivileges": true,
                "capabilities": {"bounding": [], "effective": [], "inheritable": [], "permitted": [], "ambient": []},
            },
            "root": {"path": "rootfs", "readonly": true},
            "mounts": [
                mount("/proc", "proc", "proc", &[]),
                mount("/dev", "tmpfs", "tmpfs", &["nosuid", "mode=755"]),
                mount("/tmp", "tmpfs", "tmpfs", &["nosuid", "nodev", "mode=1777"]),
                mount("/data", "bind", &own("data"), &["bind", "rw"]),
                mount("/etc/sluice", "bind", &own("settings"), &["bind", "ro"]),
            ],
            // The network is the machine's, so that the test reaches what listens on it.
            "linux": {"namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]},
        });
        std::fs::write(self.folder.path().join("config.json"), config.to_string()).unwrap();
        let mut command = Command::new("runc");
        command.args(["--root", &own("state"), "run", "--bundle"]).arg(self.folder.path()).arg(name);
        command
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Output {
        self.command(name, arguments).output().unwrap()
    }

    fn runc(&self, arguments: &[&str]) -> Output {
        Command::new("runc").arg("--root").arg(self.folder.path().join("state")).args(arguments).output().unwrap()
    }
}

/// Copies what a package installed, as far as a program may need it.
fn copy_package(package: &str, root: &Path) {
    let listed = Command::new("dpkg").args(["-L", package]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(!listed.is_empty(), "Debian's package {package} isn't installed");
    for path in listed.lines().map(Path::new) {
        let is_read = !["/usr/share/doc", "/usr/share/man", "/usr/share/locale"].iter().any(|of| path.starts_with(of));
        let is_merged = MERGED.iter().any(|name| path == Path::new("/").join(name));
        if is_read && !is_merged && std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir()) {
            copy(path, root);
        }
    }
}

/// Copies a file, or a link as it is, to its place below a root.
fn copy(path: &Path, root: &Path) {
    let folder = path.parent().unwrap().canonicalize().unwrap();
    let folder = root.join(folder.strip_prefix("/").unwrap());
    std::fs::create_dir_all(&folder).unwrap();
    let target: PathBuf = folder.join(path.file_name().unwrap());
    match std::fs::read_link(path) {
        Ok(link) => symlink(link, target).unwrap(),
        Err(_) => _ = std::fs::copy(path, target).unwrap(),
    }
}

/// Why no container can be started here; none if one can.
fn missing() -> Option<String> {
    for tool in ["runc", "dpkg"] {
        if Command::new(tool).arg("--version").output().is_err() {
            return Some(format!("there is no {tool}"));
        }
    }
    let unshared = Command::new("unshare").args(["--mount", "--pid", "--fork", "true"]).output();
    match unshared {
        Ok(done) if done.status.success() => None,
        refused => Some(format!("the kernel makes no namespaces for this user: {refused:?}")),
    }
}

#[test]
fn the_image_starts_as_nobody_on_a_root_that_nobody_can_write() {
    if let Some(reason) = missing() {
        return eprintln!("the image isn't started: {reason}");
    }
    // Free a moment ago: nobody else takes ports in the order in which they were given.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let bundle = Bundle::new(&address);
    let version = bundle.run("sluice-version", &["--version"]);
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("sluice "), "{version:?}");
    let checked = bundle.run("sluice-check", &["check"]);
    assert!(checked.status.success(), "{checked:?}");
    assert!(String::from_utf8_lossy(&checked.stdout).contains("lake: ok"), "{checked:?}");
    let mut serving = bundle.command("sluice-serve", &[]).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let health = loop {
        match http(&address, "GET", "/healthz", None, None) {
            Ok(answer) => break answer,
            Err(error) => assert!(Instant::now() < deadline, "it doesn't answer: {error}"),
        }
        #[expect(clippy::disallowed_methods, reason = "another process's port is only seen by asking")]
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(health.status, 200, "{health:?}");
    let state: Value = serde_json::from_slice(&bundle.runc(&["state", "sluice-serve"]).stdout).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", state["pid"])).unwrap();
    let of = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert!(of("Uid:").split_whitespace().all(|id| id == bundle.image.user.to_string()), "{status}");
    assert_eq!((of("CapEff:"), of("NoNewPrivs:")), ("0".repeat(16), "1".to_owned()), "{status}");
    let killed = bundle.runc(&["kill", "sluice-serve", "TERM"]);
    assert!(killed.status.success(), "{killed:?}");
    assert_eq!(serving.wait().unwrap().code(), Some(0), "it ends as it is asked to");
}
