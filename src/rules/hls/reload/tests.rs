use proptest::prelude::*;

use super::*;

/// TD 4, PART-TARGET 0.33334; 264 to 272 are complete, 273 has the parts 0 to 2. 272 had 12 parts.
fn example() -> Frontier {
    Frontier {
        next: Position::new(273, 3),
        closed_parts: vec![12; 9],
        target_duration: Duration::from_secs(4),
        part_target: Some(Duration::from_nanos(333_340_000)),
        is_ended: false,
    }
}

fn asked(msn: impl Into<Option<u64>>, part: impl Into<Option<u64>>) -> Directives {
    Directives { msn: msn.into(), part: part.into(), skip: None }
}

const fn part(msn: u64, part: u64) -> Reload {
    Reload::Wait(Wanted::Part(Position::new(msn, part)))
}

const fn segment(msn: u64) -> Reload {
    Reload::Wait(Wanted::Segment(msn))
}

#[test]
fn the_example_of_a_live_edge_is_judged_as_the_specification_says() {
    let frontier = example();
    for (msn, index, verdict) in [
        (Some(272), None, Reload::Now),
        (Some(273), Some(2), Reload::Now),
        (Some(273), Some(3), part(273, 3)),
        (Some(273), None, segment(273)),
        (Some(274), Some(0), part(274, 0)),
        (Some(274), None, segment(274)),
        (Some(275), Some(0), Reload::Refuse(TooFar::Segment { asked: 275, open: 273 })),
        (Some(275), None, Reload::Refuse(TooFar::Segment { asked: 275, open: 273 })),
        (Some(u64::MAX), None, Reload::Refuse(TooFar::Segment { asked: u64::MAX, open: 273 })),
        (Some(273), Some(11), Reload::Refuse(TooFar::Part { asked: 11, next: 3 })),
        (Some(273), Some(u64::MAX), Reload::Refuse(TooFar::Part { asked: u64::MAX, next: 3 })),
        (Some(273), Some(10), part(273, 10)),
        (Some(274), Some(8), part(274, 8)),
        (Some(274), Some(9), Reload::Refuse(TooFar::Part { asked: 9, next: 0 })),
        (Some(1), Some(0), Reload::Now),
        (Some(0), None, Reload::Now),
        (None, Some(1), Reload::Refuse(TooFar::PartAlone)),
        (None, None, Reload::Now),
        (Some(272), Some(99), Reload::Now),
        (Some(272), Some(u64::MAX), Reload::Now),
        (Some(264), Some(99), Reload::Now),
    ] {
        assert_eq!(frontier.judge(&asked(msn, index)), verdict, "msn {msn:?} part {index:?}");
    }
}

#[test]
fn the_advance_part_limit_is_not_rounded() {
    for (part_target, farthest) in [
        (333_340_000, 8),
        (333_333_333, 9),
        (333_000_000, 9),
        (1_000_000_000, 3),
        (999_999_999, 3),
        (2_000_000_000, 3),
        (100_000_000, 30),
    ] {
        let frontier = Frontier { part_target: Some(Duration::from_nanos(part_target)), ..example() };
        let last = frontier.next.part - 1;
        assert_eq!(frontier.judge(&asked(273, last + farthest)), part(273, last + farthest), "{part_target}");
        let refusal = Reload::Refuse(TooFar::Part { asked: last + farthest + 1, next: 3 });
        assert_eq!(frontier.judge(&asked(273, last + farthest + 1)), refusal, "{part_target}");
    }
}

#[test]
fn a_part_that_its_parent_closed_without_is_the_first_of_the_next() {
    let wanted = Wanted::Part(Position::new(273, 7));
    let closed = Frontier { next: Position::new(274, 0), closed_parts: vec![12, 6], ..example() };
    assert_eq!(closed.judge_waiting(wanted), part(274, 0));
    assert_eq!(closed.judge(&asked(273, 6)), part(274, 0), "the same as (274, 0)");
    assert_eq!(closed.judge(&asked(274, 0)), part(274, 0));
    assert_eq!(closed.judge(&asked(273, 5)), Reload::Now);
    let begun = Frontier { next: Position::new(274, 1), ..closed };
    assert_eq!(begun.judge_waiting(wanted), Reload::Now);
    assert_eq!(begun.judge_waiting(Wanted::Part(Position::new(274, 0))), Reload::Now);
}

#[test]
fn a_segment_that_closed_without_parts_answers_for_all_of_them() {
    for closed_parts in [vec![], vec![12, 0]] {
        let frontier = Frontier { next: Position::segment(274), closed_parts, ..example() };
        assert_eq!(frontier.judge(&asked(273, 0)), Reload::Now);
        assert_eq!(frontier.judge_waiting(Wanted::Part(Position::new(273, 7))), Reload::Now);
        assert_eq!(frontier.judge(&asked(274, 0)), part(274, 0));
    }
}

#[test]
fn without_parts_a_part_is_answered_by_its_segment() {
    let frontier = Frontier { next: Position::segment(273), closed_parts: Vec::new(), part_target: None, ..example() };
    for (index, verdict) in [(None, segment(273)), (Some(0), segment(273)), (Some(99), segment(273))] {
        assert_eq!(frontier.judge(&asked(273, index)), verdict);
    }
    assert_eq!(frontier.judge(&asked(272, 99)), Reload::Now);
    assert_eq!(frontier.judge(&asked(None, 1)), Reload::Refuse(TooFar::PartAlone));
    assert_eq!(frontier.judge(&asked(275, 0)), Reload::Refuse(TooFar::Segment { asked: 275, open: 273 }));
    assert_eq!(frontier.judge_waiting(Wanted::Part(Position::new(273, 4))), segment(273));
}

#[test]
fn an_ended_playlist_answers_everything_at_once() {
    let frontier = Frontier { is_ended: true, ..example() };
    for directives in [asked(None, 1), asked(273, 3), asked(999, None), asked(273, 999)] {
        assert_eq!(frontier.judge(&directives), Reload::Now);
    }
    assert_eq!(frontier.judge_waiting(Wanted::Segment(999)), Reload::Now);
}

#[test]
fn an_empty_playlist_and_the_last_number_are_no_special_cases() {
    let empty = Frontier { part_target: example().part_target, ..Frontier::default() };
    assert_eq!(empty.judge(&asked(0, None)), segment(0));
    assert_eq!(empty.judge(&asked(0, 0)), part(0, 0));
    assert_eq!(empty.judge(&asked(1, None)), segment(1));
    assert_eq!(empty.judge(&asked(2, None)), Reload::Refuse(TooFar::Segment { asked: 2, open: 0 }));
    let last = Frontier { next: Position::new(u64::MAX, u64::MAX), target_duration: Duration::MAX, ..example() };
    assert_eq!(last.judge(&asked(u64::MAX, None)), segment(u64::MAX));
    assert_eq!(last.judge(&asked(u64::MAX, u64::MAX)), part(u64::MAX, u64::MAX));
    assert_eq!(last.judge(&asked(u64::MAX - 1, u64::MAX)), Reload::Now);
    assert_eq!(last.hold(), Duration::MAX);
}

/// One step of a live playlist: a part, the end of a segment that had parts, or one that came whole.
#[derive(Clone, Copy, Debug)]
enum Step {
    Part,
    Close,
}

fn advance(frontier: &Frontier, step: Step) -> Frontier {
    let mut later = frontier.clone();
    match step {
        Step::Part => later.next.part += 1,
        Step::Close => {
            later.closed_parts.push(later.next.part);
            later.next = Position::segment(later.next.msn + 1);
        }
    }
    later
}

fn history() -> impl Strategy<Value = Vec<Frontier>> {
    let step = prop_oneof![4 => Just(Step::Part), 1 => Just(Step::Close)];
    let part_target = proptest::option::of((1_u64..1_500_000_000).prop_map(Duration::from_nanos));
    (proptest::collection::vec(step, 1..40), 0_u64..5, part_target).prop_map(|(steps, first, part_target)| {
        let mut history = vec![Frontier { next: Position::segment(first), part_target, ..example() }];
        history[0].closed_parts.clear();
        for step in steps {
            let later = advance(&history[history.len() - 1], step);
            history.push(later);
        }
        history
    })
}

proptest! {
    #[test]
    fn what_is_answered_stays_answered_and_what_may_wait_is_not_refused_later(
        history in history(), msn in proptest::option::of(0_u64..12), part in proptest::option::of(0_u64..12),
    ) {
        let rank = |reload: &Reload| match reload {
            Reload::Refuse(_) => 0,
            Reload::Wait(_) => 1,
            Reload::Now => 2,
        };
        let verdicts: Vec<_> = history.iter().map(|frontier| frontier.judge(&asked(msn, part))).collect();
        prop_assert!(verdicts.is_sorted_by_key(rank), "{:?}", verdicts);
    }

    #[test]
    fn those_who_wait_are_answered_with_those_who_come(
        history in history(), msn in 0_u64..12, part in proptest::option::of(0_u64..12),
    ) {
        let mut waiting = None;
        for frontier in &history {
            let verdict = frontier.judge(&asked(msn, part));
            if let Some(wanted) = waiting {
                prop_assert_eq!(frontier.judge_waiting(wanted), verdict);
                prop_assert!(!matches!(verdict, Reload::Refuse(_)));
            }
            let released = frontier.next > Position::new(msn + 1, 0);
            prop_assert!(!released || verdict == Reload::Now);
            waiting = match verdict {
                Reload::Wait(wanted) => Some(wanted),
                Reload::Now | Reload::Refuse(_) => None,
            };
        }
    }

    #[test]
    fn nobody_is_answered_before_what_was_asked_for_is_listed(
        history in history(), msn in 0_u64..12, part in proptest::option::of(0_u64..12),
    ) {
        for frontier in &history {
            let is_listed = match part.filter(|_| frontier.part_target.is_some()) {
                Some(part) => Position::new(msn, part) < frontier.next,
                None => msn < frontier.next.msn,
            };
            if !is_listed {
                prop_assert_ne!(frontier.judge(&asked(msn, part)), Reload::Now);
            }
        }
    }

    #[test]
    fn any_question_to_any_frontier_is_judged(
        next in any::<(u64, u64)>(), closed_parts in proptest::collection::vec(any::<u64>(), 0..3),
        part_target in proptest::option::of(any::<Duration>()), msn in any::<Option<u64>>(), part in any::<Option<u64>>(),
    ) {
        let next = Position::new(next.0, next.1);
        let frontier = Frontier { next, closed_parts, part_target, ..example() };
        for msn in [msn, Some(next.msn), next.msn.checked_add(1), next.msn.checked_sub(1)] {
            if let Reload::Wait(wanted) = frontier.judge(&asked(msn, part)) {
                prop_assert_eq!(frontier.judge_waiting(wanted), Reload::Wait(wanted));
            }
        }
    }
}
