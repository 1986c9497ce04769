//! A lake whose disk is full, and one that can only be read: a clear error and an alarm, nothing is lost, and the service continues
//! by itself once that is mended. The disk is one of the test's own, in a mount namespace.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use chrono::{TimeDelta, Utc};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, Service, broken_claims, lake_sums, runtime, true_sums};

const NETWORK: &str = "awin";
/// Alarms as soon as a fault is found; the disk fills to its last byte.
const SETTINGS: &str = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n[schedule]\nretry_secs = 1\n\
                        [limits]\nmin_free_mb = 0\n[alarms]\nevery = \"1s\"\n[alarms.rules.lake]\nafter = \"0s\"\n\
                        [alarms.rules.disk]\nmin_free_mb = 4\n";

/// The mount namespace of a process, held open beyond that process's end, and what is run in it.
struct Disk {
    namespace: File,
    folder: String,
}

impl Disk {
    fn of(process: u32, operator: &Operator) -> Self {
        let namespace = File::open(format!("/proc/{process}/ns/mnt")).unwrap();
        let ours = std::fs::metadata("/proc/self/ns/mnt").unwrap();
        assert_ne!(namespace.metadata().unwrap().ino(), ours.ino(), "the process stands in the namespace of the tests");
        Self { namespace, folder: operator.join("lake").display().to_string() }
    }

    /// Runs a script in it, `$1` being the lake's folder.
    fn run(&self, script: &str) -> bool {
        let mount = format!("--mount=/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd());
        let mut command = Command::new("nsenter");
        command.args([&mount, "sh", "-c", script, "sh", &self.folder]);
        command.stderr(Stdio::null()).status().unwrap().success()
    }
}

#[test]
fn a_full_disk_and_a_read_only_one_are_alarms_and_lose_nothing() {
    if !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("no mount namespace can be made here: a full disk isn't tried");
        return;
    }
    let runtime = runtime();
    // The history begins with a day, and is read by three days whatever time it is.
    let start = Utc::now() - TimeDelta::hours(21);
    let options = Options { start, history_days: 1, rows_per_day: 4, ..Options::default() };
    let simulator = runtime.block_on(Simulator::start(options)).unwrap();
    let mut operator = Operator::of(&simulator, &[NETWORK]).unwrap();
    operator.write("sluice.toml", SETTINGS).unwrap();
    operator.read_every_second(&simulator, NETWORK).unwrap();
    std::fs::create_dir(operator.join("lake")).unwrap();
    let mount = "mount -t tmpfs -o size=64m tmpfs lake && exec \"$0\" \"$@\"";
    let mut service = Service::run(operator.wrapped(&["unshare", "-m", "sh", "-c", mount], &["serve"])).unwrap();
    service.wait_for(&[NETWORK, "new versions"]).unwrap();
    let disk = Disk::of(service.id(), &operator);
    // A run of all accounts: those that failed are read again in runs of their own before.
    let goes_on = |service: &mut Service| {
        service.wait_for(&["run begins", NETWORK, "accounts=0"]).unwrap();
        service.wait_for(&[NETWORK, "new versions"]).unwrap();
    };
    assert!(
        !disk.run("dd if=/dev/zero of=$1/filler bs=64k count=1024"),
        "a disk of 64 MiB takes 64 MiB beside the lake"
    );
    simulator.advance(TimeDelta::hours(20));
    service.wait_for(&["No space left on device"]).unwrap();
    service.wait_for(&["alarm: ", "the disk of", "open"]).unwrap();
    assert!(disk.run("rm $1/filler"));
    service.wait_for(&["alarm: ", "the disk of", "resolved"]).unwrap();
    goes_on(&mut service);
    assert!(disk.run("mount -o remount,ro $1"));
    service.wait_for(&["alarm: ", "the lake", "open"]).unwrap();
    assert!(disk.run("mount -o remount,rw $1"));
    service.wait_for(&["alarm: ", "the lake", "resolved"]).unwrap();
    goes_on(&mut service);
    assert_eq!(service.terminate().unwrap(), Some(0));
    // The lake leaves its disk for where the other commands see it.
    assert!(disk.run("cp -a $1 $1.copy"));
    std::fs::remove_dir(operator.join("lake")).unwrap();
    std::fs::rename(operator.join("lake.copy"), operator.join("lake")).unwrap();
    let broken = broken_claims(&operator).unwrap();
    assert!(broken.is_empty(), "{broken:#?}");
    assert_eq!(lake_sums(&operator, NETWORK).unwrap(), true_sums(&simulator, NETWORK));
}
