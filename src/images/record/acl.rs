// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::collections::HashSet;
use std::sync::Arc;

use super::change::change;
use crate::images::{Access, ApiError, ApiResult, App, run_to_completion};
use crate::manifest::{FieldError, Image, Uuid};

/// How to change an ACL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclAction {
    /// Append the accounts that are not in it.
    Add,
    /// Remove the accounts that are in it.
    Remove,
}

/// AddImageAcl and RemoveImageAcl: change which accounts may use a private image. The accounts need not exist.
pub async fn update_acl(
    app: &Arc<App>,
    access: Access,
    action: AclAction,
    accounts: Vec<Uuid>,
) -> ApiResult<Image> {
    let app = Arc::clone(app);
    run_to_completion(async move {
        let updated = |image: &Image| {
            let acl = action.apply(image.acl(), &accounts);
            let updated = image.with_acl(&acl).map_err(ApiError::validation)?;
            refuse_long_acl(&app, Some(image), &updated)?;
            Ok(updated)
        };
        Ok(change(&app, access, updated).await?)
    })
    .await
}

/// Fails with 422 if a new image has more accounts in its ACL than the configuration allows, or if a change makes the ACL
/// longer than that. An ACL that is already too long, from a record made elsewhere, can only become shorter.
pub(in crate::images) fn refuse_long_acl(app: &App, before: Option<&Image>, image: &Image) -> ApiResult<()> {
    let (accounts, most) = (image.acl().len(), app.config.max_acl_accounts);
    if accounts <= most.max(before.map_or(0, |before| before.acl().len())) {
        return Ok(());
    }
    let message = format!("has {accounts} accounts, and may have {most}");
    Err(ApiError::validation(vec![FieldError::invalid("acl").because(message)]))
}

impl AclAction {
    fn apply(self, acl: &[Uuid], accounts: &[Uuid]) -> Vec<Uuid> {
        match self {
            AclAction::Add => {
                let mut seen: HashSet<_> = acl.iter().collect();
                let new = accounts.iter().filter(|account| seen.insert(account)).collect::<Vec<_>>();
                acl.iter().chain(new).copied().collect()
            }
            AclAction::Remove => {
                let removed: HashSet<_> = accounts.iter().collect();
                acl.iter().filter(|account| !removed.contains(account)).copied().collect()
            }
        }
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
