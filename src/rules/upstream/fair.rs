//! Who is served next where many wait: lanes take turns, and within a lane the first comes first, so that a stream with
//! a thousand requests keeps nobody else waiting for more than one of them.

use std::collections::{HashMap, VecDeque};

/// A queue of lanes. Its owner bounds it: a lane lives as long as somebody waits in it.
#[derive(Debug)]
pub struct Fair<T> {
    lanes: HashMap<u64, VecDeque<T>>,
    /// Lanes in the order of their turns, each once.
    turns: VecDeque<u64>,
    length: usize,
}

impl<T> Default for Fair<T> {
    fn default() -> Self {
        Self { lanes: HashMap::new(), turns: VecDeque::new(), length: 0 }
    }
}

impl<T> Fair<T> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Somebody waits in a lane.
    pub fn push(&mut self, lane: u64, item: T) {
        let waiting = self.lanes.entry(lane).or_default();
        if waiting.is_empty() {
            self.turns.push_back(lane);
        }
        waiting.push_back(item);
        self.length += 1;
    }

    /// Whose turn it is. The lane's next turn comes after those of all others.
    pub fn pop(&mut self) -> Option<(u64, T)> {
        let lane = self.turns.pop_front()?;
        let waiting = self.lanes.get_mut(&lane).expect("a lane whose turn may come is there");
        let item = waiting.pop_front().expect("somebody waits in a lane whose turn may come");
        match waiting.is_empty() {
            true => _ = self.lanes.remove(&lane),
            false => self.turns.push_back(lane),
        }
        self.length -= 1;
        Some((lane, item))
    }

    /// What was taken could not be served: its turn is the next again.
    pub fn put_back(&mut self, lane: u64, item: T) {
        let waiting = self.lanes.entry(lane).or_default();
        if !waiting.is_empty() {
            self.turns.retain(|other| *other != lane);
        }
        waiting.push_front(item);
        self.turns.push_front(lane);
        self.length += 1;
    }

    /// Keeps whom `stays` says.
    pub fn retain(&mut self, mut stays: impl FnMut(&T) -> bool) {
        self.lanes.retain(|_, waiting| {
            waiting.retain(&mut stays);
            !waiting.is_empty()
        });
        self.turns.retain(|lane| self.lanes.contains_key(lane));
        self.length = self.lanes.values().map(VecDeque::len).sum();
    }

    /// All who wait, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.lanes.values().flatten()
    }

    /// Takes out all, in the order of their turns.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.pop().map(|(_, item)| item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lanes_take_turns_and_within_one_the_first_comes_first() {
        let mut queue = Fair::default();
        for (lane, item) in [(1, "a"), (1, "b"), (1, "c"), (2, "x"), (3, "y"), (3, "z")] {
            queue.push(lane, item);
        }
        assert_eq!(queue.drain().collect::<Vec<_>>(), ["a", "x", "y", "b", "z", "c"]);
    }

    #[test]
    fn what_could_not_be_served_is_next_again() {
        let mut queue = Fair::default();
        (0..3).for_each(|item| queue.push(1, item));
        queue.push(2, 9);
        let (lane, item) = queue.pop().unwrap();
        queue.put_back(lane, item);
        assert_eq!((queue.len(), queue.pop()), (4, Some((1, 0))));
        assert_eq!(queue.pop(), Some((2, 9)));
    }

    #[test]
    fn those_who_left_are_not_counted() {
        let mut queue = Fair::default();
        (0..6).for_each(|item| queue.push(item % 2, item));
        queue.retain(|item| item % 2 == 1);
        assert_eq!((queue.len(), queue.drain().collect::<Vec<_>>()), (3, vec![1, 3, 5]));
    }

    proptest! {
        #[test]
        fn nobody_is_lost_and_nobody_waits_for_two_turns_of_another(
            steps in prop::collection::vec(prop_oneof![(0_u64..4).prop_map(Some), Just(None)], 0..200),
        ) {
            let mut queue = Fair::default();
            let (mut pushed, mut popped) = (Vec::new(), Vec::new());
            let mut waits: HashMap<u64, HashMap<u64, u32>> = HashMap::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Some(lane) => {
                        queue.push(lane, number);
                        pushed.push((lane, number));
                        waits.entry(lane).or_default();
                    }
                    None => {
                        let Some((lane, number)) = queue.pop() else { continue };
                        popped.push((lane, number));
                        waits.remove(&lane);
                        for passed in waits.values_mut() {
                            *passed.entry(lane).or_default() += 1;
                            prop_assert!(passed[&lane] <= 2);
                        }
                        if queue.lanes.contains_key(&lane) {
                            waits.insert(lane, HashMap::new());
                        }
                    }
                }
            }
            while let Some(item) = queue.pop() {
                popped.push(item);
            }
            for lane in 0..4 {
                let of = |items: &[(u64, usize)]| items.iter().filter(|item| item.0 == lane).copied().collect::<Vec<_>>();
                prop_assert_eq!(of(&pushed), of(&popped));
            }
        }
    }
}
