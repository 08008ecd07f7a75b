//! The generated files: what each holds, and whether it still does.

use crate::{dashboards, reference, rules};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const README: &str = "README.md";

/// Where the repository is.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Each generated file's path, from the root of the repository, and its text. The README is one of them for
/// its tables of metrics and alerts.
pub fn generated() -> Vec<(String, String)> {
    let boards = dashboards();
    let boards = boards.iter().map(|board| (format!("dashboards/{}.json", board.file()), board.text()));
    let readme = fs::read_to_string(root().join(README)).ok();
    let readme = readme.and_then(|readme| reference::put_into(&readme));
    let readme = readme.map(|readme| (README.to_owned(), rules::table::put_into(&readme)));
    boards.chain(rules::generated()).chain(readme).collect()
}

/// Writes them all; the error names the one that could not be.
pub fn write() -> Result<(), String> {
    for (path, text) in generated() {
        let place = root().join(&path);
        let folder = place.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&place, text))
            .map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(())
}

/// The files that are missing or hold something else.
pub fn stale() -> io::Result<Vec<String>> {
    let mut stale = Vec::new();
    for (path, text) in generated() {
        match fs::read_to_string(root().join(&path)) {
            Ok(found) if found == text => {}
            Ok(_) => stale.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => stale.push(path),
            Err(error) => return Err(error),
        }
    }
    Ok(stale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_files_are_those_that_the_source_makes() {
        assert_eq!(stale().unwrap(), Vec::<String>::new(), "`cargo run -p observability` writes them");
    }

    #[test]
    fn no_dashboard_is_there_that_no_source_makes() {
        let made: Vec<_> = generated().into_iter().map(|(path, _)| path).collect();
        for entry in fs::read_dir(root().join("dashboards")).unwrap() {
            let path = format!("dashboards/{}", entry.unwrap().file_name().to_string_lossy());
            assert!(made.contains(&path), "{path}");
        }
    }
}
