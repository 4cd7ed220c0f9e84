// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Renders the contents of a file.

use std::path::Path;

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::manifests::Manifest;
use super::template::{Template, Values};

/// The content of a file.
#[derive(Debug)]
pub(super) struct Contents {
    pub text: String,
    /// The metadata whose values had to be escaped so that the file is JSON.
    pub escaped: Vec<String>,
}

/// Renders the template of `manifest`.
///
/// A file whose name ends in `.json` must be JSON. If it is not, or if a value ends the string that contains it, the
/// file is rendered again with the values inside of strings escaped, which templates cannot do. Otherwise the result is
/// that of 4.13.1's agent, so that values that were escaped by hand, because of other services, also work.
///
/// # Errors
/// What is wrong with the template or its result, without values of metadata.
pub(super) fn contents(manifest: &Manifest, metadata: &Map<String, Value>) -> Result<Contents, String> {
    let template = Template::parse(&manifest.template).map_err(|error| format!("template, {error}"))?;
    let render = |values| template.render(metadata, values).map_err(|error| format!("template, {error}"));
    let plain = render(Values::Plain)?;
    if !is_json_file(&manifest.path) {
        return Ok(Contents { text: plain.text, escaped: Vec::new() });
    }
    let problem = check(&plain.text);
    if problem.is_ok() && !plain.unsafe_in_json {
        return Ok(Contents { text: plain.text, escaped: Vec::new() });
    }
    let safe = render(Values::JsonSafe)?;
    match (check(&safe.text), problem) {
        (Ok(()), _) => Ok(Contents { text: safe.text, escaped: safe.escaped }),
        (_, Err(problem)) | (Err(problem), _) => Err(problem),
    }
}

fn is_json_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

fn check(text: &str) -> Result<(), String> {
    serde_json::from_str::<IgnoredAny>(text)
        .map(drop)
        .map_err(|error| format!("the result is not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config_agent::manifests::Access;

    fn render(path: &str, template: &str, metadata: &Value) -> Result<Contents, String> {
        let manifest = Manifest {
            name: "m".to_owned(),
            path: path.into(),
            template: template.to_owned(),
            post_cmd: None,
            access: Access::default(),
        };
        contents(&manifest, metadata.as_object().unwrap())
    }

    #[test]
    fn a_json_file_is_json_or_an_error() {
        let template = r#"{"pw": "{{{pw}}}"}"#;
        let text = |pw: &str| render("/c.json", template, &json!({"pw": pw})).unwrap();
        assert_eq!(text("a&b").text, r#"{"pw": "a&b"}"#);
        // The value is escaped already and the result is JSON, as with the agents of other services.
        assert_eq!(text(r#"a\"b"#).text, r#"{"pw": "a\"b"}"#);
        let safe = text("a\"b\\");
        assert_eq!(text("x\", \"y\": \"z").text, r#"{"pw": "x\", \"y\": \"z"}"#);
        assert_eq!((safe.text.as_str(), safe.escaped), (r#"{"pw": "a\"b\\"}"#, vec!["pw".to_owned()]));
        let error = render("/c.json", r#"{"a": {{{pw}}}, "b": 1}"#, &json!({"pw": "s3cret"})).unwrap_err();
        assert_eq!(error, "the result is not JSON: expected value at line 1 column 7");
        assert!(render("/c.json", "", &json!({})).is_err());
        assert_eq!(render("/c.conf", "{{{pw}}}\"", &json!({"pw": "x"})).unwrap().text, "x\"");
        assert_eq!(
            render("/c", "a\n{{x", &json!({})).unwrap_err(),
            "template, line 2: {{x}}: the tag is not closed"
        );
    }
}
