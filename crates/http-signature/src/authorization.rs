// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Algorithm;

/// Maximum length of a header value, in bytes. The largest RSA signatures take a third of it.
pub const MAX_AUTHORIZATION: usize = 8 * 1024;

const SCHEME: &str = "Signature";

/// The value of an `Authorization` header: `Signature keyId="…",algorithm="…",headers="…",signature="…"`. The parameters may come
/// in any order; no other spaces are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Name of the key. For an image server it is the name of a user.
    pub key_id: String,
    /// The algorithm that the client says it used.
    pub algorithm: Algorithm,
    /// Names of the signed headers in lower case, in signing order. Empty if the client names none; then only the date is signed.
    pub headers: Vec<String>,
    /// The bytes of the signature.
    pub signature: Vec<u8>,
}

/// Why a header value is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed authorization: {0}")]
pub struct Malformed(pub(crate) &'static str);

/// The parameters as they are written in the header.
#[derive(Debug, Default)]
struct Params<'a> {
    key_id: Option<&'a str>,
    algorithm: Option<&'a str>,
    headers: Option<&'a str>,
    signature: Option<&'a str>,
}

impl FromStr for Authorization {
    type Err = Malformed;

    /// Parses a header value. Unknown parameters are ignored; a duplicate parameter is an error.
    fn from_str(value: &str) -> Result<Authorization, Malformed> {
        if value.len() > MAX_AUTHORIZATION {
            return Err(Malformed("it is too long"));
        }
        let rest = value.strip_prefix(SCHEME).and_then(|rest| rest.strip_prefix(' '));
        let params = Params::parse(rest.ok_or(Malformed("the scheme is not Signature"))?)?;
        let algorithm = params.algorithm.ok_or(Malformed("algorithm is missing"))?;
        let signature = params.signature.ok_or(Malformed("signature is missing"))?;
        Ok(Authorization {
            key_id: params.key_id.ok_or(Malformed("keyId is missing"))?.to_owned(),
            algorithm: algorithm.parse().map_err(|_| Malformed("the algorithm is not supported"))?,
            headers: parse_headers(params.headers.unwrap_or_default())?,
            signature: STANDARD.decode(signature).map_err(|_| Malformed("signature is not base64"))?,
        })
    }
}

impl<'a> Params<'a> {
    fn parse(mut rest: &'a str) -> Result<Params<'a>, Malformed> {
        const FORM: Malformed = Malformed("parameters must have the form name=\"value\",name=\"value\"");
        let mut params = Params::default();
        loop {
            let (name, after) = rest.split_once("=\"").ok_or(FORM)?;
            let (value, after) = after.split_once('"').ok_or(FORM)?;
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                return Err(FORM);
            }
            params.set(name, value)?;
            if after.is_empty() {
                return Ok(params);
            }
            rest = after.strip_prefix(',').ok_or(FORM)?;
        }
    }

    fn set(&mut self, name: &str, value: &'a str) -> Result<(), Malformed> {
        let place = match name {
            "keyId" => &mut self.key_id,
            "algorithm" => &mut self.algorithm,
            "headers" => &mut self.headers,
            "signature" => &mut self.signature,
            _ => return Ok(()),
        };
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err(Malformed("a parameter is there twice")),
        }
    }
}

fn parse_headers(text: &str) -> Result<Vec<String>, Malformed> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut names: Vec<String> = Vec::new();
    for name in text.split(' ') {
        let name = name.to_ascii_lowercase();
        if name.is_empty() || names.contains(&name) {
            return Err(Malformed("headers must be different names with one space between them"));
        }
        names.push(name);
    }
    Ok(names)
}

impl fmt::Display for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME} keyId=\"{}\",algorithm=\"{}\"", self.key_id, self.algorithm)?;
        if !self.headers.is_empty() {
            write!(f, ",headers=\"{}\"", self.headers.join(" "))?;
        }
        write!(f, ",signature=\"{}\"", STANDARD.encode(&self.signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        r#"Signature keyId="luke",algorithm="RSA-sha256",headers="date Host",signature="AAE=""#;

    #[test]
    fn a_good_one_is_read_and_written() {
        let read: Authorization = GOOD.parse().unwrap();
        assert_eq!(read.key_id, "luke");
        assert_eq!(read.headers, ["date", "host"]);
        assert_eq!(read.signature, [0, 1]);
        assert_eq!(read.to_string().parse(), Ok(read));
    }

    #[test]
    fn order_and_unknown_parameters_do_not_matter() {
        let other =
            r#"Signature signature="AAE=",x="1",headers="date host",algorithm="rsa-sha256",keyId="luke""#;
        assert_eq!(other.parse::<Authorization>(), GOOD.parse());
        let short = r#"Signature keyId="constructor",algorithm="rsa-sha1",headers="",signature="""#;
        assert_eq!(short.parse::<Authorization>().unwrap().headers, Vec::<String>::new());
    }

    #[test]
    fn anything_else_is_malformed() {
        let with = |from: &str, to: &str| GOOD.replace(from, to);
        let bad = [
            String::new(),
            "Signature".into(),
            "Signature ".into(),
            with("Signature", "signature"),
            with("Signature", "Basic"),
            with("Signature ", "Signature  "),
            with("\",", "\", "),
            with("keyId=", "keyId= "),
            with("keyId", "key1d"),
            with("\"luke\"", "luke"),
            with(r#"keyId="luke","#, ""),
            with(r#"algorithm="RSA-sha256","#, ""),
            with(r#","#, ""),
            with(r#",signature="AAE=""#, ""),
            with("RSA-sha256", "hmac-sha256"),
            with("date Host", "date  host"),
            with("date Host", "date DATE"),
            with("AAE=", "AAE"),
            with("AAE=", "AAF="),
            with("AAE=", "A*E="),
            with("AAE=", "AAE=\n"),
            GOOD[..GOOD.len() - 1].into(),
            format!("{GOOD},"),
            format!("{GOOD} "),
            format!(r#"{GOOD},keyId="vader""#),
            with("luke", &"x".repeat(MAX_AUTHORIZATION)),
        ];
        for text in bad {
            assert!(text.parse::<Authorization>().is_err(), "{text}");
        }
    }
}
