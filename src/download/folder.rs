//! Where the cache lies.

use std::path::PathBuf;

const NAME: &str = "provision";

/// The cache's folder for a person's variables on an operating system (in the words of `std::env::consts::OS`):
/// `$XDG_CACHE_HOME/provision`, or else `~/.cache/provision`, on macOS `~/Library/Caches/provision`. None when neither
/// variable holds an absolute path, as the XDG base directory specification wants it.
pub fn default_folder<I, N, V>(variables: I, system: &str) -> Option<PathBuf>
where
    I: IntoIterator<Item = (N, V)>,
    N: AsRef<str>,
    V: Into<PathBuf>,
{
    let (mut caches, mut home) = (None, None);
    for (name, value) in variables {
        let place = match name.as_ref() {
            "XDG_CACHE_HOME" => &mut caches,
            "HOME" => &mut home,
            _ => continue,
        };
        *place = Some(value.into()).filter(|path: &PathBuf| path.is_absolute());
    }
    let inner = if system == "macos" { "Library/Caches" } else { ".cache" };
    Some(caches.or_else(|| Some(home?.join(inner)))?.join(NAME))
}
