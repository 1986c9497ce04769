//! Reads files that an operator names, whatever is there: a FIFO isn't waited for, and a device isn't read for ever.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read};
use std::path::Path;

use crate::failure::Failure;

/// The largest file of settings.
pub const MAX_SETTINGS_BYTES: u64 = 16 << 20;

/// Opens a regular file.
///
/// # Errors
/// The system's; of the kind `InvalidInput` if it is something else.
pub fn open(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.read(true);
    // Without it, opening a FIFO waits for its writer.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok(file)
}

/// A regular file's bytes, at most `limit`.
///
/// # Errors
/// As [`open`]; of the kind `FileTooLarge` for a larger file.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// A file of settings, as text.
///
/// # Errors
/// As [`read`]; of the kind `InvalidData` if it is no UTF-8.
pub fn read_settings(path: &Path) -> Result<String, Error> {
    let bytes = read(path, MAX_SETTINGS_BYTES)?;
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "it is no UTF-8 text"))
}

/// A component that an operator names.
///
/// # Errors
/// A failure that names the file.
pub fn read_component(path: &Path) -> Result<Vec<u8>, Failure> {
    read(path, sluice_engine::Limits::default().component_bytes).map_err(|error| {
        Failure::failed(anyhow::anyhow!("cannot read {}: {error}", path.display())).hint("name a .wasm file")
    })
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_no_file_is_refused_at_once_and_what_is_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for path in [&fifo, Path::new("/dev/zero"), folder.path()] {
            assert_eq!(read_settings(path).unwrap_err().kind(), ErrorKind::InvalidInput, "{}", path.display());
        }
        let large = folder.path().join("large");
        std::fs::write(&large, "12345").unwrap();
        assert_eq!(read(&large, 5).unwrap(), b"12345");
        assert_eq!(read(&large, 4).unwrap_err().to_string(), "it is larger than 4 bytes");
    }
}
