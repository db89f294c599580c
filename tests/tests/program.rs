//! The program under test, as a process: where it is, and that it is as new as these tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The program, built as these tests were: an old one must not answer for the new.
pub(crate) fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let me = std::env::current_exe().expect("a test binary");
        // target/PROFILE/deps/it-…
        let folder = me.ancestors().nth(2).expect("the profile's folder");
        let profile = folder.file_name().and_then(|name| name.to_str()).expect("a profile");
        let profile = if profile == "debug" { "dev" } else { profile };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--quiet", "--package", "swarm-cli", "--bin", "swarm-sim"])
            .args(["--profile", profile, "--target-dir"])
            .arg(folder.parent().expect("the target folder"))
            .output()
            .expect("cargo");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let program = folder.join(format!("swarm-sim{}", std::env::consts::EXE_SUFFIX));
        assert!(program.is_file(), "cargo built no {}", program.display());
        program
    })
}
