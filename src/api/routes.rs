// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The route table: for each method of each path its handler, who may call it, and its name in metrics and audit records.

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, on};

use super::{
    AppState, acl, actions, channels, clone, docs, fetch, files, icons, images, jobs, ping, push, redirect,
    reload, state,
};
use crate::auth::AuthRequirement;
use crate::config::Config;
use crate::manifest::Mode;

/// One row of the table.
#[derive(Debug, Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{uuid}` for the UUID of an image.
    pub path: &'static str,
    /// The name in metrics and audit records.
    pub name: &'static str,
    /// Who may call it.
    pub requirement: AuthRequirement,
}

/// Returns every route of a server with this configuration, for documentation and tests.
pub fn mounted(config: &Config) -> Vec<Route> {
    routes(config).rows
}

/// Every mounted route, in the order of the documentation.
#[derive(Debug, Default)]
pub(super) struct Routes {
    rows: Vec<Route>,
    router: Router<AppState>,
}

/// Returns the table of a server. The names are those of 4.13.1, because dashboards and log queries use them.
pub(super) fn routes(config: &Config) -> Routes {
    use AuthRequirement::{None, Passive, Strict};
    Routes::default()
        .add(Method::GET, "/ping", "ping", Passive, ping::ping)
        .add(Method::GET, "/state", "admingetstate", Strict, state::get_state)
        .add(Method::POST, "/state", "adminupdatestate", Strict, state::update_state)
        .add_if(!config.channels.is_empty(), |routes| {
            routes.add(Method::GET, "/channels", "listchannels", Passive, channels::list_channels)
        })
        .add(Method::GET, "/images", "listimages", Passive, images::list_images)
        .add(Method::GET, "/images/{uuid}", "getimage", Passive, images::get_image)
        .add(Method::POST, "/images", "createimage", Strict, images::create_image)
        .add(Method::PUT, "/images/{uuid}/file", "addimagefile", Strict, files::add_image_file)
        .add(
            Method::POST,
            "/images/{uuid}/file/from-url",
            "addimagefilefromurl",
            Strict,
            fetch::add_image_file_from_url,
        )
        .add(Method::GET, "/images/{uuid}/file", "getimagefile", Passive, files::get_image_file)
        .add(Method::HEAD, "/images/{uuid}/file", "getimagefile", Passive, files::get_image_file)
        .add(Method::PUT, "/images/{uuid}/icon", "addimageicon", Strict, icons::add_image_icon)
        .add(Method::POST, "/images/{uuid}/icon", "addimageicon", Strict, icons::add_image_icon)
        .add(Method::GET, "/images/{uuid}/icon", "getimageicon", Passive, icons::get_image_icon)
        .add(Method::HEAD, "/images/{uuid}/icon", "getimageicon", Passive, icons::get_image_icon)
        .add(Method::DELETE, "/images/{uuid}/icon", "deleteimageicon", Strict, icons::delete_image_icon)
        .add(Method::POST, "/images/{uuid}", "updateimage", Strict, actions::act_on_image)
        .add(Method::POST, "/images/{uuid}/acl", "addimageacl", Strict, acl::update_acl)
        .add(Method::GET, "/images/{uuid}/jobs", "getimagejobs", Passive, jobs::get_image_jobs)
        .add(Method::POST, "/images/{uuid}/push", "adminpushdockerimage", Strict, push::push_docker_image)
        .add_if(config.mode == Mode::Dc, |routes| {
            routes.add(Method::POST, "/images/{uuid}/clone", "cloneimage", Strict, clone::clone_image)
        })
        .add(Method::DELETE, "/images/{uuid}", "deleteimage", Strict, images::delete_image)
        .add(Method::POST, "/authkeys/reload", "adminreloadauthkeys", Strict, reload::reload_auth_keys)
        .add(Method::GET, "/datasets", "listdatasets", None, redirect::list_datasets)
        .add(Method::GET, "/datasets/{dataset}", "getdataset", None, redirect::get_dataset)
        .add(Method::GET, "/", "get100200", None, docs::to_docs)
        .add(Method::GET, "/docs", "getdocs100200", None, docs::to_docs)
        .add(Method::GET, "/docs/", "publicdocs", None, docs::public_docs)
        .add(Method::GET, "/docs/{*page}", "publicdocs", None, docs::public_docs)
        .add(Method::GET, "/favicon.ico", "favicon", None, docs::favicon)
}

impl Routes {
    fn add<H, T>(
        mut self,
        method: Method,
        path: &'static str,
        name: &'static str,
        requirement: AuthRequirement,
        handler: H,
    ) -> Routes
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        let filter = match method {
            Method::POST => MethodFilter::POST,
            Method::PUT => MethodFilter::PUT,
            Method::DELETE => MethodFilter::DELETE,
            Method::HEAD => MethodFilter::HEAD,
            _ => MethodFilter::GET,
        };
        self.router = self.router.route(path, on(filter, handler));
        self.rows.push(Route { method, path, name, requirement });
        self
    }

    /// Adds routes that only some servers have.
    fn add_if(self, has_them: bool, add: impl FnOnce(Routes) -> Routes) -> Routes {
        if has_them { add(self) } else { self }
    }

    /// Returns the router and the table.
    pub(super) fn into_parts(self) -> (Router<AppState>, RouteTable) {
        (self.router, RouteTable(self.rows))
    }
}

/// The mounted routes, for look-ups by a request's path.
#[derive(Debug)]
pub(super) struct RouteTable(Vec<Route>);

impl RouteTable {
    /// Returns the route for a method on a matched path; `None` if that method is not mounted there.
    pub(super) fn route(&self, method: &Method, path: &str) -> Option<&Route> {
        self.0.iter().find(|route| route.method == *method && route.path == path)
    }

    /// Returns the methods mounted on a matched path, as in the `Allow` header.
    pub(super) fn allowed(&self, path: &str) -> String {
        let methods = self.0.iter().filter(|route| route.path == path).map(|route| route.method.as_str());
        methods.collect::<Vec<_>>().join(", ")
    }
}
