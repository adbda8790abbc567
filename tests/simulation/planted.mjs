/**
 * The deliberate faults: each switches one mechanism off by a change of one place in the source. The simulation
 * must find every one: `npm run simulate -- --planted`.
 *
 * @typedef {{ name: string, file: string, from: string, to: string }} Planted
 */

const LEDGER = 'src/expenses/ledger';
const KEEPER = 'crates/authkit/src/session_keeper';

/** @type {Planted[]} */
export const PLANTED = [
  {
    name: 'reads do not overlay the log',
    file: `${LEDGER}/overlay.rs`,
    from: 'if recent.peek().is_none() {',
    to: 'if recent.peek().is_none() || batch.len() < usize::MAX {',
  },
  {
    name: 'removals in the log hide nothing',
    file: `${LEDGER}/overlay.rs`,
    from: 'is_overridden |= *id == stored.id;',
    to: 'is_overridden |= *id == stored.id && latest.is_some();',
  },
  {
    name: 'an entry leaves the log as soon as KV has it',
    file: `${LEDGER}/times.rs`,
    from: 'const KV_LAG_MAX_MILLIS: i64 = 10 * 60 * 1000;',
    to: 'const KV_LAG_MAX_MILLIS: i64 = 100;',
  },
  {
    name: 'an uncertain write to KV is not repeated',
    file: `${LEDGER}/entries.rs`,
    from: 'self.uncertain = true;',
    to: 'self.uncertain = false;',
  },
  {
    name: 'a failed write to KV is not repeated',
    file: `${LEDGER}/entries.rs`,
    from: 'self.failures += 1;',
    to: 'self.failures += 1;\n                self.kv_at = Some(now);\n                if self.failures > 0 {\n                    return Ok(());\n                }',
  },
  {
    name: 'a change does not look at the log again after KV',
    file: `${LEDGER}/edit.rs`,
    from: 'let entry = log.entries.get(&id);',
    to: 'let entry = log.entries.get(&id).filter(|_| matches!(base, Base::InLog));',
  },
  {
    name: 'an Idempotency-Key is not looked up',
    file: `${LEDGER}/object.rs`,
    from: 'Log::keyed_request(storage, &used.hash, now)?',
    to: 'Log::keyed_request(storage, &used.hash, now)?.filter(|_| storage.get("").is_err())',
  },
  {
    name: 'a request that is sent again is applied again',
    file: `${LEDGER}/entries.rs`,
    from: 'self.requests.iter().any(|known| known == request)',
    to: 'self.requests.iter().any(|known| known == request && known.is_empty())',
  },
  {
    name: 'a restored expense is not written to KV',
    file: `${LEDGER}/edit.rs`,
    from: 'let mut entry = Entry::new(changed, request, now, entry);',
    to: 'let is_restored = entry.is_some_and(|entry| entry.removed.is_some());\n            let mut entry = Entry::new(changed, request, now, entry);\n            entry.kv_at = is_restored.then_some(now);',
  },
  {
    name: 'a write is acknowledged before it is stored',
    file: `${LEDGER}/log.rs`,
    from: 'let (key, value) = entry.stored(id);\n            storage.put(&key, &value)?;',
    to: 'let _ = entry.stored(id);',
  },
  {
    name: 'If-Match is not compared',
    file: `${LEDGER}/edit.rs`,
    from: 'if !condition.is_met_by(|| current.as_ref().map(Version::of)) {',
    to: 'if !condition.is_met_by(|| current.as_ref().map(Version::of)) && request.is_empty() {',
  },
  {
    name: 'a read without the ledger claims to be strong',
    file: 'src/expenses/batches.rs',
    from: 'Consistency::Eventual\n}',
    to: 'Consistency::Strong\n}',
  },
  {
    name: 'a ledger with an erased owner accepts writes',
    file: `${LEDGER}/object.rs`,
    from: 'if log.erasure.is_some() {\n                return Ok(respond(Outcome::Erased));',
    to: 'if log.erasure.is_some() && owner.as_str().is_empty() {\n                return Ok(respond(Outcome::Erased));',
  },
  {
    name: 'an erasure leaves the keys in KV',
    file: `${LEDGER}/object.rs`,
    from: 'Some(Some(owner)) => self.erase_keys(&owner).await,',
    to: 'Some(Some(owner)) if owner.as_str().is_empty() => self.erase_keys(&owner).await,\n            Some(Some(_)) => Ok(()),',
  },
  {
    name: 'a spent refresh token is exchanged again',
    file: `${KEEPER}/state.rs`,
    from: 'let is_new = is_later && !self.spent.contains(&presented.refresh);',
    to: 'let is_new = is_later || self.spent.contains(&presented.refresh);',
  },
  {
    name: 'concurrent renewals do not share an exchange',
    file: `${KEEPER}/keeper.rs`,
    from: 'if let Some(exchange) = memory.exchange() {',
    to: 'if let Some(exchange) = memory.exchange().filter(|exchange| exchange.exchanged.refresh.is_empty()) {',
  },
  {
    name: 'a renewed session is not stored',
    file: `${KEEPER}/keeper.rs`,
    from: 'memory.is_unstored = true;\n        self.store(&mut memory, now).map_err(Failure::Fault)',
    to: 'Ok(())',
  },
  {
    name: 'a sign-out is not recorded',
    file: `${KEEPER}/keeper.rs`,
    from: 'keeper.record(|state| state.sign_out(sealed_id, now))?',
    to: 'keeper.record(|state| drop((state, sealed_id, now)))?',
  },
  {
    name: 'a signed-out session is not revoked at WorkOS',
    file: `${KEEPER}/keeper.rs`,
    from: 'Some(sealed_id) => Some(self.revoke(&sealed_id).await),',
    to: 'Some(sealed_id) if sealed_id.is_empty() => Some(self.revoke(&sealed_id).await),\n            Some(_) => Some(Ok(())),',
  },
  {
    name: 'an outage of WorkOS ends the session',
    file: `${KEEPER}/client.rs`,
    from: 'Err(RefreshError::Unavailable(Outage { reason, retry_after_secs }))',
    to: '{\n                let _ = (reason, retry_after_secs);\n                Err(RefreshError::Ended)\n            }',
  },
  {
    name: 'an unreachable keeper ends the session',
    file: `${KEEPER}/client.rs`,
    from: '.await.map_err(RefreshError::Unavailable)?',
    to: '.await.map_err(|_| RefreshError::Ended)?',
  },
];
