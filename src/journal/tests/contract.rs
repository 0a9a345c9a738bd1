//! What every disk must do, asked of the real one and of the fake.

use std::io::ErrorKind;
use std::path::Path;

use tempfile::TempDir;

use crate::journal::{Disk, FakeDisk, LockError, RealDisk};

fn on_both(contract: fn(&dyn Disk, &Path)) {
    let folder = TempDir::new().unwrap();
    contract(&RealDisk, folder.path());
    contract(&FakeDisk::new(), Path::new("/"));
}

#[test]
fn files_are_written_once_and_grow_by_appending() {
    on_both(|disk, root| {
        let file = root.join("file");
        disk.write_new(&file, b"one").unwrap();
        assert_eq!(disk.write_new(&file, b"two").unwrap_err().kind(), ErrorKind::AlreadyExists);
        disk.append(&file, b" two").unwrap();
        disk.append(&root.join("other"), b"new").unwrap();
        disk.sync_file(&file).unwrap();
        assert_eq!(disk.read(&file).unwrap(), b"one two");
        assert_eq!(disk.list(root).unwrap(), ["file", "other"]);
    });
}

#[test]
fn what_is_missing_is_not_found() {
    on_both(|disk, root| {
        let file = root.join("file");
        assert_eq!(disk.read(&file).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(disk.list(&file).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(disk.remove(&file).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(disk.rename(&file, &root.join("x")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(disk.sync_file(&file).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(disk.sync_directory(&file).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(disk.write_new(&file.join("below"), b"x").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(disk.create_directory(&file.join("below")).unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_file_is_no_directory() {
    on_both(|disk, root| {
        let file = root.join("file");
        disk.write_new(&file, b"x").unwrap();
        assert_eq!(disk.list(&file).unwrap_err().kind(), ErrorKind::NotADirectory);
        assert_eq!(disk.create_directory(&file).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(disk.write_new(&file.join("below"), b"x").unwrap_err().kind(), ErrorKind::NotADirectory);
        assert_eq!(disk.read(root).unwrap_err().kind(), ErrorKind::IsADirectory);
    });
}

#[test]
fn renaming_replaces_files_and_moves_directories_whole() {
    on_both(|disk, root| {
        let (from, to) = (root.join("from"), root.join("to"));
        disk.write_new(&from, b"new").unwrap();
        disk.write_new(&to, b"old").unwrap();
        disk.rename(&from, &to).unwrap();
        assert_eq!(disk.read(&to).unwrap(), b"new");
        let (folder, moved) = (root.join("folder"), root.join("moved"));
        disk.create_directory(&folder).unwrap();
        disk.write_new(&folder.join("inside"), b"x").unwrap();
        disk.rename(&folder, &moved).unwrap();
        assert_eq!(disk.read(&moved.join("inside")).unwrap(), b"x");
        disk.create_directory(&folder).unwrap();
        assert_eq!(disk.rename(&folder, &moved).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
        disk.sync_directory(root).unwrap();
        assert_eq!(disk.list(root).unwrap(), ["folder", "moved", "to"]);
    });
}

#[test]
fn only_empty_directories_are_removed() {
    on_both(|disk, root| {
        let folder = root.join("folder");
        disk.create_directory(&folder).unwrap();
        disk.write_new(&folder.join("inside"), b"x").unwrap();
        assert_eq!(disk.remove(&folder).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
        disk.remove(&folder.join("inside")).unwrap();
        disk.remove(&folder).unwrap();
        assert!(disk.list(root).unwrap().is_empty());
    });
}

#[test]
fn a_lock_has_one_holder_and_is_free_when_dropped() {
    on_both(|disk, root| {
        let file = root.join("LOCK");
        let lock = disk.lock(&file, b"the first, with a long name").unwrap();
        let Err(LockError::Held(holder)) = disk.lock(&file, b"the second") else { panic!("two holders") };
        assert_eq!(holder, b"the first, with a long name");
        drop(lock);
        let lock = disk.lock(&file, b"the third").unwrap();
        let Err(LockError::Held(holder)) = disk.lock(&file, b"the fourth") else { panic!("two holders") };
        assert_eq!(holder, b"the third");
        lock.hand_on(b"a").unwrap();
        let Err(LockError::Held(holder)) = disk.lock(&file, b"the fourth") else { panic!("two holders") };
        assert_eq!(holder, b"a");
    });
}
