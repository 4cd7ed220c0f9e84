// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use serde_json::{Value, json};

use super::{Template, Values};

fn render(template: &str, root: &Value) -> Result<String, String> {
    let template = Template::parse(template).map_err(|error| error.to_string())?;
    let root = root.as_object().unwrap();
    template.render(root, Values::Plain).map(|rendered| rendered.text).map_err(|error| error.to_string())
}

fn metadata() -> Value {
    json!({
        "s": "a & b < c > d \" e ' f ` = /",
        "n": 1.50, "big": 1e21, "zero": 0, "t": true, "f": false, "text_false": "false", "empty": "",
        "none": null, "no_items": [], "no_members": {},
        "o": {"b": 1, "a": ["x", null], "2": "two", "1": "one", "deep": {"c": "C"}, "none": null},
        "list": [{"name": "A", "last": false}, {"name": "B", "last": true}],
        "numbers": [1, 2, [3, null]],
        "auto": {"ZONENAME": "z"},
        "outer": "OUT",
    })
}

/// A table of templates and what Hogan.js, in config-agent's version, rendered for them.
#[test]
fn every_construct_renders_as_hogan_does() {
    let table = [
        ("{{s}}", "a &amp; b &lt; c &gt; d &quot; e &#39; f ` = /"),
        (
            "{{{s}}}|{{&s}}|{{& s }}",
            "a & b < c > d \" e ' f ` = /|a & b < c > d \" e ' f ` = /|a & b < c > d \" e ' f ` = /",
        ),
        ("[{{missing}}{{{missing}}}{{missing.part}}{{o.missing.part}}{{s.length}}]", "[]"),
        ("{{f}} {{zero}} {{n}} {{big}} {{t}}", "false 0 1.5 1e+21 true"),
        ("{{{o}}}", r#"{"1":"one","2":"two","b":1,"a":["x",null],"deep":{"c":"C"},"none":null}"#),
        ("{{no_members}}", "{}"),
        ("{{o.deep}}", "{&quot;c&quot;:&quot;C&quot;}"),
        (
            "{{numbers}} {{list}} {{numbers.length}} {{numbers.1}}",
            "1,2,3, [object Object],[object Object] 3 2",
        ),
        ("{{o.deep.c}} {{auto.ZONENAME}}", "C z"),
        (
            "{{#missing}}x{{/missing}}{{#f}}x{{/f}}{{#empty}}x{{/empty}}{{#zero}}x{{/zero}}{{#none}}x{{/none}}",
            "",
        ),
        ("{{#no_items}}x{{/no_items}}{{#o.none}}x{{/o.none}}", ""),
        (
            "{{^missing}}1{{/missing}}{{^f}}2{{/f}}{{^empty}}3{{/empty}}{{^zero}}4{{/zero}}{{^none}}5{{/none}}",
            "12345",
        ),
        ("{{^no_items}}6{{/no_items}}{{^o}}x{{/o}}{{^t}}x{{/t}}{{^list}}x{{/list}}", "6"),
        ("{{#text_false}}{{text_false}}{{/text_false}}{{#no_members}}yes{{/no_members}}", "falseyes"),
        ("{{#list}}{{name}}{{outer}}{{^last}},{{/last}}{{/list}}", "AOUT,BOUT"),
        ("{{#numbers}}<{{.}}>{{/numbers}}[{{.}}]", "<1><2><3,>[]"),
        ("{{#o}}{{b}}{{n}}{{#deep}}{{c}}{{b}}{{/deep}}{{/o}}", "11.5C1"),
        ("{{! a\nb }}{{>p}}x", "x"),
        ("{{=<% %>=}}<% n %>{{n}}<%={{ }}=%>{{n}}<%n%>", "1.5{{n}}1.5<%n%>"),
        ("{{ # t }}x{{ / t }}", "x"),
        ("{{else}}{{this}}{{@index}}{{#t}}{{else}}{{/t}}", ""),
        (r"C:\{{n}} {{!-- }} --}}", r"C:\1.5  --}}"),
        ("{x} }} {{n}}}", "{x} }} 1.5}"),
    ];
    for (template, expected) in table {
        assert_eq!(render(template, &metadata()).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn lines_with_nothing_but_silent_tags_leave_nothing() {
    let table = [
        ("a\n  {{#t}}  \nb\n{{/t}}\nc\n", "a\nb\nc\n"),
        ("a\r\n{{#t}}\r\nb\r\n{{/t}}\r\nc", "a\r\nb\r\nc"),
        ("a\n {{! c }} {{#t}}{{/t}}\nb", "a\nb"),
        ("a\n  {{>p}}\nb\n", "a\nb\n"),
        ("{{=<% %>=}}\nx", "x"),
        ("  {{#t}} x {{/t}}\n", "   x \n"),
        ("  {{empty}}\n", "  \n"),
        ("a {{#t}}\nb\n{{/t}}", "a \nb\n"),
        ("{{#t}}\n\n{{/t}}\n", "\n"),
        ("\n\n", "\n\n"),
    ];
    for (template, expected) in table {
        assert_eq!(render(template, &metadata()).as_deref(), Ok(expected), "{template:?}");
    }
}

#[test]
fn mistakes_name_line_and_tag() {
    let table = [
        ("a\n{{x", "line 2: {{x}}: the tag is not closed"),
        ("{{x}", "line 1: {{x}}}: the tag is not closed"),
        ("{{{x}} ", "line 1: {{{x}}: the tag ends with two braces"),
        ("\n{{#if t}}x{{/if}}", "line 2: {{/if}}: the open section is {{#if t}} of line 2"),
        ("\n\n{{^a}}", "line 3: {{^a}}: the section is not closed"),
        ("{{#a}}\n{{#b}}\n{{/a}}{{/b}}", "line 3: {{/a}}: the open section is {{#b}} of line 2"),
        ("{{/a}}", "line 1: {{/a}}: no section is open"),
        ("{{! two\nlines }}\n{{none}}", "line 3: {{none}}: the value is null"),
        ("{{{o.none}}}", "line 1: {{o.none}}: the value is null"),
        ("{{=x=}}", "line 1: {{=x=}}: two delimiters are needed"),
        ("{{=<% %>}}", "line 1: {{=}}: the change of delimiters is not closed"),
        ("{{<p}}{{/p}}", "line 1: {{<p}}: inheritance is not supported"),
    ];
    for (template, expected) in table {
        let error = render(template, &metadata()).unwrap_err();
        assert_eq!(error, expected, "{template:?}");
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let deep = format!("{}{}", "{{#t}}".repeat(65), "{{/t}}".repeat(65));
    assert!(render(&deep, &metadata()).unwrap_err().ends_with("nested at most 64 deep"));
    assert!(render(&"x".repeat(super::MAX_TEMPLATE + 1), &metadata()).is_err());
    // Eight nested sections over the same ten items.
    let wide = json!({"a": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]});
    let template = format!("{}{}{}", "{{#a}}".repeat(8), "{{n}}", "{{/a}}".repeat(8));
    assert!(render(&template, &wide).unwrap_err().ends_with("the result is too large"));
    let template = format!("{{{{#a}}}}{}{{{{/a}}}}", "x".repeat(950_000));
    let error = render(&template, &wide).err();
    assert_eq!(error.as_deref(), Some("line 1: {{a}}: the result is too large"));
}

#[test]
fn values_within_json_strings_can_be_made_safe() {
    let metadata = json!({"pw": "a\"b\\c\nd", "plain": "x", "map": {"k": "\""}, "flag": true});
    let template = r#"{"pw": "<{{{pw}}}>\"", "again": "\\{{{plain}}}", "map": {{{map}}}, "inside": "{{{map}}}", "f": {{flag}}}"#;
    let rendered =
        Template::parse(template).unwrap().render(metadata.as_object().unwrap(), Values::JsonSafe).unwrap();
    let value: Value = serde_json::from_str(&rendered.text).unwrap();
    let expected = json!({
        "pw": "<a\"b\\c\nd>\"", "again": "\\x", "map": {"k": "\""}, "inside": r#"{"k":"\""}"#, "f": true
    });
    assert_eq!(value, expected);
    assert_eq!(rendered.escaped, ["pw", "map"]);
}
