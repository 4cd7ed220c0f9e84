// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

#![doc = include_str!("../README.md")]

use std::env;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};

/// Environment variables that name the authorities and so replace the system's.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Where the pkgsrc packages `mozilla-rootcerts-openssl` and `mozilla-rootcerts` install certificates: all in one file, or one
/// file for each.
const PKGSRC_FILES: [&str; 2] =
    ["/opt/local/etc/openssl/certs/ca-certificates.crt", "/opt/local/share/mozilla-rootcerts/cacert.pem"];
const PKGSRC_DIRECTORY: &str = "/opt/local/etc/openssl/certs";

/// No usable authority certificate was found, so TLS peers cannot be verified.
#[derive(Debug, thiserror::Error)]
#[error(
    "there are no certificates of authorities to verify TLS with: SSL_CERT_FILE and SSL_CERT_DIR say where they are{reason}"
)]
pub struct NoAuthorities {
    /// The first error of loading certificates, formatted for the message; empty if there was none.
    reason: String,
}

/// Returns the certificates of the trusted authorities; there is at least one. Reads files, so it blocks.
///
/// # Errors
/// [`NoAuthorities`] if no usable certificate is found.
pub fn authorities() -> Result<Vec<CertificateDer<'static>>, NoAuthorities> {
    let is_chosen = VARIABLES.iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
    let pkgsrc = || {
        let files = PKGSRC_FILES.iter().map(|file| load_certs_from_paths(Some(Path::new(file)), None));
        files.chain([load_certs_from_paths(None, Some(Path::new(PKGSRC_DIRECTORY)))])
    };
    let others = (!is_chosen).then(pkgsrc).into_iter().flatten();
    first([load_native_certs()].into_iter().chain(others))
}

/// Returns a TLS client configuration that verifies servers against [`authorities`]. Reads files, so it blocks.
///
/// # Errors
/// [`NoAuthorities`] if no usable certificate is found.
pub fn client_config() -> Result<ClientConfig, NoAuthorities> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities()?);
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| NoAuthorities { reason: format!(": {error}") })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Returns the usable certificates of the first place that has any. Certificates that cannot be used are skipped.
fn first(
    places: impl Iterator<Item = CertificateResult>,
) -> Result<Vec<CertificateDer<'static>>, NoAuthorities> {
    let mut reason = String::new();
    for place in places {
        let mut roots = RootCertStore::empty();
        let certificates = place.certs.into_iter();
        let usable: Vec<_> =
            certificates.filter(|certificate| roots.add(certificate.clone()).is_ok()).collect();
        if !usable.is_empty() {
            return Ok(usable);
        }
        if let Some(error) = place.errors.first().filter(|_| reason.is_empty()) {
            reason = format!(" ({error})");
        }
    }
    Err(NoAuthorities { reason })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use std::fs;
    use std::process::Command;

    use super::*;

    fn certificate(name: &str) -> String {
        rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert.pem()
    }

    #[test]
    fn the_first_place_that_has_any_counts() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let (one, two) = (certificate("one"), certificate("two"));
        let (one, both) = (file("one", &one), file("both", &format!("{one}{two}")));
        let damaged = file("damaged", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let load = |path: &Path| load_certs_from_paths(Some(path), None);
        let none = directory.path().join("none");
        let found = first([load(&none), load(&damaged), load(&both), load(&one)].into_iter()).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(first([load(&one), load(&both)].into_iter()).unwrap().len(), 1);
        let refused = first([load(&none), load(&damaged)].into_iter()).unwrap_err().to_string();
        assert!(refused.contains("SSL_CERT_FILE") && refused.contains("none"), "{refused}");
    }

    /// The environment decides what a process trusts, and a test must not change its own. So the test runs itself as a child
    /// process.
    #[test]
    fn the_environment_decides_before_the_system() {
        if env::var_os("TRUST_TEST").is_some() {
            println!("trusted: {:?}", authorities().map(|found| found.len()).ok());
            assert_eq!(client_config().is_ok(), authorities().is_ok());
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.pem"), certificate("one")).unwrap();
        let trusted = |name: &str, value: &Path| {
            let mut child = Command::new(env::current_exe().unwrap());
            child.args(["the_environment_decides_before_the_system", "--nocapture"]).env("TRUST_TEST", "1");
            let output = child
                .env_remove("SSL_CERT_FILE")
                .env_remove("SSL_CERT_DIR")
                .env(name, value)
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            text.lines().find_map(|line| line.split_once("trusted: ")).unwrap().1.to_owned()
        };
        assert_eq!(trusted("SSL_CERT_FILE", &directory.path().join("a.pem")), "Some(1)");
        assert_eq!(trusted("SSL_CERT_DIR", directory.path()), "Some(1)");
        // An authority that was named and cannot be used is not replaced by the system's.
        assert_eq!(trusted("SSL_CERT_FILE", &directory.path().join("none")), "None");
    }
}
