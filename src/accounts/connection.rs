// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One connection to the directory, maintained by a task.

use std::sync::Arc;
use std::time::Duration;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Scope, SearchResult};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::AccountsError;
use crate::config;
use crate::telemetry::err;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const PROBE_INTERVAL: Duration = Duration::from_secs(30);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a request waits for a connection before it fails.
const PATIENCE: Duration = Duration::from_secs(2);

const FIRST_DELAY: Duration = Duration::from_millis(100);
/// Short, so that a directory that is available again is used within seconds.
const LAST_DELAY: Duration = Duration::from_secs(2);
/// A wrong password stays wrong. It is tried again because config-agents may be slow to render the right one.
const REFUSED_DELAY: Duration = Duration::from_secs(30);

const INVALID_CREDENTIALS: u32 = 49;

pub(super) type Driver = JoinHandle<Result<(), LdapError>>;

#[derive(Debug, Clone)]
pub(super) struct Connection {
    state: watch::Receiver<State>,
    /// Notified when a session turned out to be dead.
    broken: Arc<Notify>,
}

#[derive(Debug, Clone)]
enum State {
    Down(String),
    Up(Session),
}

/// A bound connection. `generation` distinguishes a dead session from its successor.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) ldap: Ldap,
    pub(super) generation: u64,
}

impl Connection {
    pub(super) fn start(config: config::Ufds) -> Connection {
        let (sender, state) = watch::channel(State::Down("not connected yet".into()));
        let broken = Arc::new(Notify::new());
        tokio::spawn(keep(config, sender, Arc::clone(&broken)));
        Connection { state, broken }
    }

    /// Returns the current session, and waits a little for one newer than generation `after`.
    pub(super) async fn session(&self, after: u64) -> Result<Session, AccountsError> {
        let mut state = self.state.clone();
        let is_newer = |state: &State| matches!(state, State::Up(session) if session.generation > after);
        let up = timeout(PATIENCE, state.wait_for(is_newer)).await;
        match up {
            Ok(Ok(up)) => match &*up {
                State::Up(session) => Ok(session.clone()),
                State::Down(reason) => Err(AccountsError::Unavailable(reason.clone())),
            },
            _ => Err(AccountsError::Unavailable(
                self.state().err().unwrap_or_else(|| "it does not answer".into()),
            )),
        }
    }

    pub(super) fn state(&self) -> Result<(), String> {
        match &*self.state.borrow() {
            State::Up(_) => Ok(()),
            State::Down(reason) => Err(reason.clone()),
        }
    }

    /// Gives up the session of `generation`, unless another one has already replaced it.
    pub(super) fn give_up(&self, generation: u64) {
        if matches!(&*self.state.borrow(), State::Up(session) if session.generation == generation) {
            self.broken.notify_one();
        }
    }
}

/// Connects again and again, until all receivers are dropped.
async fn keep(config: config::Ufds, state: watch::Sender<State>, broken: Arc<Notify>) {
    let mut delay = FIRST_DELAY;
    let mut generation = 0;
    while !state.is_closed() {
        match connect(&config).await {
            Ok((ldap, driver)) => {
                generation += 1;
                tracing::info!("{}", if generation == 1 { "UFDS: connected" } else { "UFDS: reconnected" });
                delay = FIRST_DELAY;
                state.send_replace(State::Up(Session { ldap: ldap.clone(), generation }));
                let reason = until_broken(ldap, driver, &broken, &state).await;
                tracing::warn!(reason, "UFDS: disconnected");
                state.send_replace(State::Down(reason));
            }
            Err(error) => {
                tracing::warn!(err.json = %err(&error), "UFDS: unable to connect and/or bind");
                if refused(&error) {
                    delay = REFUSED_DELAY;
                }
                state.send_replace(State::Down(error.to_string()));
            }
        }
        sleep(jittered(delay)).await;
        delay = (delay * 2).min(LAST_DELAY);
    }
}

/// Returns a bound session, and the task that transfers its data. When the task ends, so does the session.
pub(super) async fn connect(config: &config::Ufds) -> Result<(Ldap, Driver), LdapError> {
    // UFDS has a self-signed certificate for `*`, which nothing can verify.
    let settings = LdapConnSettings::new().set_conn_timeout(CONNECT_TIMEOUT).set_no_tls_verify(true);
    let (connection, mut ldap) = LdapConnAsync::with_settings(settings, &config.url).await?;
    let driver = tokio::spawn(connection.drive());
    let bound =
        ldap.with_timeout(CONNECT_TIMEOUT).simple_bind(&config.bind_dn, config.bind_password.expose());
    bound.await?.success()?;
    Ok((ldap, driver))
}

/// Probes a session while it is idle, and returns why it is unusable.
async fn until_broken(
    mut ldap: Ldap,
    mut driver: Driver,
    broken: &Notify,
    state: &watch::Sender<State>,
) -> String {
    loop {
        tokio::select! {
            ended = &mut driver => return match ended {
                Ok(Err(error)) => error.to_string(),
                _ => "the connection was closed".into(),
            },
            () = broken.notified() => return "a search failed".into(),
            () = state.closed() => return "nobody needs it".into(),
            () = sleep(PROBE_INTERVAL) => {}
        }
        if let Err(error) = probe(&mut ldap).await {
            return error.to_string();
        }
    }
}

/// Reads the root entry. Any answer shows that the session is alive.
pub(super) async fn probe(ldap: &mut Ldap) -> Result<LdapResult, LdapError> {
    let asked = ldap.with_timeout(PROBE_TIMEOUT).search("o=smartdc", Scope::Base, "(objectclass=*)", ["1.1"]);
    let SearchResult(_, result) = asked.await?;
    Ok(result)
}

fn refused(error: &LdapError) -> bool {
    matches!(error, LdapError::LdapResult { result } if result.rc == INVALID_CREDENTIALS)
}

/// Returns `delay` with a variation of 20 %, so that the processes of a datacenter do not all reconnect at the same time.
fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(rand::random_range(0.8..1.2))
}
