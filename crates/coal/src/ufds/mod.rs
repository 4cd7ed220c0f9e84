//! UFDS: the account directory, LDAP v3 over TLS in front of entries from an LDIF file.
//!
//! Follows sdc-ufds 7.5. Nothing can be changed over LDAP, and there are no sort, paging or hidden-attribute
//! controls. The certificate has an elliptic key, and TLS 1.3 is offered beside 1.2.

mod connection;
mod directory;
mod dn;
mod faults;
mod filter;
mod keys;
mod ldif;
mod search;
mod server;
mod tls;

pub use directory::{Account, Directory, DirectoryError};
pub use dn::{Dn, DnError};
pub use faults::{UfdsFault, UfdsFaults};
pub use ldif::LdifError;
pub use server::{UfdsOptions, UfdsServer};
