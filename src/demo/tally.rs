//! Which request came to what.

use std::collections::HashMap;

use super::plan::Plan;
use super::script::Expect;
use crate::message::{EventType, OutcomeEvent};

/// The outcomes heard so far, each with its request.
pub(super) struct Tally {
    places: HashMap<Request, Vec<usize>>,
    /// By the request's place in the plan.
    pub outcomes: Vec<Option<OutcomeEvent>>,
    /// Heard more often than asked for: at least once means that this may be.
    pub repeats: usize,
}

type Request = (i64, String, i64, i64);

impl Tally {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut places: HashMap<Request, Vec<usize>> = HashMap::new();
        for (place, planned) in plan.requests.iter().enumerate() {
            let pair = planned.request.pair();
            let request = (
                pair.account.get(),
                planned.request.idempotency_key.to_string(),
                pair.source.get(),
                pair.target.get(),
            );
            places.entry(request).or_default().push(place);
        }
        Self {
            places,
            outcomes: vec![None; plan.requests.len()],
            repeats: 0,
        }
    }

    /// Gives an event to its request; of one that was sent twice, to the next that has none. Tells which.
    pub(super) fn heard(&mut self, event: OutcomeEvent) -> Option<usize> {
        let request = (
            event.account_id.get(),
            event.idempotency_key.to_string(),
            event.source_user_id.get(),
            event.target_user_id.get(),
        );
        let places = self.places.get(&request)?;
        let Some(&place) = places.iter().find(|place| self.outcomes[**place].is_none()) else {
            self.repeats += 1;
            return None;
        };
        self.outcomes[place] = Some(event);
        Some(place)
    }

    pub(super) fn heard_count(&self) -> usize {
        self.outcomes.iter().flatten().count()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.outcomes.iter().all(Option::is_some)
    }

    /// What a request came to, in the plan's words; `None` where it failed or nothing was heard.
    pub(super) fn came_to(&self, plan: &Plan, place: usize) -> Option<Expect> {
        let event = self.outcomes[place].as_ref()?;
        match event.event_type {
            EventType::Failed => None,
            EventType::Rejected => event
                .rejection
                .map(|rejection| Expect::Rejected(rejection.reason)),
            EventType::Completed if event.already_merged => Some(Expect::AlreadyMerged),
            // The second of two equal events: which of the two requests was first, nobody can tell.
            EventType::Completed if self.is_repeat(plan, place) => Some(Expect::Repeated),
            EventType::Completed => Some(Expect::Completed),
        }
    }

    fn is_repeat(&self, plan: &Plan, place: usize) -> bool {
        let request = &plan.requests[place].request;
        plan.requests[..place]
            .iter()
            .zip(&self.outcomes)
            .any(|(earlier, outcome)| {
                &earlier.request == request && outcome == &self.outcomes[place]
            })
    }
}
