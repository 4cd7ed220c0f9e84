use super::{ApiResult, App};
use crate::db::{Found, ListAnswer};
use crate::manifest::ApiForm;
use crate::manifest::list::ListQuery;

/// The images that a query selects, in its order, rendered.
pub async fn list(app: &App, query: &ListQuery, form: ApiForm) -> ApiResult<Found<ListAnswer>> {
    Ok(app.db.list(query, form).await?)
}
