//! A certificate of a test's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::database::give_to_nobody;
use super::require;

/// A certificate for `localhost` that nobody has signed but itself.
pub struct Certificate {
    /// The file of its private key, which database servers started by tests may read.
    pub key: String,
    /// The file to trust.
    pub certificate: String,
    /// Deleted with it.
    _folder: TempDir,
}

impl Certificate {
    /// Makes one; nothing where OpenSSL is missing and the test, which is about `subject`, is to
    /// be skipped.
    #[track_caller]
    pub fn of_localhost(subject: &str) -> Option<Certificate> {
        let openssl = require::installed(subject, "openssl", require::program("openssl"))?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), open).expect("its mode");
        let file = |name: &str| folder.path().join(name).display().to_string();
        let (key, certificate) = (file("key.pem"), file("certificate.pem"));
        let made = Command::new(openssl)
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj"])
            .args(["/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", &key, "-out", &certificate])
            .output();
        assert!(made.expect("openssl runs").status.success());
        give_to_nobody(Path::new(&key));
        Some(Certificate {
            key,
            certificate,
            _folder: folder,
        })
    }
}
