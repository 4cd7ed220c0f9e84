//! The route table: which method of which path is answered by which handler, and under which name it is counted.

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, on};

use super::{AppState, acl, actions, channels, clone, fetch, files, icons, images, ping, unavailable};
use crate::config::Config;
use crate::manifest::Mode;

/// Name of a route that did not match.
pub(super) const UNKNOWN: &str = "unknown";

/// One row of the table.
#[derive(Debug, Clone)]
struct Route {
    method: Method,
    path: &'static str,
    name: &'static str,
}

/// Every route that is mounted, in the order of the documentation.
#[derive(Debug, Default)]
pub(super) struct Routes {
    rows: Vec<Route>,
    router: Router<AppState>,
}

/// The table of a server. Names are those of 4.13.1: dashboards and log queries know them.
pub(super) fn routes(config: &Config) -> Routes {
    Routes::default()
        .add(Method::GET, "/ping", "ping", ping::ping)
        .add_if(!config.channels.is_empty(), |routes| {
            routes.add(Method::GET, "/channels", "listchannels", channels::list_channels)
        })
        .add(Method::GET, "/images", "listimages", images::list_images)
        .add(Method::GET, "/images/{uuid}", "getimage", images::get_image)
        .add(Method::POST, "/images", "createimage", images::create_image)
        .add(Method::PUT, "/images/{uuid}/file", "addimagefile", files::add_image_file)
        .add(
            Method::POST,
            "/images/{uuid}/file/from-url",
            "addimagefilefromurl",
            fetch::add_image_file_from_url,
        )
        .add(Method::GET, "/images/{uuid}/file", "getimagefile", files::get_image_file)
        .add(Method::HEAD, "/images/{uuid}/file", "getimagefile", files::get_image_file)
        .add(Method::PUT, "/images/{uuid}/icon", "addimageicon", icons::add_image_icon)
        .add(Method::GET, "/images/{uuid}/icon", "getimageicon", icons::get_image_icon)
        .add(Method::HEAD, "/images/{uuid}/icon", "getimageicon", icons::get_image_icon)
        .add(Method::DELETE, "/images/{uuid}/icon", "deleteimageicon", icons::delete_image_icon)
        .add(Method::POST, "/images/{uuid}", "updateimage", actions::act_on_image)
        .add(Method::POST, "/images/{uuid}/acl", "addimageacl", acl::update_acl)
        .add(Method::GET, "/images/{uuid}/jobs", "getimagejobs", unavailable::get_image_jobs)
        .add(Method::POST, "/images/{uuid}/push", "adminpushdockerimage", unavailable::push_docker_image)
        .add_if(config.mode == Mode::Dc, |routes| {
            routes.add(Method::POST, "/images/{uuid}/clone", "cloneimage", clone::clone_image)
        })
        .add(Method::DELETE, "/images/{uuid}", "deleteimage", images::delete_image)
}

impl Routes {
    fn add<H, T>(mut self, method: Method, path: &'static str, name: &'static str, handler: H) -> Routes
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
        self.rows.push(Route { method, path, name });
        self
    }

    /// Adds routes that only some servers have.
    fn add_if(self, has_them: bool, add: impl FnOnce(Routes) -> Routes) -> Routes {
        if has_them { add(self) } else { self }
    }

    /// The router and the table.
    pub(super) fn into_parts(self) -> (Router<AppState>, Table) {
        (self.router, Table(self.rows))
    }
}

/// What is mounted, for questions about a request's path.
#[derive(Debug)]
pub(super) struct Table(Vec<Route>);

impl Table {
    /// The name of the route for a method on a matched path; `None` when that method is not mounted there.
    pub(super) fn name(&self, method: &Method, path: &str) -> Option<&'static str> {
        self.0.iter().find(|route| route.method == *method && route.path == path).map(|route| route.name)
    }

    /// The methods mounted on a matched path, as the `Allow` header lists them.
    pub(super) fn allowed(&self, path: &str) -> String {
        let methods = self.0.iter().filter(|route| route.path == path).map(|route| route.method.as_str());
        methods.collect::<Vec<_>>().join(", ")
    }
}
