// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The form of JSON answers, and the other forms that a client may request.

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Answer, BASE, FATHER, LUKE, NOBODY, PROBE, TestApp, merged, small_manifest, tests};

tests! {
    a_manifest_is_printed_as_4_13_1_prints_it,
    an_access_list_of_one_text_is_shown_as_a_list,
    texts_and_numbers_are_printed_as_javascript_prints_them,
    an_empty_list_is_two_brackets,
    an_error_is_printed_in_the_same_way,
    a_client_may_prefer_text_or_javascript,
    a_code_is_never_lost_behind_an_accept,
}

async fn a_manifest_is_printed_as_4_13_1_prints_it(app: &TestApp) {
    let expected = r#"{
  "v": 2,
  "uuid": "fee1dead-0000-4000-8000-000000000001",
  "owner": "91ba0e64-2547-11e2-a972-df579e5fddb3",
  "name": "probe2",
  "version": "2.0.0",
  "state": "disabled",
  "disabled": false,
  "public": false,
  "published_at": "2013-01-01T00:00:00.000Z",
  "type": "zone-dataset",
  "os": "linux",
  "files": [
    {
      "sha1": "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d",
      "size": 5,
      "compression": "none"
    }
  ],
  "description": "zz",
  "homepage": "http://y.com",
  "eula": "http://z.com",
  "users": [
    {
      "name": "root"
    }
  ],
  "inherited_directories": [
    "/a"
  ],
  "tags": {}
}"#;
    assert_eq!(app.luke().get_image(PROBE).await.text(), expected);
}

async fn an_access_list_of_one_text_is_shown_as_a_list(app: &TestApp) {
    let expected = r#"[
  {
    "v": 2,
    "uuid": "7a1b1967-6ecf-1e4c-8f09-f49094cc36ad",
    "owner": "86055c40-2547-11e2-8a6b-4bb37edc84ba",
    "name": "i-am-your-father",
    "version": "0.0.1",
    "state": "active",
    "disabled": false,
    "public": false,
    "published_at": "2012-11-02T22:46:45.992Z",
    "type": "zone-dataset",
    "os": "smartos",
    "files": [
      {
        "sha1": "25592745c0b06822e0a4c9e9945e67322bdfe619",
        "size": 42,
        "compression": "gzip",
        "stor": "local"
      }
    ],
    "acl": [
      "91ba0e64-2547-11e2-a972-df579e5fddb3"
    ]
  }
]"#;
    let answer = app.operator().get("/images?name=i-am-your-father&inclAdminFields=true").await;
    assert_eq!(answer.text(), expected);
    let base = app.operator().get_image(BASE).await;
    assert!(base.text().ends_with("\n  ],\n  \"urn\": \"sdc:sdc:base:1.8.1\"\n}"), "{base:?}");
}

async fn texts_and_numbers_are_printed_as_javascript_prints_them(app: &TestApp) {
    let body = r#"{"name":"n","version":"1","type":"other","os":"other","description":"é \u00fc 𝄞 \u2028 \" \\ \u0001 /",
        "tags":{"b":1.0,"10":1e21,"9":0.1,"a":{"y":[],"x":{}},"n":null},"traits":{"t":[1,true]},
        "requirements":{"min_ram":1024.0}}"#;
    let create = app.luke().call(Method::POST, "/images").header("content-type", "application/json");
    let created = create.body(body).send().await;
    let uuid = created.ok()["uuid"].as_str().unwrap().to_owned();
    let expected = format!(
        r#"{{
  "v": 2,
  "uuid": "{uuid}",
  "owner": "{LUKE}",
  "name": "n",
  "version": "1",
  "state": "unactivated",
  "disabled": false,
  "public": false,
  "type": "other",
  "os": "other",
  "files": [],
  "description": "é ü 𝄞 {} \" \\ \u0001 /",
  "requirements": {{
    "min_ram": 1024
  }},
  "tags": {{
    "9": 0.1,
    "10": 1e+21,
    "b": 1,
    "a": {{
      "y": [],
      "x": {{}}
    }},
    "n": null
  }},
  "traits": {{
    "t": [
      1,
      true
    ]
  }}
}}"#,
        '\u{2028}'
    );
    assert_eq!(created.text(), expected);
    assert_eq!(app.luke().get_image(&uuid).await.text(), expected, "what Moray kept is the same");
}

async fn an_empty_list_is_two_brackets(app: &TestApp) {
    assert_eq!(app.operator().get("/images?name=").await.text(), "[]");
}

async fn an_error_is_printed_in_the_same_way(app: &TestApp) {
    let answer = app.luke().create(&json!({"name": "$", "version": "1", "type": "other"})).await;
    let message = |at: usize| answer.json()["errors"][at]["message"].as_str().unwrap().to_owned();
    let expected = format!(
        r#"{{
  "code": "ValidationFailed",
  "message": "{}",
  "errors": [
    {{
      "field": "name",
      "code": "Invalid",
      "message": "{}"
    }},
    {{
      "field": "os",
      "code": "MissingParameter"
    }}
  ]
}}"#,
        answer.json()["message"].as_str().unwrap(),
        message(0).replace('\\', r"\\").replace('"', r#"\""#),
    );
    assert_eq!(answer.text(), expected);
    assert!(answer.json()["message"].as_str().unwrap().ends_with("name, os"), "{answer:?}");
    let not_found = app.operator().get("/nothing").await;
    let expected =
        format!("{{\n  \"code\": \"ResourceNotFound\",\n  \"message\": {}\n}}", not_found.json()["message"]);
    assert_eq!(not_found.text(), expected);
}

async fn accept(app: &TestApp, target: &str, accept: &str) -> Answer {
    app.operator().call(Method::GET, target).header("accept", accept).send().await
}

async fn a_client_may_prefer_text_or_javascript(app: &TestApp) {
    let image = format!("/images/{FATHER}");
    let compact = app.operator().get(&image).await.ok().to_string();
    for wanted in ["application/json", "*/*", "application/*", "*/json", "", "text/html, */*;q=0.1"] {
        assert_eq!(accept(app, &image, wanted).await.ok()["uuid"], FATHER, "{wanted}");
    }
    let text = accept(app, &image, "text/plain").await;
    assert_eq!(
        (text.status, text.header("content-type"), text.text()),
        (200, Some("text/plain"), compact.as_str())
    );
    let script = accept(app, &image, "application/javascript").await;
    assert_eq!(
        (script.header("content-type"), script.text()),
        (Some("application/javascript"), compact.as_str())
    );
    for name in ["callback", "jsonp"] {
        let called = accept(app, &format!("{image}?{name}=show"), "application/javascript").await;
        assert!(called.text().contains("show(") && called.text().contains(&compact), "{called:?}");
    }
    let injected = accept(app, &format!("{image}?callback=alert(1)//"), "application/javascript").await;
    assert_eq!(injected.text(), compact);
    // The text form of an error is its message.
    let unknown = format!("/images/{NOBODY}");
    let error = accept(app, &unknown, "text/plain").await;
    assert_eq!(error.status, 404);
    assert_eq!(error.text(), app.operator().get(&unknown).await.json()["message"]);
}

async fn a_code_is_never_lost_behind_an_accept(app: &TestApp) {
    for unacceptable in
        ["application/xml", "text/html", "application/octet-stream", "image/*", "application/json;q=0"]
    {
        accept(app, &format!("/images/{NOBODY}"), unacceptable).await.not_found();
        accept(app, "/images?state=x", unacceptable).await.refused(422, "InvalidParameter");
        accept(app, "/ping", unacceptable).await.refused(406, "NotAcceptable");
    }
    // Files and deletions are not negotiated.
    let uuid = app.luke().has_active_image(json!({})).await;
    let file = accept(app, &format!("/images/{uuid}/file"), "application/xml").await;
    assert_eq!((file.status, file.text()), (200, "file"));
    let delete =
        app.luke().call(Method::DELETE, &format!("/images/{uuid}")).header("accept", "application/xml");
    delete.send().await.gone();
    // If the answer to a creation cannot be shown, the image is created nevertheless, as in other cases. The code says so.
    let body: Value = merged(small_manifest(), json!({"name": "unseen"}));
    let create = app.luke().call(Method::POST, "/images").json(&body).header("accept", "application/xml");
    create.send().await.refused(406, "NotAcceptable");
}
