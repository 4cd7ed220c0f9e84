// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `imgapi adm` with a service that has users.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::support::{Key, Server};

/// Runs `imgapi adm workers` with these options and this standard input.
fn workers(server: &Server, options: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgapi"));
    command.args(["adm", "-f"]).arg(server.dc.config_file()).args(options).arg("workers");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The command may already have ended because of another error.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn assert_listed(output: &Output) {
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("sweep"), "{output:?}");
}

fn assert_refused(output: &Output, message: &str) {
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains(message), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_signs() {
    let server = Server::start("private").await;
    let (known, unknown) = (Key::KNOWN.path(), Key::UNKNOWN.path());
    let signed = |user: &str, identity: &Path| {
        workers(&server, &["--user", user, "--identity", identity.to_str().unwrap()], "")
    };
    assert_listed(&signed("user", &known));
    assert_refused(&signed("user", &unknown), "error (UnauthorizedError)");
    assert_refused(&signed("stranger", &known), "error (UnauthorizedError)");
    assert_refused(&signed("user", Path::new("nothing")), "nothing: ");
    assert_refused(&workers(&server, &["--user", "user"], ""), "--identity is needed");
    assert_refused(&workers(&server, &[], ""), "--user is needed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_has_a_password() {
    let userdb = json!([{"name": "user", "password": crate::basic::hash_of("s3cret:with:colons")}]);
    let server = Server::start_with("private", &[("authType", json!("basic")), ("userdb", userdb)]).await;
    assert_listed(&workers(&server, &["--user", "user"], "s3cret:with:colons\n"));
    let refused = workers(&server, &["--user", "user"], "wr0ng\n");
    assert_refused(&refused, "error (UnauthorizedError)");
    assert!(!String::from_utf8_lossy(&refused.stderr).contains("wr0ng"));
    server.stop().await;
}
