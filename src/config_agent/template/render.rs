// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Renders a tree with metadata.

use std::borrow::Cow;

use serde_json::Value;

use super::tree::Node;
use super::{MAX_OUTPUT, Rendered, TemplateError, js};

/// The most nodes that are visited, because nested sections over long arrays multiply.
const MAX_STEPS: usize = 1_000_000;

/// How values are inserted into the template's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config_agent) enum Values {
    /// As in Hogan.js.
    Plain,
    /// As in Hogan.js, but a value within a JSON string is escaped.
    JsonSafe,
}

struct Renderer<'a> {
    /// The values of the open sections, from the metadata to the innermost one.
    stack: Vec<&'a Value>,
    values: Values,
    json: JsonPlace,
    steps: usize,
    out: Rendered,
}

pub(super) fn render(nodes: &[Node], root: &Value, values: Values) -> Result<Rendered, TemplateError> {
    let out = Rendered::default();
    let mut renderer = Renderer { stack: vec![root], values, json: JsonPlace::Outside, steps: 0, out };
    renderer.nodes(nodes)?;
    Ok(renderer.out)
}

impl<'a> Renderer<'a> {
    fn nodes(&mut self, nodes: &[Node]) -> Result<(), TemplateError> {
        nodes.iter().try_for_each(|node| self.node(node))
    }

    fn node(&mut self, node: &Node) -> Result<(), TemplateError> {
        self.steps += 1;
        match node {
            Node::Text(text) => self.push(text),
            Node::Variable { name, html, line } => {
                self.check(name, *line)?;
                self.variable(name, *html, *line)?;
            }
            Node::Section { name, inverted, line, nodes } => {
                self.check(name, *line)?;
                let value = self.look_up(name);
                let shown = value.as_deref().is_some_and(js::is_true);
                match (inverted, shown) {
                    (true, false) => self.nodes(nodes)?,
                    (false, true) => self.section(value, nodes, (name, *line))?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn check(&self, name: &str, line: usize) -> Result<(), TemplateError> {
        if self.steps > MAX_STEPS || self.out.text.len() > MAX_OUTPUT {
            return Err(TemplateError::new(line, name, "the result is too large"));
        }
        Ok(())
    }

    fn push(&mut self, text: &str) {
        self.json.pass(text);
        self.out.text.push_str(text);
    }

    fn variable(&mut self, name: &str, html: bool, line: usize) -> Result<(), TemplateError> {
        let Some(value) = self.look_up(name) else { return Ok(()) };
        let Some(text) = js::text(&value) else {
            return Err(TemplateError::new(line, name, "the value is null"));
        };
        let text = if html { html_escaped(&text) } else { text };
        match (self.json, self.values) {
            (JsonPlace::Outside, _) => self.push(&text),
            (_, Values::Plain) => {
                self.out.unsafe_in_json |= !self.json.pass(&text);
                self.out.text.push_str(&text);
            }
            (_, Values::JsonSafe) => {
                let before = self.out.text.len();
                js::escaped(&text, &mut self.out.text);
                if self.out.text[before..] != *text && !self.out.escaped.iter().any(|known| known == name) {
                    self.out.escaped.push(name.to_owned());
                }
            }
        }
        Ok(())
    }

    /// Only an object or an array becomes the innermost value. Other values leave it unchanged, and it may be an array.
    fn section(
        &mut self,
        value: Option<Cow<'a, Value>>,
        nodes: &[Node],
        (name, line): (&str, usize),
    ) -> Result<(), TemplateError> {
        let innermost = match value {
            Some(Cow::Borrowed(value @ (Value::Object(_) | Value::Array(_)))) => Some(value),
            _ => self.stack.last().copied(),
        };
        let Some(innermost) = innermost else { return Ok(()) };
        self.stack.push(innermost);
        if let Value::Array(items) = innermost {
            for item in items {
                self.check(name, line)?;
                self.stack.push(item);
                self.nodes(nodes)?;
                self.stack.pop();
            }
        } else {
            self.nodes(nodes)?;
        }
        self.stack.pop();
        Ok(())
    }

    /// Looks up `name` from the innermost value outwards. Null counts as a value.
    fn look_up(&self, name: &str) -> Option<Cow<'a, Value>> {
        if name == "." && self.in_array() {
            return self.stack.last().copied().map(Cow::Borrowed);
        }
        let mut names = name.split('.');
        let first = names.next()?;
        let mut value = self.stack.iter().rev().find_map(|scope| js::member(scope, first))?;
        for name in names {
            value = match value {
                Cow::Borrowed(value) => js::member(value, name)?,
                Cow::Owned(_) => return None,
            };
        }
        Some(value)
    }

    fn in_array(&self) -> bool {
        matches!(self.stack[..], [.., Value::Array(_), _])
    }
}

fn html_escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// The position of the end of the output within JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JsonPlace {
    Outside,
    String,
    /// After a backslash in a string.
    Backslash,
}

impl JsonPlace {
    /// Advances over `text`. Returns false if the string in which `text` begins ends within it.
    fn pass(&mut self, text: &str) -> bool {
        let mut inside = true;
        for byte in text.bytes() {
            *self = match (*self, byte) {
                (JsonPlace::Outside, b'"') | (JsonPlace::Backslash, _) => JsonPlace::String,
                (JsonPlace::String, b'"') => JsonPlace::Outside,
                (JsonPlace::String, b'\\') => JsonPlace::Backslash,
                (place, _) => place,
            };
            inside &= *self != JsonPlace::Outside;
        }
        inside && *self == JsonPlace::String
    }
}
