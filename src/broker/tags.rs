//! Which messages of a channel are settled, by their delivery tags. The broker counts them from 1, one for each
//! message that it hands out, so whatever is not known to be settled is still to be: also what was never heard of.

use std::collections::BTreeSet;

/// What is to be sent, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// Acknowledges this one; with `multiple` also all before it that are not settled yet.
    Ack { tag: u64, multiple: bool },
    /// Puts this one back.
    Requeue { tag: u64 },
}

/// A settlement of an unknown tag ends the channel, and so does a second one: nothing goes out twice.
#[derive(Debug, Default)]
pub(super) struct Tags {
    /// All up to this one are settled.
    settled_up_to: u64,
    /// And these beyond it.
    beyond: BTreeSet<u64>,
}

impl Tags {
    pub(super) fn is_open(&self, tag: u64) -> bool {
        tag > self.settled_up_to && !self.beyond.contains(&tag)
    }

    /// Takes what is to be put back. `None` where it is settled already.
    pub(super) fn requeue(&mut self, tag: u64) -> Option<Frame> {
        let is_open = self.is_open(tag);
        is_open.then(|| {
            self.beyond.insert(tag);
            self.advance();
            Frame::Requeue { tag }
        })
    }

    /// Takes what is to be acknowledged: the fewest frames, after those of all that was settled before. What is
    /// settled already is left out.
    pub(super) fn ack(&mut self, tags: impl IntoIterator<Item = u64>) -> Vec<Frame> {
        let mut fresh: BTreeSet<u64> = tags.into_iter().collect();
        fresh.retain(|tag| self.is_open(*tag));
        self.beyond.extend(&fresh);
        self.advance();
        // Of those with nothing unsettled before them the last speaks for all.
        let after = fresh.split_off(&(self.settled_up_to + 1));
        let covered = fresh.last().map(|&tag| Frame::Ack {
            tag,
            multiple: fresh.len() > 1,
        });
        let single = after.into_iter().map(|tag| Frame::Ack {
            tag,
            multiple: false,
        });
        covered.into_iter().chain(single).collect()
    }

    fn advance(&mut self) {
        while self.beyond.remove(&(self.settled_up_to + 1)) {
            self.settled_up_to += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the broker has handed out, and what it does with the frames.
    #[derive(Default)]
    struct Broker {
        unsettled: BTreeSet<u64>,
        acknowledged: BTreeSet<u64>,
        requeued: BTreeSet<u64>,
    }

    impl Broker {
        fn receive(&mut self, frame: Frame) {
            let (Frame::Ack { tag, .. } | Frame::Requeue { tag }) = frame;
            assert!(self.unsettled.remove(&tag), "{frame:?} ends the channel");
            match frame {
                Frame::Requeue { .. } => {
                    self.requeued.insert(tag);
                }
                Frame::Ack { multiple, .. } => {
                    self.acknowledged.insert(tag);
                    if multiple {
                        let above = self.unsettled.split_off(&tag);
                        self.acknowledged
                            .extend(std::mem::replace(&mut self.unsettled, above));
                    }
                }
            }
        }
    }

    /// Ends of work in any order: in groups, one by one, given back, and some of them twice.
    fn work() -> impl Strategy<Value = (u64, Vec<(Vec<u64>, bool)>)> {
        (1..60_u64).prop_flat_map(|count| {
            let group = (
                proptest::collection::vec(1..=count, 1..12),
                prop::bool::weighted(0.2),
            );
            (Just(count), proptest::collection::vec(group, 0..40))
        })
    }

    proptest! {
        /// Each frame settles what is unsettled, and exactly what is meant; in the end all of that is settled.
        #[test]
        fn each_tag_is_settled_once_and_as_it_was_meant((count, work) in work()) {
            let mut broker = Broker { unsettled: (1..=count).collect(), ..Broker::default() };
            let mut tags = Tags::default();
            let (mut acknowledged, mut requeued) = (BTreeSet::new(), BTreeSet::new());
            for (group, is_given_back) in work {
                if is_given_back {
                    for tag in group {
                        let frame = tags.requeue(tag);
                        let is_first = !acknowledged.contains(&tag) && requeued.insert(tag);
                        prop_assert_eq!(frame.is_some(), is_first);
                        if let Some(frame) = frame {
                            broker.receive(frame);
                        }
                    }
                } else {
                    let fresh = group.iter().filter(|tag| !requeued.contains(tag));
                    acknowledged.extend(fresh);
                    for frame in tags.ack(group) {
                        broker.receive(frame);
                    }
                }
                prop_assert_eq!(&broker.acknowledged, &acknowledged);
                prop_assert_eq!(&broker.requeued, &requeued);
            }
        }

        /// Whatever came before: once all before it are settled, a group takes one frame.
        #[test]
        fn a_group_with_nothing_open_before_it_takes_one_frame(before in 0..50_u64, size in 2..100_u64) {
            let mut tags = Tags::default();
            for tag in (1..=before).rev() {
                tags.ack([tag]);
            }
            let frames = tags.ack(before + 1..=before + size);
            prop_assert_eq!(frames, [Frame::Ack { tag: before + size, multiple: true }]);
        }
    }

    #[test]
    fn what_is_at_work_is_never_acknowledged_with_the_others() {
        let mut tags = Tags::default();
        let single = |tag| Frame::Ack {
            tag,
            multiple: false,
        };
        assert_eq!(tags.ack([2, 3, 5]), [single(2), single(3), single(5)]);
        // One of those before was given back, and the others are settled: 1 alone was missing.
        assert_eq!(tags.requeue(4), Some(Frame::Requeue { tag: 4 }));
        assert_eq!(tags.ack([1]), [single(1)]);
        assert_eq!(tags.ack([1, 2, 5]), []);
        let both = Frame::Ack {
            tag: 7,
            multiple: true,
        };
        assert_eq!(tags.ack([6, 7, 9]), [both, single(9)]);
    }
}
