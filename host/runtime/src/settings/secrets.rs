//! Where secrets come from: the environment, files and programs.
//!
//! A reference is `env:NAME`, `file:PATH` or `command:PROGRAM ARGUMENTS`. It is read when a run begins, and again when
//! a network refuses what it gave, so a changed secret needs no restart. Nothing here prints a value.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sluice_model::Secret;
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

/// The largest secret that is read.
const MAX_BYTES: u64 = 64 << 10;
/// How long a program may take by default.
const PATIENCE: Duration = Duration::from_secs(20);

/// What references may name.
#[derive(Clone, Debug)]
pub struct SecretSources {
    /// Where relative paths begin: the settings' folder.
    pub base: PathBuf,
    /// Programs that `command:` may run, as `secrets.commands` of the settings names them.
    pub commands: Vec<String>,
    /// How long a program may take.
    pub patience: Duration,
}

impl Default for SecretSources {
    fn default() -> Self {
        Self { base: PathBuf::new(), commands: Vec::new(), patience: PATIENCE }
    }
}

/// Why there is no secret. It never holds one.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub hint: String,
}

fn unreadable(reason: impl Into<String>, hint: impl Into<String>) -> Unreadable {
    Unreadable { reason: reason.into(), hint: hint.into() }
}

impl SecretSources {
    /// Reads a reference. `slot` names the file in it if the reference is a folder.
    ///
    /// # Errors
    /// A reason and a hint.
    pub async fn read(&self, reference: &str, slot: &str) -> Result<Secret, Unreadable> {
        let value = match reference.split_once(':') {
            Some(("env", name)) => Zeroizing::new(std::env::var(name).map_err(|_| {
                let reason = format!("the environment has no variable `{name}` that is text");
                unreadable(reason, format!("export {name}=… before sluice starts"))
            })?),
            Some(("file", path)) => self.file(&self.base.join(path), slot).await?,
            Some(("command", line)) => self.command(line).await?,
            // The text may be the secret itself: it isn't repeated.
            _ => {
                let hint = "write env:NAME, file:PATH or command:PROGRAM ARGUMENTS, never the secret itself";
                return Err(unreadable("it is not a reference", hint));
            }
        };
        if value.trim().is_empty() {
            return Err(unreadable("it is empty", "set a value"));
        }
        Ok(Secret::new(value.as_str().to_owned()))
    }

    /// A file, or the file of the slot's name in a folder, as Kubernetes and Docker mount secrets.
    async fn file(&self, path: &Path, slot: &str) -> Result<Zeroizing<String>, Unreadable> {
        let mut path = path.to_owned();
        if tokio::fs::metadata(&path).await.is_ok_and(|found| found.is_dir()) {
            // The slot's name comes from a connector, which must not choose the path.
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if slot.is_empty() || slot.starts_with('.') || !slot.chars().all(plain) {
                let reason = format!("the slot's name can't be a file's in {}", path.display());
                return Err(unreadable(reason, "name the file itself: file:PATH"));
            }
            path.push(slot);
        }
        let shown = path.display();
        let failed = |error: std::io::Error| {
            unreadable(format!("cannot read the file {shown}: {error}"), format!("let sluice read {shown}"))
        };
        let opened = {
            let path = path.clone();
            let opening = tokio::task::spawn_blocking(move || super::file::open(&path)).await;
            opening.map_err(|error| failed(std::io::Error::other(error)))?
        };
        let file = opened.map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidInput => {
                unreadable(format!("{shown} is no file"), "name a file, or a folder that holds one per slot")
            }
            _ => failed(error),
        })?;
        text(tokio::fs::File::from_std(file)).await.map_err(|error| match error {
            ReadError::Io(error) => failed(error),
            ReadError::Bad(reason) => unreadable(format!("the file {shown} {reason}"), "put the secret alone into it"),
        })
    }

    /// What a program prints. There is no shell, but quotes and backslashes mean what they mean in one.
    async fn command(&self, line: &str) -> Result<Zeroizing<String>, Unreadable> {
        let words =
            shell_words::split(line).map_err(|_| unreadable("a quote of its command isn't closed", "close it"))?;
        let Some((program, arguments)) = words.split_first() else {
            return Err(unreadable("its command is empty", "write command:PROGRAM ARGUMENTS"));
        };
        if !self.commands.contains(program) {
            if program.contains('=') {
                return Err(unreadable(
                    "its command begins with a variable: there is no shell that would set it",
                    "begin it with a program; what sluice's own environment has, the program gets",
                ));
            }
            let mut all = self.commands.clone();
            all.push(program.clone());
            let list = all.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
            let reason = format!("sluice.toml doesn't allow the program `{program}`");
            return Err(unreadable(reason, format!("add to sluice.toml:\n[secrets]\ncommands = [{list}]")));
        }
        // Without its arguments, among which a password may be.
        let by_hand = "run its `command:` by hand as the service's user";
        let failed = |reason: String| unreadable(format!("`{program}` {reason}"), by_hand);
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // It may quote what it was given or what it found.
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(format!("doesn't start: {error}")))?;
        let output = child.stdout.take();
        let answer = async {
            let value = match output {
                Some(output) => text(output).await,
                None => Err(ReadError::Bad("prints nothing")),
            };
            (value, child.wait().await)
        };
        match tokio::time::timeout(self.patience, answer).await {
            Err(_) => Err(failed(format!("took longer than {:?}", self.patience))),
            Ok((Err(ReadError::Bad(reason)), _)) => Err(failed(format!("printed what {reason}"))),
            Ok((Err(ReadError::Io(error)), _) | (_, Err(error))) => Err(failed(format!("failed: {error}"))),
            Ok((Ok(_), Ok(status))) if !status.success() => Err(failed(format!("failed with {status}"))),
            Ok((Ok(value), Ok(_))) => Ok(value),
        }
    }
}

enum ReadError {
    Io(std::io::Error),
    Bad(&'static str),
}

/// The text that is read, without the line's end behind it.
async fn text(from: impl tokio::io::AsyncRead + Unpin) -> Result<Zeroizing<String>, ReadError> {
    // Reserved whole, so that no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize + 1));
    from.take(MAX_BYTES + 1).read_to_end(&mut bytes).await.map_err(ReadError::Io)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ReadError::Bad("is larger than 64 KiB"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| ReadError::Bad("is no UTF-8 text"))?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn sources(base: &Path, commands: &[&str]) -> SecretSources {
        let commands = commands.iter().map(|name| (*name).to_owned()).collect();
        SecretSources { base: base.to_owned(), commands, ..SecretSources::default() }
    }

    async fn read(sources: &SecretSources, reference: &str) -> Result<String, Unreadable> {
        sources.read(reference, "token").await.map(|secret| secret.expose().to_owned())
    }

    #[tokio::test]
    async fn a_secret_written_out_is_not_repeated() {
        let refused = read(&SecretSources::default(), "hunter2hunter2").await.unwrap_err();
        assert!(!format!("{refused:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_file_is_read_anew_each_time_and_may_be_relative() {
        let dir = tempfile::tempdir().unwrap();
        let sources = sources(dir.path(), &[]);
        std::fs::write(dir.path().join("key"), "first\n").unwrap();
        assert_eq!(read(&sources, "file:key").await.unwrap(), "first");
        std::fs::write(dir.path().join("key"), "second\r\n").unwrap();
        assert_eq!(read(&sources, &format!("file:{}/key", dir.path().display())).await.unwrap(), "second");
        std::fs::write(dir.path().join("key"), "\n").unwrap();
        assert_eq!(read(&sources, "file:key").await.unwrap_err().reason, "it is empty");
        std::fs::write(dir.path().join("key"), [0xff; 8]).unwrap();
        assert!(read(&sources, "file:key").await.unwrap_err().reason.ends_with("is no UTF-8 text"));
        std::fs::write(dir.path().join("key"), vec![b'a'; (64 << 10) + 1]).unwrap();
        assert!(read(&sources, "file:key").await.unwrap_err().reason.ends_with("is larger than 64 KiB"));
        assert!(read(&sources, "file:/dev/zero").await.unwrap_err().reason.ends_with("is no file"));
        assert!(read(&sources, "file:gone").await.unwrap_err().hint.starts_with("let sluice read"));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_folder_holds_one_file_per_slot_and_may_be_swapped_as_kubernetes_does() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for (version, value) in [("..2026_01", "old"), ("..2026_02", "new")] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("token"), value).unwrap();
        }
        symlink("..2026_01", at("..data")).unwrap();
        symlink("..data/token", at("token")).unwrap();
        let reference = format!("file:{}", dir.path().display());
        let sources = SecretSources::default();
        assert_eq!(read(&sources, &reference).await.unwrap(), "old");
        symlink("..2026_02", at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert_eq!(read(&sources, &reference).await.unwrap(), "new");
        for slot in ["../token", "..data", "", "a/b", ".", "tok\0en"] {
            let refused = sources.read(&reference, slot).await.unwrap_err();
            assert!(refused.reason.contains("can't be a file's"), "{slot}: {refused:?}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_program_prints_a_secret_without_a_shell() {
        let sources = sources(Path::new("."), &["printf", "sh", "yes", "nothere"]);
        assert_eq!(read(&sources, "command:printf '%s-%s\\n' 'a b' $HOME;").await.unwrap(), "a b-$HOME;");
        let loud = read(&sources, "command:sh -c \"echo s3cret; echo s3cret >&2; exit 3\"").await.unwrap_err();
        assert_eq!(loud.reason, "`sh` failed with exit status: 3");
        assert!(read(&sources, "command:yes").await.unwrap_err().reason.ends_with("is larger than 64 KiB"));
        assert!(read(&sources, "command:nothere").await.unwrap_err().reason.contains("doesn't start"));
        assert_eq!(read(&sources, "command:").await.unwrap_err().reason, "its command is empty");
        assert_eq!(
            read(&sources, "command:printf 'a").await.unwrap_err().reason,
            "a quote of its command isn't closed"
        );
    }

    #[tokio::test]
    async fn a_program_needs_the_word_of_the_settings() {
        let refused = read(&sources(Path::new("."), &["op"]), "command:vault kv get x").await.unwrap_err();
        assert_eq!(refused.reason, "sluice.toml doesn't allow the program `vault`");
        assert_eq!(refused.hint, "add to sluice.toml:\n[secrets]\ncommands = [\"op\", \"vault\"]");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_program_that_hangs_is_ended() {
        let mut sources = sources(Path::new("."), &["tail"]);
        sources.patience = Duration::from_millis(50);
        let refused = read(&sources, "command:tail -f /dev/null").await.unwrap_err();
        assert_eq!(refused.reason, "`tail` took longer than 50ms");
    }
}
