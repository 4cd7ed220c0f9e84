use std::sync::Arc;

use super::change::change;
use super::{Access, ApiError, ApiResult, App, to_the_end};
use crate::manifest::{Image, Uuid};

/// What to do with accounts and an ACL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclAction {
    /// Put in, at the end, those that are not in it.
    Add,
    /// Take out those that are in it.
    Remove,
}

/// AddImageAcl and RemoveImageAcl: changes which accounts may use a private image. They need not exist.
pub async fn update_acl(
    app: &Arc<App>,
    access: Access,
    action: AclAction,
    accounts: Vec<Uuid>,
) -> ApiResult<Image> {
    let app = Arc::clone(app);
    to_the_end(async move {
        let updated = |image: &Image| {
            let acl = action.apply(image.acl(), &accounts);
            image.with_acl(&acl).map_err(ApiError::validation)
        };
        Ok(change(&app, access, updated).await?)
    })
    .await
}

impl AclAction {
    fn apply(self, acl: &[Uuid], accounts: &[Uuid]) -> Vec<Uuid> {
        let mut acl = acl.to_vec();
        match self {
            AclAction::Add => {
                for account in accounts {
                    if !acl.contains(account) {
                        acl.push(*account);
                    }
                }
            }
            AclAction::Remove => acl.retain(|account| !accounts.contains(account)),
        }
        acl
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_in_an_acl_once_and_in_order() {
        let [a, b, c] = [(); 3].map(|()| Uuid::new_v4());
        assert_eq!(AclAction::Add.apply(&[a], &[c, b, c, a]), [a, c, b]);
        assert_eq!(AclAction::Remove.apply(&[a, c, b], &[a, b, a]), [c]);
        assert_eq!(AclAction::Remove.apply(&[a], &[b]), [a]);
        assert_eq!(AclAction::Add.apply(&[a], &[]), [a]);
    }
}
