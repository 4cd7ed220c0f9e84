// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The path of a request: `/ACCOUNT`, `/ACCOUNT/stor`, or something below it.

use hyper::Uri;
use percent_encoding::percent_decode_str;

use super::error::MantaError;

/// The areas of every account. `public` may be read without authentication.
pub(super) const AREAS: [&str; 2] = ["public", "stor"];

/// A path, decoded and without empty components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResourcePath {
    login: String,
    // The area and the components below it.
    rest: Vec<String>,
}

impl ResourcePath {
    /// Parses the path of a request.
    ///
    /// # Errors
    ///
    /// `InvalidResource`, also for a component `.` or `..`; `ResourceNotFound` outside the areas.
    pub(super) fn read(uri: &Uri) -> Result<Self, MantaError> {
        let invalid = || MantaError::InvalidResource(uri.path().to_owned());
        let decoded = percent_decode_str(uri.path()).decode_utf8().map_err(|_| invalid())?;
        let mut steps = decoded.split('/').filter(|step| !step.is_empty()).map(str::to_owned);
        let login = steps.next().ok_or_else(invalid)?;
        let rest: Vec<String> = steps.collect();
        let odd = |step: &String| matches!(step.as_str(), "." | "..") || step.contains('\0');
        if odd(&login) || rest.iter().any(odd) {
            return Err(invalid());
        }
        let path = Self { login, rest };
        match path.rest.first() {
            Some(area) if !AREAS.contains(&area.as_str()) => {
                Err(MantaError::ResourceNotFound(path.to_string()))
            }
            _ => Ok(path),
        }
    }

    /// Returns the login of the account.
    pub(super) fn login(&self) -> &str {
        &self.login
    }

    /// Returns whether this is an account, whose listing shows its areas.
    pub(super) fn is_account(&self) -> bool {
        self.rest.is_empty()
    }

    /// Returns whether this always exists: an account or an area.
    pub(super) fn is_root(&self) -> bool {
        self.rest.len() <= 1
    }

    /// Returns whether this may be read without authentication.
    pub(super) fn is_public(&self) -> bool {
        self.rest.first().is_some_and(|area| area == "public")
    }

    /// Returns the parent path.
    pub(super) fn parent(&self) -> Self {
        let rest = self.rest.split_last().map_or(&[][..], |(_, rest)| rest);
        Self { login: self.login.clone(), rest: rest.to_vec() }
    }

    /// Returns the key of the entry in the store: the path with the account's UUID instead of its login.
    pub(super) fn key(&self, account_uuid: &str) -> String {
        format!("/{account_uuid}/{}", self.rest.join("/"))
    }
}

impl std::fmt::Display for ResourcePath {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "/{}", self.login)?;
        self.rest.iter().try_for_each(|step| write!(out, "/{step}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Result<ResourcePath, MantaError> {
        ResourcePath::read(&path.parse().unwrap())
    }

    #[test]
    fn spelling_does_not_matter() {
        let path = read("/luke/stor//a%20b/%C3%A9?limit=1").unwrap();
        assert_eq!(path.to_string(), "/luke/stor/a b/é");
        assert_eq!(path.key("uuid"), "/uuid/stor/a b/é");
        assert_eq!(path.parent(), read("/luke/stor/a%20b/").unwrap());
        assert!(!path.is_root() && !path.is_public());
        assert!(read("/luke/stor").unwrap().is_root());
        assert!(read("/luke").unwrap().is_account());
        assert!(read("/luke/public/x").unwrap().is_public());
    }

    #[test]
    fn no_path_leads_elsewhere() {
        for bad in
            ["/", "/luke/stor/../../vader/stor", "/luke/stor/%2e%2e/x", "/%2E%2E/stor", "/luke/stor/%ff"]
        {
            assert!(matches!(read(bad), Err(MantaError::InvalidResource(_))), "{bad}");
        }
        assert!(matches!(read("/luke/jobs/1"), Err(MantaError::ResourceNotFound(_))));
    }
}
