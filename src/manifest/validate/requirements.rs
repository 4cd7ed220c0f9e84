// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Checks of `requirements`: what a machine must offer to run the image.

use serde_json::{Map, Value};

use super::Subject;
use super::lists::has_exactly;
use crate::manifest::{FieldError, coerce};

/// The supported requirements.
const KNOWN: &[&str] =
    &["networks", "brand", "ssh_key", "min_ram", "max_ram", "min_platform", "max_platform", "bootrom"];

pub(super) fn requirements(_: &Subject<'_>, value: &Value, problems: &mut Vec<FieldError>) {
    match value {
        Value::Object(requirements) => check(requirements, problems),
        // 4.13.1 looks at the members of any value. The members of an array or a string are numbered. It is enough to
        // report one of them.
        Value::Array(items) if !items.is_empty() => problems.push(unsupported("0")),
        Value::String(text) if !text.is_empty() => problems.push(unsupported("0")),
        Value::Null => problems.push(FieldError::invalid("requirements").because("not an object")),
        _ => {}
    }
}

fn check(requirements: &Map<String, Value>, problems: &mut Vec<FieldError>) {
    let given = |name: &str| requirements.get(name).filter(|value| coerce::truthy(value));
    if let Some(networks) = given("networks") {
        check_networks(networks, problems);
    }
    if given("brand").is_some_and(|brand| !brand.is_string()) {
        problems.push(invalid("brand", "not a string"));
    }
    if given("ssh_key").is_some_and(|ssh_key| !ssh_key.is_boolean()) {
        problems.push(invalid("ssh_key", "not a boolean"));
    }
    check_ram(given("min_ram"), given("max_ram"), problems);
    for name in ["min_platform", "max_platform"] {
        if let Some(platforms) = given(name) {
            check_platforms(name, platforms, problems);
        }
    }
    if let Some(bootrom) = given("bootrom") {
        check_bootrom(bootrom, given("brand"), problems);
    }
    let unknown = requirements.keys().filter(|name| !KNOWN.contains(&name.as_str()));
    problems.extend(unknown.map(|name| unsupported(name)));
}

/// Returns the problem with an unknown requirement. It is reported under its bare name.
fn unsupported(name: &str) -> FieldError {
    FieldError::invalid(name).because("unsupported requirement")
}

fn invalid(name: &str, message: impl Into<String>) -> FieldError {
    FieldError::invalid(format!("requirements.{name}")).because(message)
}

fn check_networks(networks: &Value, problems: &mut Vec<FieldError>) {
    let Some(networks) = networks.as_array() else {
        problems.push(invalid("networks", "not an array"));
        return;
    };
    for (index, network) in networks.iter().enumerate() {
        if !has_exactly(network, &["name", "description"]) {
            let message = format!("item {index} must have \"name\" and \"description\" and nothing else");
            problems.push(invalid("networks", message));
        }
    }
}

fn check_ram(min: Option<&Value>, max: Option<&Value>, problems: &mut Vec<FieldError>) {
    let mebibytes = |value: &Value| value.as_f64().and_then(coerce::whole);
    if min.is_some_and(|min| mebibytes(min).is_none()) {
        problems.push(invalid("min_ram", "not an integer"));
    }
    if max.is_some_and(|max| mebibytes(max).is_none()) {
        problems.push(invalid("max_ram", "not an integer"));
    }
    if let (Some(min), Some(max)) = (min.and_then(mebibytes), max.and_then(mebibytes))
        && min > max
    {
        problems.push(invalid("max_ram", "less than min_ram"));
    }
}

fn check_platforms(name: &str, platforms: &Value, problems: &mut Vec<FieldError>) {
    let stamps: Vec<(String, &Value)> = match platforms {
        Value::Object(stamps) => stamps.iter().map(|(version, stamp)| (version.clone(), stamp)).collect(),
        Value::Array(stamps) => stamps.iter().enumerate().map(|(i, stamp)| (i.to_string(), stamp)).collect(),
        _ => Vec::new(),
    };
    if stamps.is_empty() {
        problems.push(invalid(name, "not an object of SDC version to platform stamp"));
    }
    for (version, stamp) in stamps {
        if !stamp.as_str().is_some_and(is_platform_stamp) {
            let message = format!("the stamp of \"{version}\" is not of the form YYYYMMDDTHHMMSSZ");
            problems.push(invalid(name, message));
        }
    }
}

/// Checks a stamp such as `20121218T203452Z`: limits for every part, but no calendar.
///
/// A part that is not a number passes. 4.13.1 compares it with its limits, and both comparisons are false; records with
/// such a stamp must stay readable.
fn is_platform_stamp(stamp: &str) -> bool {
    let parts: Option<Vec<&str>> = [0..4, 4..6, 6..8, 8..9, 9..11, 11..13, 13..15, 15..16]
        .into_iter()
        .map(|range| stamp.get(range))
        .collect();
    let Some([year, month, day, t, hour, minute, second, z]) = parts.as_deref() else {
        return false;
    };
    let within = |part: &str, low: u32, high: u32| part.parse().is_ok_and(|n: u32| (low..=high).contains(&n));
    let passes = |part: &str, low, high| within(part, low, high) || part.parse::<u32>().is_err();
    stamp.len() == 16
        && *t == "T"
        && *z == "Z"
        && passes(year, 2012, 9999)
        && passes(month, 1, 12)
        && passes(day, 1, 31)
        && passes(hour, 0, 23)
        && passes(minute, 0, 59)
        && passes(second, 0, 59)
}

fn check_bootrom(bootrom: &Value, brand: Option<&Value>, problems: &mut Vec<FieldError>) {
    let needs_bhyve = "needs the requirement \"brand\" to be bhyve";
    let known = matches!(bootrom.as_str(), Some("bios" | "uefi"));
    match brand.map(|brand| brand.as_str() == Some("bhyve")) {
        None => problems.push(FieldError::missing("requirements.bootrom").because(needs_bhyve)),
        Some(false) => problems.push(invalid("bootrom", needs_bhyve)),
        Some(true) if !known => problems.push(invalid("bootrom", "must be one of bios, uefi")),
        Some(true) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::FieldCode;
    use serde_json::json;

    fn problems(requirements: &Value) -> Vec<(String, FieldCode)> {
        let mut problems = Vec::new();
        match requirements {
            Value::Object(members) => check(members, &mut problems),
            _ => unreachable!("tests give objects"),
        }
        problems.into_iter().map(|problem| (problem.field, problem.code)).collect()
    }

    fn fields(requirements: &Value) -> Vec<String> {
        problems(requirements).into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn good_requirements_pass() {
        let good = json!({
            "networks": [{"name": "net0", "description": "public"}],
            "brand": "bhyve", "ssh_key": true, "min_ram": 256, "max_ram": 256.0, "bootrom": "uefi",
            "min_platform": {"7.0": "20130308T102805Z"}, "max_platform": {"7.0": "20991231T235959Z"},
        });
        assert_eq!(fields(&good), Vec::<String>::new());
    }

    #[test]
    fn falsy_values_of_known_names_are_not_looked_at() {
        let falsy = json!({"networks": 0, "brand": "", "ssh_key": null, "min_ram": false, "bootrom": ""});
        assert_eq!(fields(&falsy), Vec::<String>::new());
    }

    #[test]
    fn every_bad_requirement_is_named_and_unknown_ones_come_last() {
        let bad = json!({
            "colour": "blue", "networks": [{"name": "a"}, {"name": "a", "description": "b", "x": 1}],
            "brand": 1, "ssh_key": "true", "min_ram": 1.5, "max_ram": "2",
            "min_platform": {"7.0": "2013"}, "max_platform": {}, "name": true,
        });
        assert_eq!(
            fields(&bad),
            [
                "requirements.networks",
                "requirements.networks",
                "requirements.brand",
                "requirements.ssh_key",
                "requirements.min_ram",
                "requirements.max_ram",
                "requirements.min_platform",
                "requirements.max_platform",
                "colour",
                "name"
            ]
        );
        assert_eq!(fields(&json!({"min_ram": 2, "max_ram": 1})), ["requirements.max_ram"]);
    }

    #[test]
    fn bootrom_needs_the_brand_bhyve() {
        let field = || "requirements.bootrom".to_owned();
        assert_eq!(problems(&json!({"bootrom": "bios"})), [(field(), FieldCode::MissingParameter)]);
        assert_eq!(problems(&json!({"bootrom": "bios", "brand": "kvm"})), [(field(), FieldCode::Invalid)]);
        assert_eq!(problems(&json!({"bootrom": "grub", "brand": "bhyve"})), [(field(), FieldCode::Invalid)]);
    }

    #[test]
    fn platform_stamps_have_sixteen_characters_within_limits() {
        for good in ["20120101T000000Z", "20131231T235959Z", "2xxx0131T000000Z", "20130230T000000Z"] {
            assert!(is_platform_stamp(good), "{good}");
        }
        for bad in [
            "20111231T000000Z",
            "20131331T000000Z",
            "20130032T000000Z",
            "20130101T240000Z",
            "20130101T006000Z",
            "20130101T000060Z",
            "20130101 000000Z",
            "20130101T000000",
            "20130101T000000ZZ",
            "2013010éT00000Z",
            "",
        ] {
            assert!(!is_platform_stamp(bad), "{bad}");
        }
    }
}
