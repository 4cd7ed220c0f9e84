//! The names that keys have in accounts.

use http_signature::{PrivateKey, PublicKey};

use crate::support::{key_file, public_key};

/// As `ssh-keygen -E md5 -l` prints them.
const FINGERPRINTS: [(&str, &str); 6] = [
    ("rsa", "f3:39:35:9b:af:1f:10:8f:1f:30:8c:3d:03:7e:55:92"),
    ("rsa1024", "e3:16:93:80:7a:0d:44:1f:73:36:2d:01:62:98:92:d8"),
    ("ecdsa256", "57:ee:04:c8:34:ac:41:2b:c5:87:05:d9:4a:d1:ae:dd"),
    ("ecdsa384", "a7:19:2a:b2:2f:c3:d1:01:24:f4:4f:68:d2:24:6c:29"),
    ("ecdsa521", "95:a5:5a:ec:66:05:f2:c3:f6:8d:22:b8:f9:bd:d6:9e"),
    ("ed25519", "6a:ca:aa:d1:df:27:d3:5c:a5:5f:19:78:1a:c8:2b:59"),
];

#[test]
fn both_parts_of_a_key_have_the_fingerprint_of_ssh_keygen() {
    for (name, fingerprint) in FINGERPRINTS {
        assert_eq!(public_key(name).md5_fingerprint().unwrap(), fingerprint, "{name}");
        let private = PrivateKey::from_pem(&key_file(name)).unwrap();
        assert_eq!(private.md5_fingerprint().unwrap(), fingerprint, "{name}");
    }
}

#[test]
fn the_form_of_the_file_does_not_matter() {
    for (form, name) in [("rsa-openssh", "rsa"), ("rsa-pkcs8", "rsa"), ("ecdsa256-sec1", "ecdsa256")] {
        let private = PrivateKey::from_pem(&key_file(form)).unwrap();
        let public = PublicKey::from_openssh(&key_file(&format!("{name}.pub"))).unwrap();
        assert_eq!(private.md5_fingerprint().unwrap(), public.md5_fingerprint().unwrap(), "{form}");
    }
}
