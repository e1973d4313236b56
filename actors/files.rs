//! Files that a node writes: replaced as a whole, for their owner alone, and never torn.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// How a file is written. A double of it stands for a disk that fails.
pub trait Disk: fmt::Debug + Send {
    /// Puts a new file in the place of the old one. After an error, and after a power cut at any time, the old one stands
    /// there whole.
    fn replace(&mut self, path: &Path, content: &[u8]) -> io::Result<()>;

    /// Writes behind what stands there. After an error a part of it may stand there.
    fn append(&mut self, path: &Path, content: &[u8]) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Debug, Default)]
pub struct LocalDisk {
    /// What was appended to last.
    open: Option<File>,
}

impl Disk for LocalDisk {
    fn replace(&mut self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.open = None;
        replace(path, content)
    }

    fn append(&mut self, path: &Path, content: &[u8]) -> io::Result<()> {
        if self.open.is_none() {
            self.open = Some(OpenOptions::new().append(true).open(path)?);
        }
        match &mut self.open {
            Some(file) => file.write_all(content),
            None => Ok(()),
        }
    }
}

/// Puts a new file in the place of the old one, with mode 0600 whatever the umask: written beside it, synced, renamed, and the
/// folder synced. What a failure leaves beside it is removed.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = beside(path, ".new");
    let written = write_new(&new, content).and_then(|()| fs::rename(&new, path));
    if let Err(error) = written {
        // It takes room on a disk that may be full. Not there, if it could not even be made.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    // The rename stands after a power cut only when the folder does, too. Not every file system can be asked.
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
    Ok(())
}

fn write_new(new: &Path, content: &[u8]) -> io::Result<()> {
    // One that was left by a crash may have another owner or mode, or be a link to elsewhere.
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(new)?;
    // A strict umask may have taken the owner's rights away.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()
}

/// Keeps a file that can't be read under the first free name of `….broken`, `….broken.2` and so on, which it gives.
pub fn keep_aside(path: &Path) -> io::Result<PathBuf> {
    let names = (1..1000).map(|number| match number {
        1 => beside(path, ".broken"),
        number => beside(path, &format!(".broken.{number}")),
    });
    for name in names {
        // A link does not replace what has the name, and a rename of the file would leave none in its place.
        match fs::hard_link(path, &name) {
            Ok(()) => return Ok(name),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_) if !name.exists() => {
                // Not every file system has links.
                fs::rename(path, &name)?;
                return Ok(name);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(
        "a thousand broken files are there already",
    ))
}

/// The same path with something behind it.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A disk that fails as a test wants it.
#[cfg(test)]
pub mod failing {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Holds one file, and fails while it is told to.
    #[derive(Clone, Debug, Default)]
    pub struct FailingDisk {
        /// Whether it fails now.
        pub fails: Arc<AtomicBool>,
        /// What stands in the file.
        pub content: Arc<Mutex<Vec<u8>>>,
    }

    impl FailingDisk {
        /// Makes it fail, or work again.
        pub fn fail(&self, fails: bool) {
            self.fails.store(fails, Ordering::Relaxed);
        }

        /// What stands in the file, as text.
        pub fn text(&self) -> String {
            let content = self.content.lock().expect("no panic");
            String::from_utf8_lossy(&content).into_owned()
        }
    }

    impl Disk for FailingDisk {
        fn replace(&mut self, _: &Path, content: &[u8]) -> io::Result<()> {
            if self.fails.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            *self.content.lock().expect("no panic") = content.to_vec();
            Ok(())
        }

        fn append(&mut self, _: &Path, content: &[u8]) -> io::Result<()> {
            let mut file = self.content.lock().expect("no panic");
            if self.fails.load(Ordering::Relaxed) {
                // A part fits.
                file.extend_from_slice(&content[..content.len() / 2]);
                return Err(io::ErrorKind::StorageFull.into());
            }
            file.extend_from_slice(content);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_for_its_owner_alone_whatever_was_left_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state");
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "theirs").expect("a file");
        std::os::unix::fs::symlink(&elsewhere, beside(&path, ".new")).expect("a link");
        for content in ["one", "two"] {
            replace(&path, content.as_bytes()).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("a file"), content);
        }
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&elsewhere).expect("a file"), "theirs");
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        // A folder can't be replaced by a file.
        let path = folder.path().join("state");
        fs::create_dir(&path).expect("a folder");
        assert!(replace(&path, b"new").is_err());
        let left: Vec<_> = fs::read_dir(folder.path()).expect("a folder").collect();
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn broken_files_are_kept_under_names_of_their_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state");
        for (content, kept) in [("one", "state.broken"), ("two", "state.broken.2")] {
            replace(&path, content.as_bytes()).expect("written");
            assert_eq!(keep_aside(&path).expect("kept"), folder.path().join(kept));
        }
        replace(&path, b"three").expect("written");
        for (name, content) in [
            ("state.broken", "one"),
            ("state.broken.2", "two"),
            ("state", "three"),
        ] {
            assert_eq!(
                fs::read_to_string(folder.path().join(name)).expect("a file"),
                content
            );
        }
    }
}
