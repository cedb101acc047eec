//! How a node let go of its viewer: it was drained, or it ended under them. Each node is judged by its own changes, at the
//! moment in which the viewer left it: what became of it afterwards, and what other nodes did, changes nothing.

use super::super::event::NodeChange;
use super::cause::Cause;

/// A viewer who had asked so shortly before was still there.
pub(super) const STILL_THERE_MS: u64 = 10_000;

/// A node let go of the viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Departure<'a> {
    pub(super) at: u64,
    pub(super) node: &'a str,
    pub(super) cause: Cause,
    /// For how long the viewer had asked for nothing.
    pub(super) silent: u64,
    /// Where they went on.
    pub(super) next: Option<&'a str>,
}

/// What was asked when, of whom.
type Asked<'a> = [(u64, &'a str)];

/// The departures of one viewer, in their order; `changes` and `asked` are in theirs.
pub(super) fn departures<'a>(changes: &[(u64, &'a str, &NodeChange)], asked: &Asked<'a>) -> Vec<Departure<'a>> {
    let mut departures = Vec::new();
    for (index, (at, node, change)) in changes.iter().enumerate() {
        let mut before = changes[..index].iter().rev().filter(|(_, other, _)| other == node);
        let was_leaving = before.find_map(|(_, _, change)| leads_out(change)).unwrap_or_default();
        let departure = match (leads_out(change), &*change.what) {
            (Some(true), _) if !was_leaving => {
                let mut after = changes[index + 1..].iter().filter(|(_, other, _)| other == node);
                drained((*at, node), after.find(|(_, _, change)| leads_out(change) == Some(false)), asked)
            }
            (_, "started") if !was_leaving => restarted((*at, node), asked),
            _ => None,
        };
        departures.extend(departure);
    }
    departures.sort_by_key(|departure| departure.at);
    departures
}

/// Whether viewers are to leave a node from now on; `None`: it says nothing of that.
fn leads_out(change: &NodeChange) -> Option<bool> {
    match &*change.what {
        "draining" | "stopping" => Some(true),
        "drain-cancelled" | "started" => Some(false),
        _ => None,
    }
}

/// Viewers were to leave a node from `at` on, until `over`.
fn drained<'a>(
    (at, node): (u64, &'a str),
    over: Option<&(u64, &'a str, &NodeChange)>,
    asked: &Asked<'a>,
) -> Option<Departure<'a>> {
    let end = over.map_or(u64::MAX, |(end, _, _)| *end);
    let left = asked.iter().rposition(|(asked, by)| *by == node && *asked <= end)?;
    let next = asked.get(left + 1);
    if next.is_some_and(|(next, _)| *next < at) {
        return None; // they had gone before
    }
    let stays = match (over.map(|(_, _, change)| &*change.what), next) {
        (Some("drain-cancelled"), Some((_, next))) => *next == node,
        // They may as well have had enough.
        (Some("drain-cancelled"), None) => true,
        _ => false,
    };
    if stays {
        return None;
    }
    let (left, next) = (asked[left].0, next.map(|(_, next)| *next).filter(|next| *next != node));
    Some(Departure { at: at.max(left), node, cause: Cause::NodeDrained, silent: at.saturating_sub(left), next })
}

/// A node began anew without having been told to end.
fn restarted<'a>((at, node): (u64, &'a str), asked: &Asked<'a>) -> Option<Departure<'a>> {
    let before = asked.partition_point(|(asked, _)| *asked <= at);
    let (left, _) = asked[..before].last().filter(|(_, by)| *by == node)?;
    let next = asked.get(before).map(|(_, next)| *next).filter(|next| *next != node);
    Some(Departure { at, node, cause: Cause::NodeRestarted, silent: at - left, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn let_go(changes: &[(u64, &'static str, &str)], asked: &[(u64, &'static str)]) -> Vec<(u64, &'static str, Cause)> {
        let change = |what: &str| NodeChange { what: what.into(), ..NodeChange::default() };
        let changes: Vec<_> = changes.iter().map(|(at, node, what)| (*at, *node, change(what))).collect();
        let changes: Vec<_> = changes.iter().map(|(at, node, change)| (*at, *node, change)).collect();
        departures(&changes, asked).into_iter().map(|gone| (gone.at, gone.node, gone.cause)).collect()
    }

    #[test]
    fn a_node_is_left_once_by_whoever_it_was_that_left() {
        let asked = [(10, "a"), (20, "a"), (30, "b"), (40, "b")];
        let drained = [(22, "a", Cause::NodeDrained)];
        assert_eq!(let_go(&[(22, "a", "draining"), (24, "a", "stopping"), (26, "a", "started")], &asked), drained);
        assert_eq!(let_go(&[(22, "a", "draining"), (24, "a", "drain-cancelled")], &asked), drained);
        assert_eq!(let_go(&[(15, "a", "draining"), (17, "a", "drain-cancelled")], &asked), []);
        assert_eq!(let_go(&[(50, "b", "draining"), (52, "b", "drain-cancelled")], &asked), []);
        assert_eq!(
            let_go(&[(15, "a", "draining"), (90, "a", "drain-cancelled")], &asked),
            [(20, "a", Cause::NodeDrained)]
        );
    }

    #[test]
    fn a_node_that_begins_anew_lets_go_of_those_who_were_there_last() {
        let asked = [(10, "a"), (20, "a"), (30, "b")];
        assert_eq!(let_go(&[(22, "a", "started")], &asked), [(22, "a", Cause::NodeRestarted)]);
        assert_eq!(let_go(&[(35, "a", "started")], &asked), []);
        assert_eq!(let_go(&[(5, "b", "started")], &asked), []);
        assert_eq!(let_go(&[(22, "c", "draining")], &asked), []);
    }

    #[test]
    fn who_is_drained_from_one_node_to_the_next_leaves_each() {
        let asked = [(10, "a"), (20, "b"), (30, "c")];
        let rolled = [(12, "a", "draining"), (16, "a", "started"), (22, "b", "draining"), (26, "b", "started")];
        assert_eq!(let_go(&rolled, &asked), [(12, "a", Cause::NodeDrained), (22, "b", Cause::NodeDrained)]);
    }
}
