//! Files with secrets: who else may read or write them.
//!
//! Whoever may write the accounts can log in as anybody, and whoever may write the key can be the server; so such a file is not
//! used. One that everybody may read is worth a word. A group that may read it, as `ssl-cert` does keys, was given that on purpose.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// What the permissions of a file come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// It is its owner's alone, or its group may read it.
    Closed,
    /// Everybody may read it: a sentence about that.
    Readable(String),
    /// Somebody else may write it: a sentence about that.
    Writable(String),
}

/// Looks at a file that may be there or not. One that is not there, or is no file, is no secret.
pub fn exposure(path: &Path) -> Exposure {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => judge(path, mode(&metadata)),
        Ok(_) | Err(_) => Exposure::Closed,
    }
}

/// Reads a file that only its owner may write.
///
/// # Errors
/// What the system says, or the sentence about whoever may write it ([`io::ErrorKind::PermissionDenied`]).
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    // What was opened is looked at: another may stand at the path by now.
    let metadata = file.metadata()?;
    if metadata.is_file()
        && let Exposure::Writable(sentence) = judge(path, mode(&metadata))
    {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, sentence));
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o777
}

/// Other systems say it otherwise.
#[cfg(not(unix))]
fn mode(_: &std::fs::Metadata) -> u32 {
    0
}

fn judge(path: &Path, mode: u32) -> Exposure {
    let path = path.display();
    let who = match (mode & 0o020 != 0, mode & 0o002 != 0) {
        (_, true) => "everybody",
        (true, false) => "its group",
        (false, false) if mode & 0o004 != 0 => {
            let sentence = format!(
                "{path} has mode {mode:04o}: everybody on this machine may read it (chmod 600 {path})"
            );
            return Exposure::Readable(sentence);
        }
        (false, false) => return Exposure::Closed,
    };
    Exposure::Writable(format!(
        "{path} has mode {mode:04o}: {who} may write it, so it is not used (chmod 600 {path})"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_judged_by_what_others_may_do() {
        let path = Path::new("users");
        for mode in [0o600, 0o400, 0o640, 0o440, 0o750] {
            assert_eq!(judge(path, mode), Exposure::Closed, "{mode:o}");
        }
        for mode in [0o644, 0o604, 0o444] {
            assert!(
                matches!(judge(path, mode), Exposure::Readable(_)),
                "{mode:o}"
            );
        }
        for mode in [0o660, 0o620, 0o602, 0o606, 0o666, 0o777] {
            assert!(
                matches!(judge(path, mode), Exposure::Writable(_)),
                "{mode:o}"
            );
        }
        let Exposure::Writable(sentence) = judge(path, 0o664) else {
            panic!("its group may write it")
        };
        assert_eq!(
            sentence,
            "users has mode 0664: its group may write it, so it is not used (chmod 600 users)"
        );
    }

    #[test]
    fn a_file_that_others_may_write_is_not_read() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users");
        std::fs::write(&path, "secret").expect("a file");
        for (mode, readable) in [(0o600, true), (0o644, true), (0o666, false), (0o620, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
            let read = read(&path);
            assert_eq!(read.is_ok(), readable, "{mode:o}: {read:?}");
        }
        // What is no file has no content to protect.
        assert_eq!(exposure(folder.path()), Exposure::Closed);
        assert_eq!(exposure(&folder.path().join("none")), Exposure::Closed);
    }
}
