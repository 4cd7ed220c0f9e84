// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder};
use trust::NoAuthorities;

/// Starts a client of other servers. It follows no redirects, and ignores proxies in the environment, which nobody has
/// configured. If certificates are to be `verified`, [`trust`] provides the authorities; otherwise none are needed, and
/// a zone may have none. Blocks, because it reads files.
///
/// # Errors
/// There are no authorities to trust.
pub fn client_builder(verified: bool) -> Result<ClientBuilder, NoAuthorities> {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authorities = if verified { trust::authorities()? } else { Vec::new() };
    let certificates = authorities.iter().filter_map(|authority| Certificate::from_der(authority).ok());
    Ok(Client::builder().tls_certs_only(certificates).redirect(Policy::none()).no_proxy())
}
