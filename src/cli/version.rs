//! What `rowhook --version` says: the version, and which build of it this is.

/// The version, the commit and the target, such as `0.1.0 (commit 0123456789ab, x86_64-unknown-linux-musl)`.
pub(super) const LONG: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BUILT_FROM"), ")");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_version_and_the_target() {
        let (version, build) = LONG.split_once(' ').unwrap();
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
        assert!(build.contains(std::env::consts::ARCH), "{build}");
    }
}
