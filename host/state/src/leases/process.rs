//! Which process holds a lease, and whether it is still there.

/// A process among those of all hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessIdentity {
    /// The host as it calls itself, for people.
    pub host: String,
    /// Whose process ids these are: one boot of one machine, and there one namespace, since containers on a machine
    /// number their processes anew. Empty where it isn't known.
    pub machine: String,
    /// The process id.
    pub id: i64,
    /// When it started, in ticks since the boot: another process that gets the id later started later. 0 where it isn't
    /// known.
    pub start: i64,
}

impl ProcessIdentity {
    /// This process.
    pub(crate) fn current() -> Self {
        let id = i64::from(std::process::id());
        let stat = std::fs::read_to_string("/proc/self/stat").ok();
        let start = stat.as_deref().and_then(parse_stat).map_or(0, |(_, start)| start);
        Self { host: crate::host(), machine: machine().unwrap_or_default(), id, start }
    }

    /// Whether it is known that this process has ended, as far as `observer` can see: only one of the same machine can.
    pub(crate) fn has_ended(&self, observer: &Self) -> bool {
        if self.machine.is_empty() || self.machine != observer.machine || self.start == 0 {
            return false;
        }
        match std::fs::read_to_string(format!("/proc/{}/stat", self.id)).ok().as_deref().and_then(parse_stat) {
            // One that has ended and isn't waited for has kept its number.
            Some((state, start)) => start != self.start || matches!(state, 'Z' | 'X'),
            // /proc may hide what another user runs; signals tell.
            None => is_missing(self.id),
        }
    }
}

/// Whether there is no process with this id.
#[cfg(unix)]
fn is_missing(id: i64) -> bool {
    let id = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw);
    id.is_some_and(|id| rustix::process::test_kill_process(id) == Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
fn is_missing(_: i64) -> bool {
    false
}

/// The boot and the namespace of process ids, where the system has them.
fn machine() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// State and start of a process, from `/proc/<id>/stat` (proc_pid_stat(5): fields 3 and 22).
fn parse_stat(stat: &str) -> Option<(char, i64)> {
    // The second field is the program's name in parentheses, and may hold some itself.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_there_until_it_ends() {
        let observer = ProcessIdentity::current();
        assert!(!observer.has_ended(&observer));
        assert!(!observer.machine.is_empty() && observer.start > 0, "{observer:?}");
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let start = parse_stat(&stat).unwrap().1;
        let process = ProcessIdentity { id: child.id().into(), start, ..observer.clone() };
        assert!(!process.has_ended(&observer));
        assert!(ProcessIdentity { start: start - 1, ..process.clone() }.has_ended(&observer), "its number was reused");
        let elsewhere = ProcessIdentity { machine: "another".to_owned(), ..observer.clone() };
        let unknown = ProcessIdentity { machine: String::new(), ..process.clone() };
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(process.has_ended(&observer));
        assert!(!process.has_ended(&elsewhere), "another machine can't tell");
        assert!(!unknown.has_ended(&ProcessIdentity { machine: String::new(), ..observer }));
    }

    #[test]
    fn a_name_with_parentheses_is_no_field() {
        let fields: Vec<String> = (4..=30).map(|field| field.to_string()).collect();
        assert_eq!(parse_stat(&format!("17 (a) b) S {}", fields.join(" "))), Some(('S', 22)));
        assert_eq!(parse_stat("17"), None);
    }
}
