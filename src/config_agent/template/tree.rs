// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Builds the tree of nested sections from tags.

use super::TemplateError;
use super::scan::Token;

/// The deepest nesting of sections.
const MAX_DEPTH: usize = 64;

/// A piece of a template that renders something, or decides whether something is rendered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Node {
    Text(String),
    Variable { name: String, html: bool, line: usize },
    Section { name: String, inverted: bool, line: usize, nodes: Vec<Node> },
}

struct Opened {
    name: String,
    inverted: bool,
    line: usize,
    /// The nodes before it in the outer section.
    before: Vec<Node>,
}

pub(super) fn build(tokens: Vec<Token>) -> Result<Vec<Node>, TemplateError> {
    let mut nodes = Vec::new();
    let mut opened: Vec<Opened> = Vec::new();
    for token in tokens {
        match token {
            Token::Text(text) => nodes.push(Node::Text(text)),
            Token::Newline => nodes.push(Node::Text("\n".to_owned())),
            Token::Nothing => {}
            Token::Variable { name, html, line } => nodes.push(Node::Variable { name, html, line }),
            Token::Open { name, inverted, line } => {
                if opened.len() == MAX_DEPTH {
                    let problem = format!("sections are nested at most {MAX_DEPTH} deep");
                    return Err(TemplateError::new(line, &section_tag(&name, inverted), problem));
                }
                opened.push(Opened { name, inverted, line, before: std::mem::take(&mut nodes) });
            }
            Token::Close { name, line } => {
                let Some(Opened { name: open, inverted, line: open_line, before }) = opened.pop() else {
                    return Err(TemplateError::new(line, &format!("/{name}"), "no section is open"));
                };
                if open != name {
                    let problem = format!(
                        "the open section is {{{{{}}}}} of line {open_line}",
                        section_tag(&open, inverted)
                    );
                    return Err(TemplateError::new(line, &format!("/{name}"), problem));
                }
                let section = Node::Section {
                    name,
                    inverted,
                    line: open_line,
                    nodes: std::mem::replace(&mut nodes, before),
                };
                nodes.push(section);
            }
        }
    }
    match opened.pop() {
        Some(Opened { name, inverted, line, .. }) => {
            Err(TemplateError::new(line, &section_tag(&name, inverted), "the section is not closed"))
        }
        None => Ok(nodes),
    }
}

fn section_tag(name: &str, inverted: bool) -> String {
    format!("{}{name}", if inverted { '^' } else { '#' })
}
