// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;

thread_local! {
    static WORK: Cell<usize> = const { Cell::new(0) };
}

/// Counts the bytes that are read.
pub(super) fn count(bytes: usize) {
    WORK.set(WORK.get() + bytes);
}

fn check(cases: &[(&str, &str)]) {
    for (given, expected) in cases {
        assert_eq!(mask_url(given), *expected, "{given}");
    }
}

#[test]
fn credentials_before_the_host_are_masked() {
    check(&[
        ("https://u:p@h.example/x?a=1", "https://***@h.example/x?a=1"),
        ("https://u:p@ss@h/x", "https://***@h/x"),
        ("https://token@h/x", "https://***@h/x"),
        (
            "/images/x?action=import-remote&source=https%3A%2F%2Fu%3Ap%40h%2Fx",
            "/images/x?action=import-remote&source=https%3A%2F%2F***%40h%2Fx",
        ),
        ("/images/x?source=https://u:p@h&b=c@d", "/images/x?source=https://***@h&b=c@d"),
        ("got 404 from http://a:b@c/ and http://d:e@f/", "got 404 from http://***@c/ and http://***@f/"),
        ("//u:p@h/x", "//***@h/x"),
        ("https:\\\\u:p@h\\x", "https:\\\\***@h\\x"),
        ("u:p@h", "u:***@h"),
        ("/x?a=https%253A%252F%252Fu%253Ap%2540h%252Fx", "/x?a=https%253A%252F%252F***%2540h%252Fx"),
    ]);
}

#[test]
fn a_password_may_have_any_characters() {
    check(&[
        // Encoded, as in a URL.
        ("https://u:a%2Fb%3Fc%23d@h/x", "https://***@h/x"),
        ("see https://u:a%2Fb@h/x", "see https://***@h/x"),
        ("/x?source=https%3A%2F%2Fu%3Aa%26b%20c%22%40h%2Fx&e=f", "/x?source=https%3A%2F%2F***%40h%2Fx&e=f"),
        // Decoded, as in parameters.
        ("https://u:a&b c\"d;token=e@h/x", "https://***@h/x"),
        ("HTTPS://u:é@h", "HTTPS://***@h"),
    ]);
}

#[test]
fn secret_parameters_are_masked() {
    check(&[
        ("https://h/o?expires=1&signature=abc%2F&x=1", "https://h/o?expires=1&signature=***&x=1"),
        (
            "https://h/o?X-Amz-Credential=a&X-Amz-Signature=b",
            "https://h/o?X-Amz-Credential=***&X-Amz-Signature=***",
        ),
        ("/x?access_token=abc", "/x?access_token=***"),
        ("/x?%74oken=abc&b", "/x?%74oken=***&b"),
        (
            "/i?source=https%3A%2F%2Fh%2Fo%3Fe%3D1%26signature%3Dabc&b=1",
            "/i?source=https%3A%2F%2Fh%2Fo%3Fe%3D1%26signature%3D***&b=1",
        ),
        ("/i?a=%3Fsig%3Dabc&b=%3Fsig%3Ddef", "/i?a=%3Fsig%3D***&b=%3Fsig%3D***"),
        ("/i?a=%253Fsig%253Dabc&b=1", "/i?a=%253Fsig%253D***&b=1"),
        ("/i?a=token%3Dabc", "/i?a=token%3D***"),
        ("/i?source=https://u:p@h&token=abc;a=1", "/i?source=https://***@h&token=***;a=1"),
        ("/i?token=https://u:p@h&a=1", "/i?token=***&a=1"),
        ("token=", "token=***"),
    ]);
}

#[test]
fn secret_members_of_json_are_masked() {
    check(&[
        (r#"{"a":"b","password":"x","c":1}"#, r#"{"a":"b","password":"***","c":1}"#),
        (r#"{"root_pw" : "x"}"#, r#"{"root_pw" : "***"}"#),
        (r#"{"password":"a\"b\\","c":"d"}"#, r#"{"password":"***","c":"d"}"#),
        (r#"{"pin_pw": 12, "secrets": {"a": ["}", 1]}, "c": 1}"#, r#"{"pin_pw":***, "secrets":***, "c": 1}"#),
        // As a string in other JSON, once and twice.
        (r#"{"a":"{\"password\":\"x\",\"b\":1}"}"#, r#"{"a":"{\"password\":\"***\",\"b\":1}"}"#),
        (
            r#"{"a":"{\"b\":\"{\\\"password\\\":\\\"x\\\",\\\"c\\\":1}\"}"}"#,
            r#"{"a":"{\"b\":\"{\\\"password\\\":\\\"***\\\",\\\"c\\\":1}\"}"}"#,
        ),
        (r#"{"a":"{\n \"password\":\n \"x\"\n}"}"#, r#"{"a":"{\n \"password\":\n \"***\"\n}"}"#),
        // With escaped characters.
        (r#"{"p\u0061ssword":"x"}"#, r#"{"p\u0061ssword":"***"}"#),
        (r#"{\u0022password\u0022:\u0022x\u0022,"#, r#"{\u0022password\u0022:\u0022***\u0022,"#),
        ("{'password': 'x', 'a': 'b'}", "{'password': '***', 'a': 'b'}"),
        (
            "/x?a=%7B%22password%22%3A%22x%22%2C%22b%22%3A1%7D&c=%22d%22",
            "/x?a=%7B%22password%22%3A%22***%22%2C%22b%22%3A1%7D&c=%22d%22",
        ),
        ("/x?a=%22password%22%3A%22x&b=c", "/x?a=%22password%22%3A%22***&b=c"),
        // In the middle of a text, or truncated.
        (r#"got {"token":"x"} from https://u:p@h/"#, r#"got {"token":"***"} from https://***@h/"#),
        (r#"{"password":"x"#, r#"{"password":"***"#),
        (r#"token="x y", a="b""#, r#"token="***", a="b""#),
        (r#"/x?token={"a":"b"}&c=d"#, "/x?token=***&c=d"),
    ]);
}

#[test]
fn everything_else_stays_verbatim() {
    for plain in [
        "/images?name=~sig&owner=x&limit=1",
        "/images/a%40b?x=%",
        "",
        "https://h:80/%e2%82",
        "/x?design=a@b",
        "é=é&ü",
        "/images?keyId=a&expires=1&tag.role=b",
        "bytes=0-5, a=b",
        "2026-01-01T00:00:00.000Z, a@b",
        "%25%2525%",
        r#"{"a":"b","keyId":"c","d":"{\"e\":\"f\"}"}"#,
        r#"the "password" is not here: "x""#,
        "C:\\u0\\x \\u00",
    ] {
        assert_eq!(mask_url(plain), plain);
    }
}

#[test]
fn names_of_secrets_are_known() {
    for name in [
        "x-api-key",
        "x-amz-security-token",
        "cookie",
        "set-cookie",
        "proxy-authorization",
        "authorization",
        "token",
        "access_token",
        "apikey",
        "apiKey",
        "APIKey",
        "key",
        "privateKey",
        "client-secret",
        "X-Amz-Signature",
        "sig",
        "old_password",
        "passwords",
        "rootPassword2",
        "x-registry-auth",
        "x-auth-tokens",
        "x-csrftoken",
        "token[a]",
        "session",
        "credentials",
        "%6bey",
        "root_pw",
        "admin-pw",
        "rootPw",
        "adminpw",
        "pw",
        "user_pwd",
        "passcode",
    ] {
        assert!(is_secret_name(name), "{name}");
    }
    for name in [
        "keyId",
        "accept",
        "monkeys",
        "design",
        "author",
        "keyboard",
        "content-md5",
        "account",
        "www-authenticate",
        "",
        "sha1",
        "compass",
        "tokenize",
        "etag",
        "host",
    ] {
        assert!(!is_secret_name(name), "{name}");
    }
    assert!(is_secret_header("x-registry-config"));
    assert_eq!(mask_host("u:p@h:80"), "***@h:80");
    assert_eq!(mask_host("h:80"), "h:80");
}

#[test]
fn the_work_grows_with_the_length_of_the_text_alone() {
    const LENGTH: usize = 64 << 10;
    let patterns = [
        "=",
        "%3d",
        "://",
        "%3a%2f%2f",
        "@",
        ":",
        "/",
        "%",
        "%25",
        "25",
        "a=b&",
        "token=",
        "token%3D",
        "%26",
        "?",
        "x@",
        "https://a",
        "\\",
        " ",
        "://@",
        "=@:",
        "%2525253d",
        "k=",
        "a",
        "A",
        ":/",
        "s=token%3d&",
        "\"",
        "\":",
        "\"a\":",
        "\"a=\":",
        "\"pw\":",
        "\"pw\":{",
        "\\",
        "\\\"",
        "\\\":",
        "'\\\":",
        "\\u0022:",
        "\\u00",
        "{",
    ];
    for pattern in patterns {
        let text = pattern.repeat(LENGTH / pattern.len());
        WORK.set(0);
        let _ = (mask_url(&text), mask_host(&text), is_secret_name(&text));
        assert!(WORK.get() <= 8 * LENGTH, "{pattern}: {}", WORK.get());
    }
}

/// Generates hostile and harmless texts from such pieces.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("://"),
        Just("%3a%2F%2f"),
        Just("="),
        Just("%3D"),
        Just("&"),
        Just("%26"),
        Just("token"),
        Just("@"),
        Just("%40"),
        Just("/"),
        Just("a"),
        Just("é"),
        Just("%25"),
        Just("?"),
        Just(" "),
        Just(":"),
        Just("http"),
        Just("\""),
        Just("\\"),
        Just("{"),
        Just("'"),
        Just("%22"),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// A secret is hidden, whatever the text around it is.
    #[test]
    fn a_secret_is_hidden_in_any_surroundings(before in any_text(), after in any_text()) {
        for secret in [
            "&token=S3CRET&",
            " https://u:S3CRET@h/ ",
            "&a=%3Ftoken%3DS3CRET&",
            "&a=https%3A%2F%2Fu%3AS3CRET%40h&",
            r#"{"password":"S3CRET"}"#,
            r#"{"a":"{\"root_pw\":\"S3CRET\"}"}"#,
            "&a=%7B%22password%22%3A%22S3CRET%22%7D&",
        ] {
            let text = format!("x {before}{secret}{after}");
            let masked = mask_url(&text).into_owned();
            prop_assert!(!masked.contains("S3CRET"), "{} {}", text, masked);
        }
    }

    /// Masking adds nothing to a text but masks.
    #[test]
    fn nothing_is_invented(text in any_text()) {
        let masked = mask_url(&text).into_owned();
        for part in masked.split(MASK) {
            prop_assert!(text.contains(part));
        }
    }
}
