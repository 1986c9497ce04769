//! A lake whose disk is full, one that can only be read, and a state store whose disk is full: a clear error and an alarm, nothing
//! is lost, and the service continues by itself once that is mended. The disk is one of the test's own, in a mount namespace.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use chrono::{TimeDelta, Utc};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, Service, check_exact, check_runs_once, runtime};
use tokio::runtime::Runtime;

const NETWORK: &str = "awin";
/// Alarms as soon as a fault is found; the disk fills to its last byte.
const PROMPT: &str = "[schedule]\nretry_secs = 1\n[limits]\nmin_free_mb = 0\n[alarms]\nevery = \"1s\"\n";
const OF_LAKE: &str = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n[alarms.rules.lake]\n\
                       after = \"0s\"\n[alarms.rules.disk]\nmin_free_mb = 4\n";
const OF_STATE: &str = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state/state.db\"\n[alarms.rules.state]\n\
                        after = \"0s\"\n";

/// The mount namespace of a process, held open beyond that process's end, and what is run in it.
struct Disk {
    namespace: File,
    folder: PathBuf,
}

impl Disk {
    fn of(process: u32, folder: PathBuf) -> Self {
        let namespace = File::open(format!("/proc/{process}/ns/mnt")).unwrap();
        let ours = std::fs::metadata("/proc/self/ns/mnt").unwrap();
        assert_ne!(namespace.metadata().unwrap().ino(), ours.ino(), "the process stands in the namespace of the tests");
        Self { namespace, folder }
    }

    /// Runs a script in it, `$1` being the folder of the disk.
    fn run(&self, script: &str) -> bool {
        let mount = format!("--mount=/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd());
        let mut command = Command::new("nsenter");
        command.args([&mount, "sh", "-c", script, "sh"]).arg(&self.folder);
        command.stderr(Stdio::null()).status().unwrap().success()
    }

    /// Takes all space there is.
    fn fill(&self) {
        assert!(!self.run("dd if=/dev/zero of=$1/filler bs=4k count=16384"), "a disk of 64 MiB takes 64 MiB more");
    }

    fn free(&self) {
        assert!(self.run("rm $1/filler"));
    }

    /// What is on it leaves it for where the other commands see it.
    fn leave(self) {
        assert!(self.run("cp -a $1 $1.copy"));
        std::fs::remove_dir(&self.folder).unwrap();
        std::fs::rename(self.folder.with_extension("copy"), &self.folder).unwrap();
    }
}

/// A service that reads every second, with a disk of its own for a folder.
struct World {
    simulator: Simulator,
    operator: Operator,
    service: Service,
    disk: Disk,
    _runtime: Runtime,
}

impl World {
    /// None where no disk can be made.
    fn new(settings: &str, folder: &str) -> Option<Self> {
        if !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success()) {
            eprintln!("no mount namespace can be made here: a full disk isn't tried");
            return None;
        }
        let runtime = runtime();
        // The history begins with a day, and is read by three days whatever time it is.
        let start = Utc::now() - TimeDelta::hours(21);
        let options = Options { start, history_days: 1, rows_per_day: 4, ..Options::default() };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        let mut operator = Operator::of(&simulator, &[NETWORK]).unwrap();
        operator.write("sluice.toml", &format!("{PROMPT}{settings}")).unwrap();
        operator.read_every_second(&simulator, NETWORK).unwrap();
        std::fs::create_dir(operator.join(folder)).unwrap();
        let mount = format!("mount -t tmpfs -o size=64m tmpfs {folder} && exec \"$0\" \"$@\"");
        let command = operator.wrapped(&["unshare", "-m", "sh", "-c", &mount], &["serve"]);
        let mut service = Service::run(command).unwrap();
        service.wait_for(&[NETWORK, "new versions"]).unwrap();
        let disk = Disk::of(service.id(), operator.join(folder));
        Some(Self { simulator, operator, service, disk, _runtime: runtime })
    }

    /// Waits for a run of all accounts: those that failed are read again in runs of their own before.
    fn goes_on(&mut self) {
        self.service.wait_for(&["run begins", NETWORK, "accounts=0"]).unwrap();
        self.service.wait_for(&[NETWORK, "new versions"]).unwrap();
    }

    /// Waits until no alarm of the state store is open. It may have come and gone before there was room: with its last connection
    /// SQLite puts its log away, which frees some.
    fn state_answers(&mut self) {
        let is_of = |line: &&str, words: &str| line.contains("alarm: ") && line.contains(words);
        // A run a second.
        for _ in 0..60 {
            self.service.wait_for(&["run begins"]).unwrap();
            let log = self.service.log();
            let count = |words: &str| log.lines().filter(|line| is_of(line, words)).count();
            if count("the state store fails") == count("the state store answers again") {
                return;
            }
        }
        panic!("the alarm doesn't end:\n{}", self.service.seen());
    }

    fn ends_exact(mut self) {
        assert_eq!(self.service.terminate().unwrap(), Some(0));
        self.disk.leave();
        check_exact(&self.operator, &self.simulator, &[NETWORK]).unwrap();
        check_runs_once(&self.operator).unwrap();
    }
}

#[test]
fn a_full_disk_and_a_read_only_one_are_alarms_and_lose_nothing() {
    let Some(mut world) = World::new(OF_LAKE, "lake") else { return };
    world.disk.fill();
    world.simulator.advance(TimeDelta::hours(20));
    world.service.wait_for(&["No space left on device"]).unwrap();
    world.service.wait_for(&["alarm: ", "the disk of", "open"]).unwrap();
    world.disk.free();
    world.service.wait_for(&["alarm: ", "the disk of", "resolved"]).unwrap();
    world.goes_on();
    assert!(world.disk.run("mount -o remount,ro $1"));
    world.service.wait_for(&["alarm: ", "the lake", "open"]).unwrap();
    assert!(world.disk.run("mount -o remount,rw $1"));
    world.service.wait_for(&["alarm: ", "the lake", "resolved"]).unwrap();
    world.goes_on();
    world.ends_exact();
}

#[test]
fn a_state_store_on_a_full_disk_is_an_alarm_and_loses_nothing() {
    let Some(mut world) = World::new(OF_STATE, "state") else { return };
    // Twice: nothing that failed the first time may stand in the way.
    for hours in [9, 11] {
        world.disk.fill();
        world.simulator.advance(TimeDelta::hours(hours));
        let reported = [
            ("database or disk is full", ""),
            ("the disk of the state store is full", "free space there"),
            ("alarm: ", "the state store fails"),
        ];
        let reported = reported.map(|(text, more)| (text.to_owned(), more.to_owned()));
        world.service.wait_for_all(&reported).unwrap();
        assert!(world.service.is_alive());
        world.disk.free();
        world.goes_on();
        world.state_answers();
    }
    world.ends_exact();
}
