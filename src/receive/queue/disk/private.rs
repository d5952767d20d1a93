//! Permissions: requests of others, and what tasks said of them, are for the receiver alone.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use super::file::{DATABASE, SIDE_FILES};

const FOLDER: u32 = 0o700;
const FILE: u32 = 0o600;
const OF_OTHERS: u32 = 0o077;

/// Creates the folder where it is missing, and closes it to others. One that holds other things than a queue stays as
/// it is; what is ours in it is closed all the same.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(FOLDER).create(folder)?;
    let is_ours = folder.join(DATABASE).exists() || fs::read_dir(folder)?.next().is_none();
    if is_ours {
        close(folder, FOLDER)?;
    }
    Ok(())
}

/// Opens a file for writing, and creates it where it is missing. Others cannot read it.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(FILE)
        .open(path)?;
    close(path, FILE)?;
    Ok(file)
}

/// Creates the file of the queue where it is missing, before SQLite does: the files beside it get its permissions.
pub(super) fn make_database(folder: &Path) -> io::Result<()> {
    open_file(&folder.join(DATABASE))?;
    for name in SIDE_FILES {
        let path = folder.join(name);
        if path.exists() {
            close(&path, FILE)?;
        }
    }
    Ok(())
}

/// Takes all rights from others.
fn close(path: &Path, mode: u32) -> io::Result<()> {
    if fs::metadata(path)?.permissions().mode() & OF_OTHERS == 0 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_folder_is_closed_to_others_unless_it_holds_more_than_a_queue() {
        let place = tempfile::tempdir().unwrap();
        let new = place.path().join("a/queue");
        make_folder(&new).unwrap();
        assert_eq!(mode(&new), FOLDER);
        fs::set_permissions(&new, Permissions::from_mode(0o755)).unwrap();
        make_folder(&new).unwrap();
        assert_eq!(mode(&new), FOLDER);
        let shared = place.path().join("shared");
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, Permissions::from_mode(0o755)).unwrap();
        fs::write(shared.join("other"), "").unwrap();
        make_folder(&shared).unwrap();
        assert_eq!(mode(&shared), 0o755);
        fs::write(shared.join(DATABASE), "").unwrap();
        make_folder(&shared).unwrap();
        assert_eq!(mode(&shared), FOLDER);
    }

    #[test]
    fn files_are_closed_to_others_old_ones_too() {
        let place = tempfile::tempdir().unwrap();
        let old = place.path().join(SIDE_FILES[0]);
        fs::write(&old, "").unwrap();
        fs::set_permissions(&old, Permissions::from_mode(0o644)).unwrap();
        make_database(place.path()).unwrap();
        assert_eq!(mode(&old), FILE);
        assert_eq!(mode(&place.path().join(DATABASE)), FILE);
    }
}
