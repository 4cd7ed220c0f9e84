// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use super::report::{PartReport, Report, StreamReport};

/// Formats a report as labelled lines. Control characters are replaced, because a terminal would obey them.
pub(super) fn format(name: &str, report: &Report) -> String {
    let contents = match report.contents {
        "zfs-stream" => "ZFS stream",
        "tar" => "tar archive",
        "html" => "HTML page",
        "empty" => "nothing",
        _ => "unknown, no ZFS stream",
    };
    let mut lines = vec![
        ("File", name.to_owned()),
        ("Compression", report.compression.to_owned()),
        ("Size", format!("{} bytes", report.size)),
        ("Uncompressed", format!("{} bytes", report.uncompressed_size)),
        ("Contents", contents.to_owned()),
    ];
    if let Some(stream) = &report.stream {
        lines.extend(stream_lines(stream));
    }
    lines.extend(report.warnings.iter().map(|warning| ("Warning", warning.clone())));
    if report.damaged {
        lines.extend(report.damage.iter().map(|damage| ("Damaged", damage.clone())));
    }
    let plain = |text: &str| text.replace(char::is_control, " ");
    lines.iter().map(|(label, value)| format!("{label:<14}{}\n", plain(value))).collect()
}

fn stream_lines(stream: &StreamReport) -> Vec<(&'static str, String)> {
    let mut lines: Vec<_> = stream.parts.iter().flat_map(part_lines).collect();
    let unlisted = stream.part_count.saturating_sub(stream.parts.len() as u64);
    if unlisted > 0 {
        lines.push(("Snapshot", format!("and {unlisted} more")));
    }
    let names = stream.features.iter().map(|name| (*name).to_owned());
    let features: Vec<String> = names.chain(stream.unknown_features.clone()).collect();
    let records: Vec<String> = stream.records.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let sums = if stream.sums_right { "right" } else { "not all right, see below" };
    lines.extend([
        ("Features", if features.is_empty() { "none".to_owned() } else { features.join(", ") }),
        ("Byte order", stream.byte_order.to_owned()),
        ("Records", records.join(", ")),
        ("Sums", sums.to_owned()),
    ]);
    lines
}

fn part_lines(part: &PartReport) -> Vec<(&'static str, String)> {
    let kind = match part.kind.as_str() {
        "zfs" => "file system".to_owned(),
        "zvol" => "volume (zvol)".to_owned(),
        other => format!("dataset of type {other}"),
    };
    let origin = match &part.from_guid {
        Some(guid) => format!("{guid} (the stream is incremental on this snapshot)"),
        None => "none (the stream is full)".to_owned(),
    };
    let created = part.created.as_ref().map(|time| ("Created", time.clone()));
    let lines = [
        ("Snapshot", part.snapshot.clone()),
        ("Type", kind),
        ("Dataset GUID", part.guid.clone()),
        ("Origin GUID", origin),
        ("Data", format!("{} bytes", part.data_size)),
    ];
    lines.into_iter().chain(created).collect()
}
