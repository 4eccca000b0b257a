//! Rules R and D: what is recorded, promised and handed over.

use serde_json::{Value, json};

use super::admission::Answer;
use super::world::{Account, Merge, Moved, Request};

impl Account {
    /// Does what an answer asks for, except for a merge, which goes its own way.
    pub fn settle(&mut self, request: &Request, answer: &Answer) {
        match answer {
            Answer::Repeat => {
                let outcome = self.merges[&request.key].outcome.clone().unwrap();
                self.announce(&outcome);
            }
            // Nothing is recorded: the key is taken.
            Answer::KeyReused => {
                let rejection = json!({"reason": "idempotency_key_reused"});
                let mut event = event(request, "merge.rejected", 1);
                event["rejection"] = rejection;
                event["merge_id"] = "none".into();
                self.announce(&event);
            }
            Answer::AlreadyMerged => {
                let did_it = self.merged_by(request.source).unwrap();
                let mut outcome = self.merges[did_it].outcome.clone().unwrap();
                outcome["idempotency_key"] = request.key.as_str().into();
                outcome["target_user_id"] = request.target.into();
                outcome["already_merged"] = true.into();
                self.end(request, "completed", outcome);
            }
            Answer::Reject(reason, canonical) => {
                let tries = self.record(request).attempts + 1;
                let mut event = event(request, "merge.rejected", tries);
                event["rejection"] = json!({"reason": reason});
                if let Some(user) = *canonical {
                    event["rejection"]["canonical_user_id"] = user.into();
                }
                self.end(request, "rejected", event);
            }
            Answer::PutOff => {}
            Answer::Merge => unreachable!("a merge is begun, goes on and is completed"),
        }
    }

    /// The row of a request, a new one where it has none. After it had been given up it counts its tries anew.
    fn record(&mut self, request: &Request) -> &mut Merge {
        let merges = self.merges.entry(request.key.clone());
        let merge = merges.or_insert_with(|| Merge {
            source: request.source,
            target: request.target,
            state: "running",
            holds_users: false,
            is_in_hand: false,
            fence: 0,
            attempts: 0,
            moved: Moved::default(),
            late: 0,
            outcome: None,
        });
        if merge.state == "failed" {
            merge.state = "running";
            merge.attempts = 0;
        }
        merge
    }

    /// An admitted merge that does not end in its first transaction.
    pub fn hold(&mut self, request: &Request, fence: i64) {
        let merge = self.record(request);
        merge.holds_users = true;
        merge.is_in_hand = true;
        merge.fence = fence;
    }

    /// A part of it is committed (rule T8).
    pub fn progress(&mut self, key: &str, moved: Moved) {
        self.merges.get_mut(key).unwrap().moved += moved;
    }

    /// The last transaction: all that is left, the profile, the tombstone, and what follows from it.
    pub fn complete(&mut self, request: &Request) {
        let (source, target) = (request.source, request.target);
        let tries = self.record(request).attempts + 1;
        let moved = self.move_all(source, target, &request.key);
        self.progress(&request.key, moved);
        let profile = self.combine(source, target);

        // D1 and D3: who was merged into the source follows it.
        for user in self.users.values_mut() {
            if user.merged_into == Some(source) {
                user.merged_into = Some(target);
            }
        }
        self.users.get_mut(&source).unwrap().merged_into = Some(target);
        self.merged.push((source, request.key.clone()));
        // D2
        self.messages.push(format!(
            "message: deletion user-deletion:{}:{source} of {source} into {target} by {}",
            self.id, request.key
        ));

        let moved = self.merges[&request.key].moved;
        let mut event = event(request, "merge.completed", tries);
        put_counts(&mut event, moved);
        event["profile"] = profile;
        self.end(request, "completed", event);
    }

    fn end(&mut self, request: &Request, state: &'static str, outcome: Value) {
        self.announce(&outcome);
        let merge = self.record(request);
        merge.state = state;
        merge.holds_users = false;
        merge.outcome = Some(outcome);
    }

    fn announce(&mut self, event: &Value) {
        let key = event["type"].as_str().unwrap();
        self.messages.push(format!("message: event {key} {event}"));
    }

    /// R7: a try failed. Returns how many did so far, and whether that is the end of it; none where nothing is
    /// counted, because the merge has ended, is another pair's, or is in somebody else's hands (rule R5), or the
    /// conflict is over (rule A10).
    pub fn fail(&mut self, request: &Request, failure: Failure) -> Option<(i64, bool)> {
        if failure.reason == "conflicting_merge" && !self.conflicts(request) {
            return None;
        }
        if let Some(merge) = self.merges.get(&request.key) {
            let is_ours = (merge.source, merge.target) == (request.source, request.target);
            let has_ended = ["completed", "rejected"].contains(&merge.state);
            let is_theirs = match failure.held_under {
                Some(fence) => fence != merge.fence,
                None => merge.is_in_hand && failure.reason != "delivery_limit",
            };
            if !is_ours || has_ended || is_theirs {
                return None;
            }
        }
        let most = self.rules.max_attempts;
        let merge = self.record(request);
        merge.is_in_hand = false;
        merge.attempts += 1;
        let attempts = merge.attempts;
        if failure.may_pass && attempts < most {
            return Some((attempts, false));
        }
        let moved = merge.moved;
        let mut event = event(request, "merge.failed", attempts);
        put_counts(&mut event, moved);
        event["failure"] = json!({"reason": failure.reason});
        if let Some(sqlstate) = failure.sqlstate {
            event["failure"]["sqlstate"] = sqlstate.into();
        }
        self.messages.push(format!(
            "message: dead {} {} after {attempts} {}",
            request.key,
            failure.reason,
            String::from_utf8(request.body()).unwrap()
        ));
        self.end(request, "failed", event);
        // Half a merge keeps its users to itself.
        let merge = self.merges.get_mut(&request.key).unwrap();
        merge.holds_users = moved.all() > 0;
        Some((attempts, true))
    }
}

/// Why a try failed.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    pub reason: &'static str,
    pub sqlstate: Option<&'static str>,
    pub may_pass: bool,
    /// The number under which the try held the merge, if it came that far (rule R5).
    pub held_under: Option<i64>,
}

/// An event without its times; a merge's id stands as its key.
fn event(request: &Request, kind: &str, tries: i64) -> Value {
    json!({
        "type": kind,
        "merge_id": request.key,
        "idempotency_key": request.key,
        "account_id": request.account,
        "source_user_id": request.source,
        "target_user_id": request.target,
        "requested_by": "agent:77",
        "already_merged": false,
        "attempts": tries,
    })
}

fn put_counts(event: &mut Value, moved: Moved) {
    event["tickets"] =
        json!({"live": moved.live, "closed": moved.closed, "archived": moved.archived});
    event["ccs"] = json!({"moved": moved.ccs_given, "deduplicated": moved.ccs_dropped});
}
