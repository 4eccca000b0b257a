//! Rules P: what becomes of the source's profile.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::world::{Account, NUMBERS};

impl Account {
    /// Writes the target's profile; returns the event's part on it.
    pub fn combine(&mut self, source: i64, target: i64) -> Value {
        let mut dropped = self.lost(source);
        let mut told = json!({
            "emails_added": self.move_emails(source, target),
            "phones_added": self.move_phones(source, target),
        });

        // P15
        let social = self.identities_of(source, "x");
        if self.rules.carry_social_identities {
            let has_one = !self.identities_of(target, "x").is_empty();
            for id in &social {
                let identity = self.identities.get_mut(id).unwrap();
                identity.user = target;
                identity.is_primary &= !has_one;
            }
            if !social.is_empty() {
                told["social_identities_added"] = social.len().into();
            }
        } else {
            dropped.insert("x", social.len());
        }

        let (added, lost) = self.combine_organizations(source, target);
        told["organizations_added"] = added.into();
        dropped.insert("organizations", lost);

        // P16
        if self.users[&source].suspended != self.users[&target].suspended {
            told["suspension_differs"] = true.into();
        }
        dropped.retain(|_, count| *count > 0);
        told["dropped"] = json!(dropped);
        told
    }

    /// P8, P10 and P13.
    fn lost(&self, source: i64) -> BTreeMap<&'static str, usize> {
        let user = &self.users[&source];
        let has_id = user.external_id.is_some_and(|id| !id.trim().is_empty());
        BTreeMap::from([
            ("tags", user.tags),
            ("notes", user.notes.into()),
            ("external_id", has_id.into()),
        ])
    }

    /// P3 and P4: all of them, as secondary ones.
    pub fn move_emails(&mut self, source: i64, target: i64) -> usize {
        let emails = self.identities_of(source, "email");
        for id in &emails {
            let identity = self.identities.get_mut(id).unwrap();
            identity.user = target;
            identity.is_primary = false;
        }
        emails.len()
    }

    /// P1: those that the target doesn't have, after its own; of two equal ones the primary one.
    fn move_phones(&mut self, source: i64, target: i64) -> usize {
        let number = |account: &Self, id: &i64| {
            let value = account.identities[id].value.as_str();
            let known = NUMBERS.iter().find(|(written, _)| *written == value);
            known.unwrap().1
        };
        let had_one = !self.identities_of(target, "phone").is_empty();
        let mut phones = self.identities_of(source, "phone");
        phones.sort_by_key(|id| (!self.identities[id].is_primary, *id));
        let mut added = 0;
        for id in phones {
            let theirs = self.identities_of(target, "phone");
            if theirs
                .iter()
                .any(|other| number(self, other) == number(self, &id))
            {
                continue;
            }
            let identity = self.identities.get_mut(&id).unwrap();
            identity.user = target;
            identity.is_primary &= !had_one;
            added += 1;
        }
        added
    }

    /// P7: how many the target gets, and how many are lost.
    fn combine_organizations(&mut self, source: i64, target: i64) -> (usize, usize) {
        let source = self.users[&source].clone();
        let several = self.multiple_organizations;
        let target = self.users.get_mut(&target).unwrap();
        let (before, had_none) = (target.organizations.len(), target.organizations.is_empty());
        let first = source
            .default_organization
            .or(source.organizations.keys().next().copied());
        for &organization in source.organizations.keys() {
            let is_first = had_none && Some(organization) == first;
            if several || is_first {
                let theirs = target.organizations.entry(organization);
                theirs.or_insert(is_first);
            }
        }
        if had_none {
            target.default_organization = first;
        }
        let is_lost = |id: &&i64| !target.organizations.contains_key(id);
        let lost = source.organizations.keys().filter(is_lost).count();
        (target.organizations.len() - before, lost)
    }
}
