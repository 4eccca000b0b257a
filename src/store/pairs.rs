//! Several pairs of one account: what the statements about many merges at once are given.

use crate::domain::Pair;

/// The pairs by column. No user is in two of them: a statement finds a pair by its source, or by its target.
///
/// Of one account, so that a transaction stays within one tenant's rows, wherever they are kept.
#[derive(Debug, Clone)]
pub struct Pairs {
    pub(super) account: i64,
    pub(super) sources: Vec<i64>,
    pub(super) targets: Vec<i64>,
}

impl Pairs {
    /// All of the first one's account.
    #[must_use]
    pub fn new(pairs: impl IntoIterator<Item = Pair>) -> Self {
        let mut of_account = Self {
            account: 0,
            sources: Vec::new(),
            targets: Vec::new(),
        };
        for pair in pairs {
            debug_assert!(of_account.account == 0 || of_account.account == pair.account.get());
            of_account.account = pair.account.get();
            of_account.sources.push(pair.source.get());
            of_account.targets.push(pair.target.get());
        }
        of_account
    }

    /// Both users of each.
    pub(super) fn users(&self) -> Vec<i64> {
        [self.sources.as_slice(), &self.targets].concat()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.sources.len()
    }
}
