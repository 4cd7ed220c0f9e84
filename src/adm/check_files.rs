// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::client::run;
use super::{print_json, told};
use crate::config::Config;
use crate::console;
use crate::images::{self, BadFile, CheckOptions, CheckReport, Orphan, Step};
use crate::manifest::{Stor, Uuid};
use crate::telemetry::{Metrics, StaticLabels};

/// The exit status if the check did not finish.
pub(super) const INCOMPLETE: u8 = 255;

const HOUR: Duration = Duration::from_secs(3600);

/// Compare stored files with the manifests, and look for files that no image has.
///
/// The command compares size and digests, and checks whether files can be decompressed. The service may run meanwhile. The exit
/// status is the number of bad files, up to 254, or 255 if the command could not check all files.
#[derive(Debug, Args)]
pub(super) struct CheckFiles {
    /// Check these images only. Without UUIDs the command checks all images, and looks for files that no image has.
    uuids: Vec<Uuid>,
    /// Check files again that an earlier run has found to be good.
    #[arg(short, long)]
    force: bool,
    /// Check images from Docker registries of version 2 only: their tag docker:id begins with sha256:.
    #[arg(short, long)]
    docker_v2: bool,
    /// Check existence and size only.
    #[arg(short, long)]
    simple: bool,
    /// Move local files that no image has to the directory orphans. This deletes nothing, and changes nothing else.
    #[arg(long)]
    fix: bool,
    /// Ignore files that no image has if they are younger than this: their image may be about to be stored.
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    orphan_hours: u32,
    /// Print JSON.
    #[arg(short, long)]
    json: bool,
}

/// Checks the files and reports problems. With `is_verbose` it lists the checked files on standard error.
pub(super) fn check(config: &Config, options: &CheckFiles, is_verbose: bool) -> Result<ExitCode, String> {
    let report = look(config, options, is_verbose)?;
    if options.json {
        print_json(&serde_json::to_value(&report).map_err(|error| error.to_string())?)?;
    } else {
        console::print(text(&report))?;
    }
    Ok(ExitCode::from(u8::try_from(report.bad.len()).unwrap_or(u8::MAX).min(INCOMPLETE - 1)))
}

fn look(config: &Config, options: &CheckFiles, is_verbose: bool) -> Result<CheckReport, String> {
    let metrics = Metrics::new(&StaticLabels::default()).map_err(|error| told(&error))?;
    let options = CheckOptions {
        uuids: options.uuids.clone(),
        force: options.force,
        docker_v2: options.docker_v2,
        simple: options.simple,
        fix: options.fix,
        orphan_age: HOUR * options.orphan_hours,
    };
    // The bar is hidden if standard error is not a terminal.
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes}, {eta} left, {msg}") {
        bar.set_style(style);
    }
    let tell = |step: Step<'_>| match step {
        Step::Begin(_, bytes) => bar.set_length(bytes),
        Step::File(name) if is_verbose => bar.suspend(|| console::complain(name)),
        Step::File(name) => bar.set_message(name.to_owned()),
        Step::Bytes(bytes) => bar.inc(bytes),
    };
    let report = run(images::check_files(config, Arc::new(metrics), &options, &tell))?;
    bar.finish_and_clear();
    report.map_err(|error| told(&error))
}

/// Formats the report as blocks of labelled lines, which operators know from 4.13.1 and from fault management.
fn text(report: &CheckReport) -> String {
    let mut text: String = report.bad.iter().map(bad).chain(report.orphans.iter().map(orphan)).collect();
    for record in &report.invalid {
        text.push_str(&block(&[("Record", record.clone()), ("State", "cannot be used".to_owned())]));
    }
    text.push_str(&format!(
        "{} images, {} files looked at, {} good before, {} bad, {} without an image\n",
        report.images,
        report.files,
        report.skipped,
        report.bad.len(),
        report.orphans.len()
    ));
    text
}

fn bad(file: &BadFile) -> String {
    let plain = |text: &str| text.replace(char::is_control, " ");
    let mut lines = vec![
        ("Image", format!("{} ({} {})", file.uuid, plain(&file.name), plain(&file.version))),
        ("File", format!("{} in {}", plain(&file.file), file.storage)),
        ("State", "image file corruption".to_owned()),
        ("Reason", format!("{}: {}", file.problem, plain(&file.reason))),
    ];
    let impact = match file.dependents.len() {
        0 => "the image cannot be installed".to_owned(),
        count => format!("neither the image nor {count} made from it can be installed"),
    };
    lines.push(("Impact", impact));
    lines.push(("Fix", "store the right file again; or delete, in this order:".to_owned()));
    let deleted = file.dependents.iter().chain([&file.uuid]);
    lines.extend(deleted.map(|uuid| ("", format!("sdc-imgadm delete {uuid}"))));
    block(&lines)
}

fn orphan(orphan: &Orphan) -> String {
    let plain = |text: &str| text.replace(char::is_control, " ");
    let directory = orphan.uuid.map_or(String::new(), |uuid| format!("{uuid}/"));
    let mut lines = vec![
        ("File", format!("{directory}{} in {}", plain(&orphan.file), orphan.storage)),
        ("State", "file without an image".to_owned()),
        ("Reason", orphan.problem.to_string()),
    ];
    lines.push((
        "Fix",
        match (&orphan.moved, orphan.storage, orphan.uuid) {
            (Some(path), ..) => format!("moved to {path} below the local base directory"),
            (None, Stor::Local, Some(_)) if !orphan.is_file => {
                "it is no regular file: remove it if nothing needs it".to_owned()
            }
            (None, Stor::Local, Some(_)) => "check-files --fix moves it to orphans".to_owned(),
            _ => "remove it if nothing needs it".to_owned(),
        },
    ));
    block(&lines)
}

fn block(lines: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (label, value) in lines {
        let label = if label.is_empty() { String::new() } else { format!("{label}:") };
        text.push_str(format!("{label:>8} {value}").trim_end());
        text.push('\n');
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::Problem;

    const A: &str = "c58161c0-2547-11e2-a75e-9fdca1940570";
    const B: &str = "da58c25a-2547-11e2-9b8d-136daa650e8a";

    #[test]
    fn a_report_has_a_block_for_each_file() {
        let file = BadFile {
            uuid: A.parse().unwrap(),
            name: "base\u{1b}".into(),
            version: "1.0".into(),
            file: "file0".into(),
            storage: Stor::Local,
            problem: Problem::OtherSize,
            reason: "it has 3 bytes".into(),
            dependents: vec![B.parse().unwrap()],
        };
        let orphan = Orphan {
            uuid: None,
            file: "x".into(),
            storage: Stor::Manta,
            problem: Problem::Foreign,
            moved: None,
            is_file: true,
        };
        let report = CheckReport {
            images: 2,
            files: 2,
            bad: vec![file],
            orphans: vec![orphan],
            ..CheckReport::default()
        };
        let expected = format!(
            "  Image: {A} (base  1.0)
   File: file0 in local
  State: image file corruption
 Reason: other-size: it has 3 bytes
 Impact: neither the image nor 1 made from it can be installed
    Fix: store the right file again; or delete, in this order:
         sdc-imgadm delete {B}
         sdc-imgadm delete {A}

   File: x in manta
  State: file without an image
 Reason: foreign
    Fix: remove it if nothing needs it

2 images, 2 files looked at, 0 good before, 1 bad, 1 without an image
"
        );
        assert_eq!(text(&report), expected);
    }
}
