// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::time::Duration;

use coal::Datacenter;
use coal::datacenter::DatacenterBuilder;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Key, Request};

pub(crate) const VADER: &str = "86055c40-2547-11e2-8a6b-4bb37edc84ba";
pub(crate) const LUKE: &str = "91ba0e64-2547-11e2-a972-df579e5fddb3";
pub(crate) const EMPEROR: &str = "a0b6b534-2547-11e2-b758-63a2afd747d1";

/// Time limit of any operation.
const DEADLINE: Duration = Duration::from_secs(60);

/// An IMGAPI in one of its modes, with backends of its own.
pub(crate) struct Server {
    pub(crate) dc: Datacenter,
    pub(crate) http: reqwest::Client,
    mode: &'static str,
}

impl Server {
    /// Starts a server. In a datacenter callers are not authenticated. In the other modes they sign requests, and the user `user`
    /// has the key [`Key::KNOWN`].
    pub(crate) async fn start(mode: &'static str) -> Server {
        if mode == "dc" {
            return Server::start_with(mode, &[]).await;
        }
        let keys = json!({"user": [Key::KNOWN.public()]});
        let channels = json!([
            {"name": "a", "description": "the first", "default": true},
            {"name": "b", "description": "the second"},
        ]);
        let auth = ("authType", json!("signature"));
        Server::start_with(mode, &[auth, ("authKeys", keys), ("channels", channels)]).await
    }

    /// Starts a server with these keys of the configuration.
    pub(crate) async fn start_with(mode: &'static str, config: &[(&str, Value)]) -> Server {
        Server::start_on(mode, config, |dc| dc).await
    }

    /// Starts a server on a datacenter that `change` prepares.
    pub(crate) async fn start_on(
        mode: &'static str,
        config: &[(&str, Value)],
        change: impl FnOnce(DatacenterBuilder) -> DatacenterBuilder,
    ) -> Server {
        let mut builder = change(
            Datacenter::builder()
                .services(false)
                .imgapi(env!("CARGO_BIN_EXE_imgapi"))
                .imgapi_config("mode", mode),
        );
        for (key, value) in config {
            builder = builder.imgapi_config(*key, value.clone());
        }
        let dc = builder.start().await.unwrap();
        let http = reqwest::Client::builder().no_proxy().timeout(DEADLINE);
        let http = http.redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Server { dc, http, mode }
    }

    /// Stops the server, and checks that it did not crash before.
    pub(crate) async fn stop(self) {
        assert!(self.dc.stop_imgapi().await.unwrap().success());
        self.dc.stop().await;
    }

    pub(crate) fn request(&self, method: Method, target: &str) -> Request<'_> {
        Request::new(self, method, target)
    }

    pub(crate) fn get(&self, target: &str) -> Request<'_> {
        self.request(Method::GET, target)
    }

    /// Returns whether all images of this server are public.
    pub(crate) fn is_public(&self) -> bool {
        self.mode == "public"
    }

    /// Creates an image of vader's, shared with the emperor. `kind` is one of the kinds in the table.
    pub(crate) async fn has_image(&self, kind: &str) -> String {
        let manifest = json!({"name": kind, "version": "1.0.0", "type": "zone-dataset", "os": "smartos",
            "public": self.is_public(), "acl": [EMPEROR]});
        let image = self.as_vader(Method::POST, "/images").body(manifest.to_string()).send().await;
        let uuid = image.json()["uuid"].as_str().unwrap().to_owned();
        let steps: &[&str] = match kind {
            "draft" => &[],
            "filed" => &["file"],
            "active" => &["file", "activate"],
            "disabled" => &["file", "activate", "disable"],
            "icon" => &["file", "activate", "icon"],
            "disabled-icon" => &["file", "activate", "icon", "disable"],
            other => panic!("{other} is no kind of image"),
        };
        for step in steps {
            let request = match *step {
                "file" => {
                    self.as_vader(Method::PUT, &format!("/images/{uuid}/file?compression=none")).body("file")
                }
                "icon" => self.as_vader(Method::PUT, &format!("/images/{uuid}/icon")).body("icon"),
                action => self.as_vader(Method::POST, &format!("/images/{uuid}?action={action}")),
            };
            request.send().await.json();
        }
        uuid
    }

    fn as_vader(&self, method: Method, target: &str) -> Request<'_> {
        let join = if target.contains('?') { '&' } else { '?' };
        self.request(method, &format!("{target}{join}account={VADER}")).signed_with(Key::KNOWN)
    }
}
