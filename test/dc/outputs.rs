// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Commands whose output cannot be written.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::support::{TestApp, tests};

tests! {
    a_full_disk_is_an_error,
    a_reader_who_has_gone_ends_a_command_quietly,
    a_reader_who_goes_ends_a_command_quietly,
    a_closed_output_is_no_crash,
    errors_that_cannot_be_told_are_no_crash,
    a_dump_is_written_to_what_is_there,
}

const SIGPIPE: i32 = 13;

/// Returns every command that prints something, with the exit status of its failure.
fn commands(app: &TestApp) -> Vec<(Vec<String>, i32)> {
    let config = app.dc.config_file().to_str().unwrap();
    let adm = |words: &[&'static str]| [&["adm", "-f", config], words].concat();
    let commands: [(Vec<&str>, i32); 13] = [
        (vec!["--help"], 1),
        (vec!["--version"], 1),
        (vec!["adm", "--help"], 1),
        (vec!["config", "-f", config], 1),
        (vec!["config", "-f", config, "port"], 1),
        (vec!["hash-password"], 1),
        (adm(&["workers"]), 1),
        (adm(&["workers", "--json"]), 1),
        (adm(&["status"]), 1),
        (adm(&["change-stor", "local", "--all", "--dry-run"]), 1),
        (adm(&["dump"]), 1),
        (adm(&["load", "--dry-run", "-"]), 1),
        (adm(&["check-files", "--simple"]), 255),
    ];
    let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
    commands.into_iter().map(|(words, status)| (owned(words), status)).collect()
}

fn command(words: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgapi"));
    command.args(words);
    command
}

/// Runs a command to its end. Its standard input contains a password or a record, for the commands that read one.
async fn run(mut command: Command, words: &[String], stdout: impl Into<Stdio>) -> Output {
    let input = if words.iter().any(|word| word == "load") { "{}\n" } else { "a password\n" };
    command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped());
    let run = move || {
        let mut child = command.spawn().unwrap();
        // A command that does not read its input may have ended.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

async fn a_full_disk_is_an_error(app: &TestApp) {
    for (words, status) in commands(app) {
        let output = run(command(&words), &words, full()).await;
        assert_eq!(output.status.code(), Some(status), "{words:?}: {output:?}");
        assert!(
            told(&output).contains("cannot write to standard output: No space left"),
            "{words:?}: {output:?}"
        );
    }
}

async fn a_reader_who_has_gone_ends_a_command_quietly(app: &TestApp) {
    for (words, _) in commands(app) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = run(command(&words), &words, writer).await;
        assert_eq!(output.status.signal(), Some(SIGPIPE), "{words:?}: {output:?}");
        assert_eq!(told(&output), "", "{words:?}");
    }
}

async fn a_reader_who_goes_ends_a_command_quietly(app: &TestApp) {
    // The output is longer than a pipe can hold.
    let long = "x".repeat(60_000);
    for _ in 0..4 {
        app.luke().has_image(json!({"tags": {"long": long}})).await;
    }
    let words = ["adm", "-f", app.dc.config_file().to_str().unwrap(), "dump"].map(str::to_owned);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let reading = tokio::task::spawn_blocking(move || reader.read_exact(&mut [0; 100]).unwrap());
    let output = run(command(&words), &words, writer).await;
    reading.await.unwrap();
    assert_eq!((output.status.signal(), told(&output)), (Some(SIGPIPE), String::new()));
}

async fn a_closed_output_is_no_crash(app: &TestApp) {
    for (words, _) in commands(app) {
        let program = command(&words);
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"exec "$0" "$@" >&-"#]).arg(program.get_program()).args(program.get_args());
        let output = run(shell, &words, Stdio::null()).await;
        assert!(output.status.code().is_some_and(|code| code != 101), "{words:?}: {output:?}");
        assert!(!told(&output).contains("panicked"), "{words:?}: {output:?}");
    }
}

async fn errors_that_cannot_be_told_are_no_crash(app: &TestApp) {
    let config = app.dc.config_file().to_str().unwrap();
    for (words, status) in [
        (vec!["dance"], 2),
        (vec!["config", "-f", "/nowhere"], 1),
        (vec!["adm", "-f", config, "--url", "http://127.0.0.1:1", "workers"], 1),
        (vec!["adm", "-f", config, "load", "/nowhere"], 1),
        (vec!["config-agent", "-f", "/nowhere"], 1),
    ] {
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let mut command = command(&words);
        command.stdout(Stdio::null()).stderr(full());
        let ended = tokio::task::spawn_blocking(move || command.status().unwrap()).await.unwrap();
        assert_eq!(ended.code(), Some(status), "{words:?}");
    }
}

async fn a_dump_is_written_to_what_is_there(app: &TestApp) {
    let dump = async |path: &str, stdout: Stdio| {
        let words =
            ["adm", "-f", app.dc.config_file().to_str().unwrap(), "dump", "-o", path].map(str::to_owned);
        let output = run(command(&words), &words, stdout).await;
        assert!(output.status.success(), "{path}: {output:?}");
        output
    };
    let records = |bytes: &[u8]| {
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect::<Vec<Value>>().len()
    };
    let printed = dump("/dev/stdout", Stdio::piped()).await;
    assert!(records(&printed.stdout) > 0);
    // What other programs wrote to the same file stays.
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    std::fs::write(&log, "{}\n").unwrap();
    dump("/dev/stdout", OpenOptions::new().append(true).open(&log).unwrap().into()).await;
    assert!(records(&std::fs::read(&log).unwrap()) > 1);
    dump("/dev/null", Stdio::null()).await;
    // A dump that was killed has left one file, and another dump is still writing the other.
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    let leftover = |name: &str| {
        let path = directory.path().join(name);
        let file = std::fs::File::create(&path).unwrap();
        file.set_modified(long_ago).unwrap();
        (path, file)
    };
    let (left, _) = leftover(".all.unfinished-a");
    let (written, file) = leftover(".all.unfinished-b");
    file.lock().unwrap();
    let (other, _) = leftover(".others.unfinished-a");
    dump(directory.path().join("all").to_str().unwrap(), Stdio::null()).await;
    assert_eq!([left, written, other].map(|path| path.exists()), [false, true, true]);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 4);
    for device in ["/dev/null", "/dev/stdout"] {
        assert!(!std::fs::symlink_metadata(device).unwrap().is_file(), "{device}");
    }
}
