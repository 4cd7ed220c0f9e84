// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Fingerprints of keys.

use http_signature::{PrivateKey, PublicKey};

use crate::support::{key_file, public_key};

/// The MD5 and SHA-256 fingerprints that `ssh-keygen -l` prints.
const FINGERPRINTS: [(&str, &str, &str); 6] = [
    ("rsa", "f3:39:35:9b:af:1f:10:8f:1f:30:8c:3d:03:7e:55:92", "VTfPaOfCoYhC/QpySEyTcD4OPSkmhObia7I7uSoUtw0"),
    (
        "rsa1024",
        "e3:16:93:80:7a:0d:44:1f:73:36:2d:01:62:98:92:d8",
        "9WgE3pL5CSJ1yfxlaKeYfqXfFUHCO2JvS+9c6AGUXX0",
    ),
    (
        "ecdsa256",
        "57:ee:04:c8:34:ac:41:2b:c5:87:05:d9:4a:d1:ae:dd",
        "GVFYxzuIrwi28ZEXbtFH8jmYD1PQW2pICNl2Dwmm1KY",
    ),
    (
        "ecdsa384",
        "a7:19:2a:b2:2f:c3:d1:01:24:f4:4f:68:d2:24:6c:29",
        "yqLza+mhS02O2bz1frUyRyVGiBjsyx4MdBhNAk44H50",
    ),
    (
        "ecdsa521",
        "95:a5:5a:ec:66:05:f2:c3:f6:8d:22:b8:f9:bd:d6:9e",
        "iQYVRfswCtLjxeV26MyRC7pp1KfuP50zukwQbWuH4TY",
    ),
    (
        "ed25519",
        "6a:ca:aa:d1:df:27:d3:5c:a5:5f:19:78:1a:c8:2b:59",
        "jiuAXmluc2Az54yyQkweEoRGvBG4QvBjQLJVIoLZVME",
    ),
];

#[test]
fn both_parts_of_a_key_have_the_fingerprint_of_ssh_keygen() {
    for (name, md5, sha256) in FINGERPRINTS {
        let (public, private) = (public_key(name), PrivateKey::from_pem(&key_file(name)).unwrap());
        assert_eq!(public.md5_fingerprint(), md5, "{name}");
        assert_eq!(private.md5_fingerprint(), md5, "{name}");
        assert_eq!(public.sha256_fingerprint(), sha256, "{name}");
        assert_eq!(private.sha256_fingerprint(), sha256, "{name}");
    }
}

#[test]
fn the_form_of_the_file_does_not_matter() {
    for (form, name) in [("rsa-openssh", "rsa"), ("rsa-pkcs8", "rsa"), ("ecdsa256-sec1", "ecdsa256")] {
        let private = PrivateKey::from_pem(&key_file(form)).unwrap();
        let public = PublicKey::from_openssh(&key_file(&format!("{name}.pub"))).unwrap();
        assert_eq!(private.md5_fingerprint(), public.md5_fingerprint(), "{form}");
    }
}
