// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The language of SAPI's templates: Mustache as Hogan.js renders it, with objects printed as JSON.
//!
//! The output is the same as that of Hogan.js, byte for byte. Where Hogan.js renders garbage (a tag that is not closed)
//! or crashes (null), this returns an error that names the line and the tag.

mod js;
mod render;
mod scan;
#[cfg(test)]
mod tests;
mod tree;

use serde_json::{Map, Value};

pub(super) use render::Values;

/// The longest template, in bytes.
pub(super) const MAX_TEMPLATE: usize = 1024 * 1024;

/// The longest output of a template, in bytes.
pub(super) const MAX_OUTPUT: usize = 8 * 1024 * 1024;

/// Why a template cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {tag}: {problem}")]
pub(super) struct TemplateError {
    /// The line of the template, counted from 1.
    pub line: usize,
    /// The tag as written with the usual delimiters; shortened.
    pub tag: String,
    /// What is wrong with the tag.
    pub problem: String,
}

impl TemplateError {
    /// Makes an error about the tag `{{` `inside` `}}`.
    fn new(line: usize, inside: &str, problem: impl Into<String>) -> TemplateError {
        const SHOWN: usize = 60;
        let mut shown: String = inside.chars().take(SHOWN).collect();
        if shown.len() < inside.len() {
            shown.push_str("...");
        }
        TemplateError { line, tag: format!("{{{{{shown}}}}}"), problem: problem.into() }
    }
}

/// A parsed template.
#[derive(Debug)]
pub(super) struct Template(Vec<tree::Node>);

/// A rendered template.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rendered {
    /// The text.
    pub text: String,
    /// The names of the values that [`Values::JsonSafe`] has escaped, in the order of the template.
    pub escaped: Vec<String>,
    /// Whether a value ends the JSON string that contains it. In a file that is not JSON that means nothing.
    pub unsafe_in_json: bool,
}

impl Template {
    /// Parses `text`.
    pub(super) fn parse(text: &str) -> Result<Template, TemplateError> {
        if text.len() > MAX_TEMPLATE {
            return Err(TemplateError::new(
                1,
                "",
                format!("a template is at most {MAX_TEMPLATE} bytes long"),
            ));
        }
        tree::build(scan::scan(text)?).map(Template)
    }

    /// Renders the template with the metadata `root`.
    pub(super) fn render(
        &self,
        root: &Map<String, Value>,
        values: Values,
    ) -> Result<Rendered, TemplateError> {
        // Sections are evaluated relative to a value.
        let root = Value::Object(root.clone());
        render::render(&self.0, &root, values)
    }
}
