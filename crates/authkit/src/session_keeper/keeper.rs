//! The object that owns a session: exchanges its refresh tokens and records its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};
use edge_host::{Cause, Clock, Emit as _, Host, Object, ObjectContext, ObjectFault};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};

use super::{
    messages::{Message, Renewal, Response},
    state::{Decision, Facts, ROW, Relation, State},
};
use crate::{
    config::{AuthKitConfig, ConfigError},
    events::AuthKitEvent,
    seal::{Purpose, Sealer},
    session::Session,
    workos::{AuthenticateResponse, ClientInfo, Grant, INVALID_GRANT, WorkosClient, WorkosError},
};

edge_host::opaque_debug!(SessionKeeper);

/// The time for which a keeper remembers its session after a browser can have its cookie no more: clocks differ.
const MEMORY_MARGIN_SECS: i64 = 24 * 60 * 60;
/// The most exchanges that one message begins or awaits, so that no loop is endless. Two switches and a renewal need
/// three. Each takes up to ten seconds, and the isolate waits for fifteen: the time ends the wait long before.
const MAX_EXCHANGES: usize = 16;

/// Makes the keeper of a session: the class of the Durable Objects that are bound as
/// [`SESSIONS_BINDING`](crate::AuthKit::SESSIONS_BINDING). It reads the same environment as
/// [`AuthKit::from_env`](crate::AuthKit::from_env). If a variable is invalid, it responds to no message.
///
/// ```ignore
/// edge_host::serve!(crate::build, SessionKeeper = axum_authkit::session_keeper);
/// ```
#[must_use]
pub fn session_keeper(host: &(impl Host + ?Sized), context: ObjectContext) -> SessionKeeper {
    let config = AuthKitConfig::from_lookup(|name| host.var(name));
    SessionKeeper(config.map(|config| {
        let config = Arc::new(config);
        let sealer = Sealer::new(
            Purpose::SessionKeeper,
            &config.cookie_password,
            config.cookie_password_previous.as_ref(),
        );
        let memory_secs = i64::from(config.cookie.max_age_secs) + MEMORY_MARGIN_SECS;
        Arc::new(Keeper {
            context,
            client: WorkosClient::new(host.http_client(), config),
            sealer,
            clock: host.clock(),
            memory_secs,
            memory: Mutex::default(),
        })
    }))
}

/// The keeper of one session: see [`session_keeper`].
pub struct SessionKeeper(Result<Arc<Keeper>, ConfigError>);

struct Keeper {
    context: ObjectContext,
    client: WorkosClient,
    sealer: Sealer,
    clock: Arc<dyn Clock>,
    /// The time for which the keeper remembers its session after an event.
    memory_secs: i64,
    memory: Mutex<Memory>,
}

/// The memory of an instance. Its storage is the truth, except while a write has failed.
#[derive(Default)]
struct Memory {
    /// `None` before the first event.
    state: Option<State>,
    /// Whether the state holds a renewed session that is not stored yet.
    is_unstored: bool,
    /// The exchange under way. Its requests and the object's own task own it: an object that ends drops it.
    exchange: Option<Running>,
}

/// An exchange under way, without ownership.
struct Running {
    exchanged: Facts,
    organization_id: Option<String>,
    outcome: WeakShared<BoxFuture<'static, Result<(), Failure>>>,
}

/// An exchange under way, which its requests share. It also runs without them.
#[derive(Clone)]
struct Exchange {
    exchanged: Facts,
    organization_id: Option<String>,
    outcome: Shared<BoxFuture<'static, Result<(), Failure>>>,
}

impl Memory {
    /// The exchange under way.
    fn exchange(&self) -> Option<Exchange> {
        let Running { exchanged, organization_id, outcome } = self.exchange.as_ref()?;
        Some(Exchange {
            exchanged: exchanged.clone(),
            organization_id: organization_id.clone(),
            outcome: outcome.upgrade()?,
        })
    }
}

impl Exchange {
    fn downgrade(&self) -> Option<Running> {
        let Self { exchanged, organization_id, outcome } = self;
        Some(Running {
            exchanged: exchanged.clone(),
            organization_id: organization_id.clone(),
            outcome: outcome.downgrade()?,
        })
    }
}

/// Why an exchange has made no successor.
#[derive(Debug, Clone)]
enum Failure {
    /// WorkOS has refused the refresh token, or the switch to the organization.
    InvalidGrant,
    /// Another error of WorkOS, which does not concern the session itself.
    Other(WorkosError),
    /// The storage has failed.
    Fault(ObjectFault),
}

/// The next step of a request to renew a session.
enum Step {
    Respond(Response),
    Await(Exchange),
}

#[async_trait]
impl Object for SessionKeeper {
    async fn receive(&self, message: &str) -> Result<String, ObjectFault> {
        let keeper = self.keeper()?;
        let response = match Message::parse(message)? {
            Message::Renew(renewal) => keeper.renew(&renewal).await?,
            Message::Current { session, began } => keeper.current(&session, began).await?,
            Message::SignOut { session_id } => {
                let sealed_id = keeper.sealer.seal(session_id.as_bytes());
                let now = keeper.clock.now();
                keeper.record(|state| state.sign_out(sealed_id, now))?
            }
            Message::Replace { at } => keeper.record(|state| state.replace(at))?,
        };
        Ok(response.to_text())
    }

    async fn alarm(&self) -> Result<(), ObjectFault> {
        self.keeper()?.alarm().await
    }
}

impl SessionKeeper {
    fn keeper(&self) -> Result<&Arc<Keeper>, ObjectFault> {
        self.0.as_ref().map_err(|error| ObjectFault::new(format!("not configured: {error}")))
    }
}

impl Keeper {
    async fn renew(self: &Arc<Self>, renewal: &Renewal) -> Result<Response, ObjectFault> {
        let presented = Facts::of(&renewal.session);
        let mut awaited: Option<(Exchange, Result<(), Failure>)> = None;
        for _ in 0..MAX_EXCHANGES {
            // Each step decides anew: other events ran during the wait.
            let exchange = match self.next_step(renewal, &presented, awaited.as_ref())? {
                Step::Respond(response) => return Ok(response),
                Step::Await(exchange) => exchange,
            };
            let outcome = exchange.outcome.clone().await;
            awaited = Some((exchange, outcome));
        }
        Err(ObjectFault::new("too many exchanges of one session at the same time"))
    }

    fn next_step(
        self: &Arc<Self>,
        renewal: &Renewal,
        presented: &Facts,
        awaited: Option<&(Exchange, Result<(), Failure>)>,
    ) -> Result<Step, ObjectFault> {
        let Renewal { session, organization_id, client } = renewal;
        let mut memory = self.memory();
        let state = self.load(&mut memory)?.clone();
        let is_same_kind = |exchange: &Exchange| exchange.organization_id == *organization_id;
        let has_waited = awaited.is_some_and(|(exchange, outcome)| {
            outcome.is_ok() && (organization_id.is_none() || is_same_kind(exchange))
        });
        let now = self.clock.now();
        let decision = state.decide(presented, organization_id.is_some(), has_waited, now);
        if decision == Decision::Ended {
            let is_signed_out = state.is_signed_out();
            return Ok(Step::Respond(Response::Ended { is_signed_out }));
        }
        // A failure belongs to every request that would repeat the same exchange.
        if let Some((exchange, Err(failure))) = awaited
            && is_same_kind(exchange)
            && Some(&exchange.exchanged) == state.exchanged_by(decision, presented)
        {
            return Ok(Step::Respond(failure.clone().into_response()?));
        }
        if let Some(exchange) = memory.exchange() {
            return Ok(Step::Await(exchange));
        }
        let session = match decision {
            Decision::UseNewest => {
                let session = self.newest(&state)?;
                return Ok(Step::Respond(Response::Renewed { session, is_fresh: has_waited }));
            }
            Decision::ExchangeNewest => self.newest(&state)?,
            Decision::ExchangePresented | Decision::Ended => session.clone(),
        };
        let exchanged = Facts::of(&session);
        let exchange = self.exchange(session, exchanged, organization_id.clone(), client.clone());
        memory.exchange = exchange.downgrade();
        drop(memory);
        // The exchange goes on when every request that waits for it is cancelled.
        self.context.spawn(exchange.outcome.clone().map(drop));
        Ok(Step::Await(exchange))
    }

    fn exchange(
        self: &Arc<Self>,
        session: Session,
        exchanged: Facts,
        organization_id: Option<String>,
        client: ClientInfo,
    ) -> Exchange {
        let keeper = Arc::clone(self);
        let (facts, organization) = (exchanged.clone(), organization_id.clone());
        let outcome = async move {
            let grant = Grant::RefreshToken {
                refresh_token: &session.refresh_token,
                organization_id: organization.as_deref(),
            };
            keeper.store_unchanged().map_err(Failure::Fault)?;
            let response = keeper.client.authenticate(grant, &client).await;
            // Nothing is awaited from here on: the object cannot end between WorkOS's response and the write.
            keeper.end_exchange(&facts, organization.is_some(), response)
        };
        Exchange { exchanged, organization_id, outcome: outcome.boxed().shared() }
    }

    fn end_exchange(
        &self,
        exchanged: &Facts,
        is_switch: bool,
        response: Result<AuthenticateResponse, WorkosError>,
    ) -> Result<(), Failure> {
        let mut memory = self.memory();
        memory.exchange = None;
        let now = self.clock.now();
        let state = self.load(&mut memory).map_err(Failure::Fault)?;
        match response {
            // The user has signed out during the exchange, so the renewed session is dropped.
            Ok(_) if state.is_signed_out() => return Ok(()),
            Ok(response) => {
                let session = Session::from(response);
                let sealed = session.seal(&self.sealer);
                state.renew(exchanged, Facts::of(&session), sealed);
            }
            Err(WorkosError::Refused { code, .. }) if code == INVALID_GRANT => {
                // WorkOS sends the same code for a refused organization, which does not end the session.
                if is_switch {
                    return Err(Failure::InvalidGrant);
                }
                state.refuse(exchanged, now);
                self.store(&mut memory, now).map_err(Failure::Fault)?;
                return Err(Failure::InvalidGrant);
            }
            Err(error) => return Err(Failure::Other(error)),
        }
        // If the write fails, the next event repeats it: WorkOS has spent the token, and only this instance has its
        // successor.
        memory.is_unstored = true;
        self.store(&mut memory, now).map_err(Failure::Fault)
    }

    async fn current(&self, session: &Session, began: i64) -> Result<Response, ObjectFault> {
        let presented = Facts::of(session);
        loop {
            let exchange = {
                let mut memory = self.memory();
                let state = self.load(&mut memory)?.clone();
                match memory.exchange() {
                    // The response must not set a session that the exchange spends.
                    Some(exchange) => exchange.outcome,
                    None => return self.current_of(&state, &presented, began),
                }
            };
            // The response does not depend on the outcome.
            let _ = exchange.await;
        }
    }

    fn current_of(
        &self,
        state: &State,
        presented: &Facts,
        began: i64,
    ) -> Result<Response, ObjectFault> {
        if state.is_replaced_since(began) && !state.is_signed_out() {
            return Ok(Response::Replaced);
        }
        if state.has_ended(presented) {
            return Ok(Response::Ended { is_signed_out: state.is_signed_out() });
        }
        let session = match state.relation(presented) {
            Relation::Behind => Some(self.newest(state)?),
            Relation::New | Relation::Newest => None,
        };
        Ok(Response::Current { session })
    }

    /// Stores an event. If the write fails, the event did not take place.
    fn record(&self, change: impl FnOnce(&mut State)) -> Result<Response, ObjectFault> {
        let mut memory = self.memory();
        let state = self.load(&mut memory)?;
        let before = state.clone();
        change(state);
        match self.store(&mut memory, self.clock.now()) {
            Ok(()) => Ok(Response::Recorded),
            Err(fault) => {
                memory.state = Some(before);
                Err(fault)
            }
        }
    }

    async fn alarm(&self) -> Result<(), ObjectFault> {
        let due = {
            let mut memory = self.memory();
            let state = self.load(&mut memory)?;
            state.end_alarm();
            state.due_revocation(self.clock.now()).map(str::to_owned)
        };
        let revoked = match due {
            Some(sealed_id) => Some(self.revoke(&sealed_id).await),
            None => None,
        };
        let mut memory = self.memory();
        let now = self.clock.now();
        let state = self.load(&mut memory)?;
        match revoked {
            Some(Ok(())) => state.end_revocation(),
            Some(Err(error)) => {
                AuthKitEvent::RevocationDeferred { cause: Cause(&error) }.emit();
                state.retry_revocation(now);
            }
            None => {}
        }
        if state.is_forgotten(now) {
            self.context.storage().delete_all()?;
            *state = State::default();
            return Ok(());
        }
        self.put(&mut memory, now)
    }

    async fn revoke(&self, sealed_id: &str) -> Result<(), WorkosError> {
        let opened = self.sealer.open(sealed_id).ok();
        let id = opened.and_then(|opened| String::from_utf8(opened.plaintext).ok());
        let id = id.ok_or_else(|| WorkosError::unavailable("the session's id does not open"))?;
        self.client.revoke_session(&id).await
    }

    /// Opens the newest session. A session that does not open is an outage: another version of the Worker may have
    /// sealed it with another password.
    fn newest(&self, state: &State) -> Result<Session, ObjectFault> {
        let opened = Session::open(state.sealed()?, &self.sealer);
        let opened =
            opened.map_err(|error| ObjectFault::new(format!("newest session: {error}")))?;
        Ok(opened.session)
    }

    /// The state, from the storage at the first event.
    fn load<'a>(&self, memory: &'a mut Memory) -> Result<&'a mut State, ObjectFault> {
        if memory.is_unstored {
            self.store(memory, self.clock.now())?;
        }
        if memory.state.is_none() {
            let row = self.context.storage().get(ROW)?;
            memory.state = Some(row.as_deref().map(State::parse).transpose()?.unwrap_or_default());
        }
        Ok(memory.state.get_or_insert_default())
    }

    /// Makes sure that the storage takes writes, before WorkOS spends a token whose successor has to be stored: the
    /// instance may end before a write that failed is repeated.
    fn store_unchanged(&self) -> Result<(), ObjectFault> {
        let mut memory = self.memory();
        self.load(&mut memory)?;
        self.store(&mut memory, self.clock.now())
    }

    /// Stores the state after an event.
    fn store(&self, memory: &mut Memory, now: DateTime<Utc>) -> Result<(), ObjectFault> {
        let state = memory.state.get_or_insert_default();
        state.keep_until(now + Duration::seconds(self.memory_secs));
        self.put(memory, now)
    }

    /// Writes the row, and sets the alarm where the row needs an earlier one.
    fn put(&self, memory: &mut Memory, now: DateTime<Utc>) -> Result<(), ObjectFault> {
        let state = memory.state.get_or_insert_default();
        let before = state.clone();
        let storage = self.context.storage();
        let alarm = state.next_alarm(now);
        let stored = storage.put(ROW, &state.to_row()).and_then(|()| match alarm {
            Some(at) => storage.set_alarm(Some(at)),
            None => Ok(()),
        });
        match stored {
            Ok(()) => memory.is_unstored = false,
            Err(_) => *state = before,
        }
        stored
    }

    /// Ignores poisoning: the code under the lock cannot panic halfway through a change.
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failure {
    fn into_response(self) -> Result<Response, ObjectFault> {
        match self {
            Self::InvalidGrant => Ok(Response::Ended { is_signed_out: false }),
            Self::Other(WorkosError::Refused { code, description }) => {
                Ok(Response::Refused { code, description })
            }
            Self::Other(WorkosError::Unavailable(outage)) => Ok(Response::Unavailable {
                reason: outage.reason,
                retry_after_secs: outage.retry_after_secs,
            }),
            Self::Fault(fault) => Err(fault),
        }
    }
}
