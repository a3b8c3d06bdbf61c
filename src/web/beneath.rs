//! Opening what is beneath a folder, and nothing else, while others change what is in it.
//!
//! A path that is checked first and opened afterwards may lead elsewhere by then. So a path is
//! opened name by name: each name is opened in the folder that is open already and never followed
//! where it is a symbolic link. The target of a link is opened in the same way, `..` in it is the
//! folder that was opened before, and above the root there is none. (Linux has `openat2` with
//! `RESOLVE_BENEATH` for this, which many kernels and sandboxes lack, and which cannot tell whether
//! a link has led to a hidden name.)

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use rustix::fs::{Dir, FileType, Mode, OFlags, fstat, openat, readlinkat};

/// How many symbolic links one path may lead over, as in the kernel.
const MOST_LINKS: usize = 40;

/// Opens without waiting, not even for the other end of a pipe.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Opens without access to the content.
const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// What symbolic links may lead to.
#[derive(Clone, Copy)]
pub enum Links {
    /// Whatever is beneath the root and has only public names on its way.
    Within { is_public: fn(&str) -> bool },
    /// Anything.
    Followed,
}

/// What is at a path. Only regular files and folders can be found: devices and pipes could keep a
/// reader waiting for ever.
pub enum Found {
    File(File),
    Folder(Folder),
}

/// A folder, opened without access to its list of names.
pub struct Folder(OwnedFd);

impl Folder {
    /// The names in it that are UTF-8, without `.` and `..`. Blocks.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        let list = openat(&self.0, ".", READ | OFlags::DIRECTORY, Mode::empty())?;
        for entry in Dir::new(list)? {
            let entry = entry?;
            match entry.file_name().to_str() {
                Ok(name) if !matches!(name, "." | "..") => names.push(name.to_owned()),
                _ => {}
            }
        }
        Ok(names)
    }
}

/// Opens what is at a relative path beneath `root`. Blocks.
///
/// # Errors
///
/// Whatever the system says, and [`io::ErrorKind::NotFound`] where the path leads to what may not
/// be reached, or is neither a file nor a folder.
pub fn open(root: &Path, relative: &Path, links: Links) -> io::Result<Found> {
    match links {
        Links::Followed => {
            let path = root.join(relative);
            let entry = rustix::fs::open(&path, LOOK, Mode::empty())?;
            match kind(&entry)? {
                FileType::Directory => Ok(Found::Folder(Folder(entry))),
                FileType::RegularFile => file(rustix::fs::open(&path, READ, Mode::empty())?),
                _ => Err(nothing()),
            }
        }
        Links::Within { is_public } => Walk::begin(root, is_public)?.to(relative),
    }
}

fn kind(opened: &OwnedFd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(fstat(opened)?.st_mode))
}

/// What was opened for reading, unless something else had taken the file's place.
fn file(opened: OwnedFd) -> io::Result<Found> {
    match kind(&opened)? {
        FileType::RegularFile => Ok(Found::File(File::from(opened))),
        _ => Err(nothing()),
    }
}

fn nothing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

/// A way down from a root.
struct Walk<'a> {
    root: &'a Path,
    is_public: fn(&str) -> bool,
    /// The root and the folders below it that the way has led through.
    folders: Vec<OwnedFd>,
    /// The names that are still to be opened, the next one last.
    ahead: Vec<OsString>,
    links: usize,
}

impl Walk<'_> {
    fn begin(root: &Path, is_public: fn(&str) -> bool) -> io::Result<Walk<'_>> {
        // Each time anew: the root may be a link that is turned to the next release.
        let top = rustix::fs::open(root, LOOK | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Walk {
            root,
            is_public,
            folders: vec![top],
            ahead: Vec::new(),
            links: 0,
        })
    }

    fn to(mut self, path: &Path) -> io::Result<Found> {
        self.add(path)?;
        while let Some(name) = self.ahead.pop() {
            if name == ".." {
                self.folders.pop();
                continue;
            }
            if !name.to_str().is_some_and(self.is_public) {
                return Err(nothing());
            }
            let folder = self.folders.last().ok_or_else(nothing)?;
            let entry = openat(folder, &name, LOOK | OFlags::NOFOLLOW, Mode::empty())?;
            match kind(&entry)? {
                FileType::Directory => self.folders.push(entry),
                FileType::Symlink => {
                    let target = readlinkat(&entry, "", Vec::new())?;
                    self.follow(OsStr::from_bytes(target.as_bytes()))?;
                }
                FileType::RegularFile if self.ahead.is_empty() => {
                    return file(openat(
                        folder,
                        &name,
                        READ | OFlags::NOFOLLOW,
                        Mode::empty(),
                    )?);
                }
                _ => return Err(nothing()),
            }
        }
        let folder = self.folders.pop().ok_or_else(nothing)?;
        Ok(Found::Folder(Folder(folder)))
    }

    /// Puts the target of a symbolic link before the names that are left.
    fn follow(&mut self, target: &OsStr) -> io::Result<()> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(nothing());
        }
        let target = Path::new(target);
        if !target.has_root() {
            return self.add(target);
        }
        // An absolute path into the root means the same as the relative one.
        let root = fs::canonicalize(self.root)?;
        let within = target.strip_prefix(root).map_err(|_| nothing())?;
        self.folders.truncate(1);
        self.add(within)
    }

    fn add(&mut self, path: &Path) -> io::Result<()> {
        for part in path.components().rev() {
            match part {
                Component::Normal(name) => self.ahead.push(name.to_owned()),
                Component::ParentDir => self.ahead.push("..".into()),
                Component::CurDir => {}
                Component::RootDir | Component::Prefix(_) => return Err(nothing()),
            }
        }
        Ok(())
    }
}
