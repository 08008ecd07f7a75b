//! A small disk in memory, in a mount namespace of its own: whoever may make one needs no other right, the
//! rest of the machine does not see it, and it is gone with its process, however a test ends.

use crate::need;
use chassis_test::until;
use std::{
    ffi::OsString,
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

pub struct SmallDisk {
    holder: Child,
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// `size` as tmpfs understands it.
    pub fn mount(size: &str) -> Self {
        need("unshare");
        need("nsenter");
        let folder = tempfile::tempdir().unwrap();
        let script = r#"mount -t tmpfs -o "size=$1" tmpfs "$0" && touch "$0/mounted" && exec sleep infinity"#;
        let holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", script])
            .arg(folder.path())
            .arg(size)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut disk = Self { holder, folder };
        until("the disk is mounted", || {
            let ended = disk.holder.try_wait().unwrap();
            assert!(ended.is_none(), "no disk without the right to make a mount namespace: run it as root");
            disk.outside().join("mounted").exists().then_some(())
        });
        disk
    }

    /// Where it is for those who have entered.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What a program is started by to see it.
    pub fn enter(&self) -> Vec<OsString> {
        let target = self.holder.id().to_string();
        let words = ["nsenter", "--target", &target, "--user", "--mount", "--preserve-credentials"];
        words.into_iter().map(OsString::from).collect()
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        for size in [64 * 1024, 4096, 1] {
            let block = vec![b'x'; size];
            loop {
                match filler.write_all(&block) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Gives back what [`Self::fill`] took.
    pub fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.outside().join("filler")
    }

    /// Where it is for us, who have not entered.
    fn outside(&self) -> PathBuf {
        let inside = self.folder.path().strip_prefix("/").unwrap();
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(inside)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
