// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder};
use trust::NoAuthorities;

/// A client of other servers, to be completed: it follows no redirect, and takes no proxy of the environment, which is nobody's
/// decision. Where certificates will be `verified`, [`trust`] says whose; otherwise none are needed, and a zone may have none. Reads
/// files: blocks.
///
/// # Errors
/// When there is nobody to trust.
pub fn client_builder(verified: bool) -> Result<ClientBuilder, NoAuthorities> {
    // An error says that the choice has been made.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authorities = if verified { trust::authorities()? } else { Vec::new() };
    let certificates = authorities.iter().filter_map(|authority| Certificate::from_der(authority).ok());
    Ok(Client::builder().tls_certs_only(certificates).redirect(Policy::none()).no_proxy())
}
