//! Keeping secrets out of the log: credentials in headers, URLs and query parameters.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// What stands in place of a secret.
pub const MASK: &str = "***";

/// Headers whose value is a credential.
const SECRET_HEADERS: [&str; 7] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-registry-auth",
    "x-registry-config",
    "x-auth-token",
];

/// Words that mark a query parameter as secret: pre-signed URLs of Manta (`signature`), S3 (`X-Amz-Signature`),
/// Azure (`sig`) and Google (`X-Goog-Signature`), and tokens of registries.
const SECRET_PARAMETERS: [&str; 8] =
    ["signature", "sig", "token", "password", "passwd", "secret", "credential", "apikey"];

/// Whether a header (name in lower case) holds a credential.
pub(super) fn is_secret_header(name: &str) -> bool {
    SECRET_HEADERS.contains(&name)
}

/// Whether a query parameter holds a credential.
pub(super) fn is_secret_parameter(name: &str) -> bool {
    let name = percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase();
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| SECRET_PARAMETERS.contains(&word) || word.ends_with("token") || word.ends_with("secret"))
}

/// A URL, request target or text with a URL in it, without user names and passwords before the host and without
/// the values of secret query parameters. Works on the text as it is, percent-encoded or not, so that the
/// rest stays verbatim.
#[must_use]
pub fn mask_url(text: &str) -> Cow<'_, str> {
    let text = mask_user_info(text);
    match mask_parameters(&text) {
        Some(masked) => Cow::Owned(masked),
        None => text,
    }
}

/// Masks `user:password` in every `scheme://user:password@host`, also where `:`, `/` and `@` are
/// percent-encoded, as in `?source=https%3A%2F%2Fuser%3Apassword%40host`.
fn mask_user_info(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, authority)) = split_after_scheme(rest) {
        out.push_str(before);
        let end = authority_end(authority);
        let (host, tail) = authority.split_at(end);
        match last_at_sign(host) {
            Some(at) => {
                out.push_str(MASK);
                out.push_str(&host[at..]);
            }
            None => out.push_str(host),
        }
        rest = tail;
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Splits behind the first `://`, in plain or percent-encoded form.
fn split_after_scheme(text: &str) -> Option<(&str, &str)> {
    let ends = ["://", "%3a//", "%3a%2f%2f", ":%2f%2f"]
        .map(|mark| find_ignore_case(text, mark).map(|at| at + mark.len()));
    let first = ends.into_iter().flatten().min()?;
    Some(text.split_at(first))
}

/// Where the authority ends: at a slash, blank, quote, or the next parameter.
fn authority_end(text: &str) -> usize {
    let plain = text.find(|c: char| matches!(c, '/' | '?' | '#' | '&' | '"' | '\\') || c.is_whitespace());
    let encoded = ["%2f", "%3f", "%23"].map(|mark| find_ignore_case(text, mark));
    encoded.into_iter().chain([plain]).flatten().min().unwrap_or(text.len())
}

fn last_at_sign(authority: &str) -> Option<usize> {
    authority.rfind('@').max(authority.rfind("%40"))
}

fn find_ignore_case(text: &str, mark: &str) -> Option<usize> {
    text.as_bytes().windows(mark.len()).position(|window| window.eq_ignore_ascii_case(mark.as_bytes()))
}

/// Replaces the values of secret parameters; none when there are none.
fn mask_parameters(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    for (at, _) in text.match_indices('=') {
        if at < copied {
            continue;
        }
        let start = text[..at].rfind(['?', '&', ';', ' ']).map_or(0, |mark| mark + 1);
        if is_secret_parameter(&text[start..at]) {
            let end = text[at..].find(['&', ';', ' ', '#', '"']).map_or(text.len(), |end| at + end);
            out.push_str(&text[copied..=at]);
            out.push_str(MASK);
            copied = end;
        }
    }
    // A URL inside a parameter has its own parameters encoded.
    let encoded = mask_encoded_parameters(if out.is_empty() { text } else { &text[copied..] });
    match (out.is_empty(), encoded) {
        (true, None) => None,
        (_, Some(tail)) => Some(out + &tail),
        (false, None) => Some(out + &text[copied..]),
    }
}

/// The same for `name%3Dvalue%26`; everything up to the next parameter of the outer URL is masked.
fn mask_encoded_parameters(text: &str) -> Option<String> {
    let mut from = 0;
    while let Some(at) = find_ignore_case(&text[from..], "%3d").map(|at| from + at) {
        let start = ["%26", "%3f"]
            .iter()
            .filter_map(|mark| text[..at].to_ascii_lowercase().rfind(mark).map(|found| found + mark.len()))
            .max()
            .unwrap_or(0);
        if is_secret_parameter(&text[start..at]) {
            let end = text[at..].find(['&', ' ', '"']).map_or(text.len(), |end| at + end);
            return Some(format!("{}{MASK}{}", &text[..at + 3], &text[end..]));
        }
        from = at + 3;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_before_the_host_are_masked() {
        let cases = [
            ("https://u:p@h.example/x?a=1", "https://***@h.example/x?a=1"),
            ("https://u:p@ss@h/x", "https://***@h/x"),
            (
                "/images/x?action=import-remote&source=https%3A%2F%2Fu%3Ap%40h%2Fx",
                "/images/x?action=import-remote&source=https%3A%2F%2F***%40h%2Fx",
            ),
            ("/images/x?source=https://u:p@h&b=c@d", "/images/x?source=https://***@h&b=c@d"),
            ("got 404 from http://a:b@c/ and http://d:e@f/", "got 404 from http://***@c/ and http://***@f/"),
        ];
        for (given, expected) in cases {
            assert_eq!(mask_url(given), expected);
        }
    }

    #[test]
    fn secret_parameters_are_masked() {
        let cases = [
            ("https://h/o?expires=1&signature=abc%2F&x=1", "https://h/o?expires=1&signature=***&x=1"),
            (
                "https://h/o?X-Amz-Credential=a&X-Amz-Signature=b",
                "https://h/o?X-Amz-Credential=***&X-Amz-Signature=***",
            ),
            ("/x?access_token=abc", "/x?access_token=***"),
            (
                "/i?source=https%3A%2F%2Fh%2Fo%3Fe%3D1%26signature%3Dabc&b=1",
                "/i?source=https%3A%2F%2Fh%2Fo%3Fe%3D1%26signature%3D***&b=1",
            ),
        ];
        for (given, expected) in cases {
            assert_eq!(mask_url(given), expected);
        }
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
        ] {
            assert_eq!(mask_url(plain), plain);
        }
    }
}
