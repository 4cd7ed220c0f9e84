// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One LDAP connection. Requests are answered one after the other.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use ldap3_proto::proto::{
    LdapBindCred, LdapBindRequest, LdapBindResponse, LdapCompareRequest, LdapExtendedResponse, LdapMsg,
    LdapOp, LdapResult, LdapSearchRequest,
};
use ldap3_proto::{LdapCodec, LdapResultCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::Framed;

use super::changes::{self, Refused};
use super::dn::Dn;
use super::faults::{Refusal, UfdsFaults};
use super::search::{is_root_dse, search};
use super::server::UfdsOptions;

/// Time for a peer to accept an answer. After that the connection is closed.
const SEND_DEADLINE: Duration = Duration::from_secs(30);

/// Permissions: only the root DN may search and change keys.
pub(super) struct Authority {
    options: UfdsOptions,
}

/// The identity that a connection is bound as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    Root,
    // Anonymous, or an account. Neither may see anything.
    Other,
}

/// Serves a connection until the client unbinds, disconnects, or sends something that is not LDAP.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    authority: &Authority,
    faults: &UfdsFaults,
) {
    let mut framed = Framed::new(stream, LdapCodec::default());
    let mut identity = Identity::Other;
    while let Some(Ok(message)) = framed.next().await {
        let refused = faults.meet().await;
        let answers = match message.op {
            LdapOp::UnbindRequest => break,
            // By the time the next request is read, every request has been answered.
            LdapOp::AbandonRequest(_) => continue,
            LdapOp::BindRequest(request) => {
                let (code, bound) = authority.bind(&request);
                identity = bound;
                let response = LdapBindResponse { res: result(code, ""), saslcreds: None };
                vec![LdapOp::BindResponse(response)]
            }
            LdapOp::SearchRequest(request) => authority.search(&request, identity, refused),
            LdapOp::CompareRequest(request) => {
                vec![LdapOp::CompareResult(authority.compare(&request, identity, refused))]
            }
            LdapOp::AddRequest(request) => {
                let done = authority
                    .change(identity, refused, || changes::add(&authority.options.directory, request));
                vec![LdapOp::AddResponse(done)]
            }
            LdapOp::DelRequest(dn) => {
                let done = authority
                    .change(identity, refused, || changes::delete(&authority.options.directory, &dn));
                vec![LdapOp::DelResponse(done)]
            }
            other => refusal(&other).into_iter().collect(),
        };
        let sent = tokio::time::timeout(SEND_DEADLINE, async {
            for op in answers {
                framed.feed(LdapMsg { msgid: message.msgid, op, ctrl: Vec::new() }).await?;
            }
            framed.flush().await
        });
        if !sent.await.is_ok_and(|sent| sent.is_ok()) {
            return;
        }
    }
    // Sends the close_notify of TLS; its failure does not matter.
    let _ = tokio::time::timeout(SEND_DEADLINE, framed.close()).await;
}

fn result(code: LdapResultCode, message: &str) -> LdapResult {
    LdapResult { code, matcheddn: String::new(), message: message.to_owned(), referral: Vec::new() }
}

/// Returns the answer to an unsupported operation; `None` if it is not a request.
fn refusal(op: &LdapOp) -> Option<LdapOp> {
    let read_only = || result(LdapResultCode::UnwillingToPerform, "no entry can be modified here");
    Some(match op {
        LdapOp::ModifyRequest(_) => LdapOp::ModifyResponse(read_only()),
        LdapOp::ModifyDNRequest(_) => LdapOp::ModifyDNResponse(read_only()),
        LdapOp::ExtendedRequest(_) => LdapOp::ExtendedResponse(LdapExtendedResponse {
            res: result(LdapResultCode::ProtocolError, "unsupported extended operation"),
            name: None,
            value: None,
        }),
        _ => return None,
    })
}

impl Authority {
    /// Creates the authority over a directory.
    pub(super) fn new(options: UfdsOptions) -> Self {
        Self { options }
    }

    fn bind(&self, request: &LdapBindRequest) -> (LdapResultCode, Identity) {
        let LdapBindCred::Simple(password) = &request.cred else {
            return (LdapResultCode::AuthMethodNotSupported, Identity::Other);
        };
        if request.version != 3 {
            return (LdapResultCode::ProtocolError, Identity::Other);
        }
        let Ok(dn) = request.dn.parse::<Dn>() else {
            return (LdapResultCode::InvalidDNSyntax, Identity::Other);
        };
        if dn.is_empty() && password.is_empty() {
            return (LdapResultCode::Success, Identity::Other);
        }
        if dn == self.options.root_dn && *password == self.options.root_password {
            return (LdapResultCode::Success, Identity::Root);
        }
        let directory = self.options.directory.now();
        let known = directory.get(&dn).map_or(&[][..], |entry| entry.values("userpassword"));
        if !password.is_empty() && known.contains(password) {
            return (LdapResultCode::Success, Identity::Other);
        }
        (LdapResultCode::InvalidCredentials, Identity::Other)
    }

    /// Returns the entries and the result of a search.
    fn search(
        &self,
        request: &LdapSearchRequest,
        identity: Identity,
        refused: Option<Refusal>,
    ) -> Vec<LdapOp> {
        let done = |code| vec![LdapOp::SearchResultDone(result(code, ""))];
        if identity != Identity::Root && !is_root_dse(request) {
            return done(LdapResultCode::InsufficentAccessRights);
        }
        if let Some((code, message)) = refused {
            return vec![LdapOp::SearchResultDone(result(code, message))];
        }
        match search(&self.options.directory.now(), request) {
            Ok(entries) => {
                let entries = entries.into_iter().map(LdapOp::SearchResultEntry);
                entries.chain(done(LdapResultCode::Success)).collect()
            }
            Err(code) => done(code),
        }
    }

    /// Returns the result of a change.
    fn change(
        &self,
        identity: Identity,
        refused: Option<Refusal>,
        change: impl FnOnce() -> Result<(), Refused>,
    ) -> LdapResult {
        if identity != Identity::Root {
            return result(LdapResultCode::InsufficentAccessRights, "");
        }
        if let Some((code, message)) = refused {
            return result(code, message);
        }
        match change() {
            Ok(()) => result(LdapResultCode::Success, ""),
            Err(Refused(code, message)) => result(code, &message),
        }
    }

    /// Compares a value, even a hidden one: this is how clients check the password of an account.
    fn compare(
        &self,
        request: &LdapCompareRequest,
        identity: Identity,
        refused: Option<Refusal>,
    ) -> LdapResult {
        if identity != Identity::Root {
            return result(LdapResultCode::InsufficentAccessRights, "");
        }
        if let Some((code, message)) = refused {
            return result(code, message);
        }
        result(self.compared(request), "")
    }

    fn compared(&self, request: &LdapCompareRequest) -> LdapResultCode {
        let Ok(dn) = request.dn.parse::<Dn>() else { return LdapResultCode::InvalidDNSyntax };
        let directory = self.options.directory.now();
        let Some(entry) = directory.get(&dn) else { return LdapResultCode::NoSuchObject };
        match entry.values(&request.atype.to_ascii_lowercase()) {
            [] => LdapResultCode::NoSuchAttribute,
            values if values.iter().any(|value| value.as_bytes() == request.val) => {
                LdapResultCode::CompareTrue
            }
            _ => LdapResultCode::CompareFalse,
        }
    }
}
