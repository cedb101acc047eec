//! The sentence at the top: of all that hurt the viewer, what hurt most, and who is to blame for it.
//!
//! What hurts is weighed in milliseconds without a picture. Being shut out outweighs a player that gives up, which
//! outweighs every stall; what nobody says that the viewer noticed weighs half. What weighs less than a second is no
//! trouble.

use super::away::{Departure, STILL_THERE_MS};
use super::blame::{Blame, blame, departure_clause, is_of_the_door, late_clause, origin_clause, refusal_clause};
use super::cause::{Cause, Fault};
use super::facts::{Facts, Refused, Window, covered};
use super::play::{Play, Stall, Startup};
use super::words::{span, time, times};

/// A viewer who is shut out is hurt for good.
const SHUT_OUT: u64 = 10_000_000_000_000;
/// A player that has given up may be started again.
const GAVE_UP: u64 = 1_000_000_000_000;
/// A viewer who is sent to another node may lose so much.
const SENT_AWAY: u64 = 3_000;
/// What weighs less is no trouble.
const NO_TROUBLE: u64 = 1_000;
/// A player may take so long to start.
const START_MS: u64 = 3_000;
/// What led to the end of a player happened within this before it.
const BEFORE_END_MS: u64 = 12_000;
/// Sentences beside the headline.
const MOST_EVIDENCE: usize = 6;

/// What a story says at its top.
pub(super) struct Verdict {
    pub(super) cause: Cause,
    pub(super) headline: String,
    pub(super) evidence: Vec<String>,
}

/// Something that hurt, and by whom.
struct Hurt {
    weight: u64,
    what: String,
    blame: Blame,
}

/// Judges what the nodes saw and the player says, in the time of the session.
pub(super) fn verdict(facts: &Facts<'_>, play: &Play, life: &Window) -> Verdict {
    let mut hurts: Vec<Hurt> = Vec::new();
    hurts.extend(shut_out(facts, life));
    hurts.extend(gave_up(facts, play));
    hurts.extend(stalls(facts, play));
    hurts.extend(start(facts, play));
    hurts.extend(refused_for_a_while(facts));
    hurts.extend(sent_away(facts, life));
    if play.stalls.is_empty() && !play.tells {
        hurts.extend(delivered_late(facts, life));
    }
    hurts.sort_by_key(|hurt| std::cmp::Reverse(hurt.weight));
    let headline = match hurts.first().filter(|hurt| hurt.weight >= NO_TROUBLE) {
        None => return nothing_wrong(facts, play, life),
        Some(Hurt { what, blame: Blame { cause: Cause::Unexplained, clause }, .. }) => format!("{what}, and {clause}."),
        Some(hurt) => sentence(hurt),
    };
    let cause = hurts[0].blame.cause;
    let evidence = hurts.iter().skip(1).filter(|hurt| hurt.weight >= NO_TROUBLE).map(sentence);
    let evidence = evidence.chain(remarks(facts, play, life)).take(MOST_EVIDENCE).collect();
    Verdict { cause, headline, evidence }
}

fn sentence(hurt: &Hurt) -> String {
    let Hurt { what, blame, .. } = hurt;
    format!("{what}: {} (fault: {}).", blame.clause, fault_word(blame.cause.fault()))
}

const fn fault_word(fault: Fault) -> &'static str {
    match fault {
        Fault::Viewer => "viewer",
        Fault::Network => "network",
        Fault::Origin => "origin",
        Fault::Node => "node",
        Fault::Issuer => "issuer",
        Fault::Player => "player",
        Fault::None => "none",
    }
}

/// The last that was heard of the viewer is that they were refused.
fn shut_out(facts: &Facts<'_>, life: &Window) -> Option<Hurt> {
    let at_the_door = |refusal: &&Refused<'_>| is_of_the_door(refusal.cause);
    let last = facts.refusals.iter().rfind(at_the_door)?;
    if facts.is_good_after(last.at) {
        return None;
    }
    let first = facts.refusals.iter().filter(at_the_door).find(|refusal| !facts.is_good_after(refusal.at))?;
    let was_in = facts.let_in.is_some_and(|at| at <= first.at) || facts.good.iter().any(|(good, _)| *good <= first.at);
    let what = match was_in {
        true => {
            format!("The viewer was shut out at {} after {}", time(first.at), span(first.at.saturating_sub(life.from)))
        }
        false => format!("The viewer was not let in at {}", time(first.at)),
    };
    let blame = Blame { cause: first.cause, clause: refusal_clause(first.cause, &first.word, first.node) };
    Some(Hurt { weight: SHUT_OUT, what, blame })
}

fn gave_up(facts: &Facts<'_>, play: &Play) -> Option<Hurt> {
    let (at, error) = play.failures.first()?;
    let window = Window { from: at.saturating_sub(BEFORE_END_MS), to: *at };
    let error = if error.is_empty() { String::new() } else { format!(" ({error})") };
    let what = format!("The player gave up at {}{error}", time(*at));
    Some(Hurt { weight: GAVE_UP, what, blame: blame(facts, play, &window, Cause::PlayerFailed) })
}

/// Stalls, those of one cause together.
fn stalls(facts: &Facts<'_>, play: &Play) -> Vec<Hurt> {
    let mut by_cause: Vec<(Blame, Vec<Stall>)> = Vec::new();
    let mut longest_first = play.stalls.clone();
    longest_first.sort_by_key(|stall| std::cmp::Reverse(stall.to.saturating_sub(stall.from)));
    for stall in longest_first {
        let window = Window { from: stall.from, to: stall.to };
        let found = blame(facts, play, &window, Cause::PlayerStalled);
        match by_cause.iter_mut().find(|(blame, _)| blame.cause == found.cause) {
            Some((_, stalls)) => stalls.push(stall),
            None => by_cause.push((found, vec![stall])),
        }
    }
    let of_cause = |(blame, stalls): (Blame, Vec<Stall>)| {
        let sum = stalls.iter().fold(0_u64, |sum, stall| sum.saturating_add(stall.to.saturating_sub(stall.from)));
        let first = stalls.iter().map(|stall| stall.from).min().unwrap_or_default();
        let what = match (stalls.len(), sum) {
            (1, 0) => format!("Playback stalled at {}", time(first)),
            (1, _) => format!("Playback stalled for {} at {}", span(sum), time(first)),
            (number, _) => {
                format!("Playback stalled {}, for {} in all, first at {}", times(number), span(sum), time(first))
            }
        };
        Hurt { weight: sum.max(NO_TROUBLE), what, blame }
    };
    by_cause.into_iter().map(of_cause).collect()
}

/// It took long to start, or did not.
fn start(facts: &Facts<'_>, play: &Play) -> Option<Hurt> {
    let (what, window) = match (play.startup, play.in_vain) {
        (Some(Startup { began, took, .. }), _) if took > START_MS => {
            let window = Window { from: began, to: began.saturating_add(took) };
            (format!("Playback took {} to start at {}", span(took), time(began)), window)
        }
        (None, Some((from, to))) if to - from > START_MS => {
            (format!("Playback did not start within {} from {}", span(to - from), time(from)), Window { from, to })
        }
        _ => return None,
    };
    let weight = window.length() - START_MS / 2;
    Some(Hurt { weight, what, blame: blame(facts, play, &window, Cause::PlayerStalled) })
}

/// Refused, and let in again.
fn refused_for_a_while(facts: &Facts<'_>) -> Option<Hurt> {
    let is_over = |refusal: &&Refused<'_>| facts.is_good_after(refusal.at) || !is_of_the_door(refusal.cause);
    let passing: Vec<_> = facts.refusals.iter().filter(is_over).collect();
    let (first, last) = (passing.first()?, passing.last()?);
    let length = last.at.saturating_sub(first.at);
    let number = passing.len();
    let weight = length.min(5_000) + 300 * number.min(20) as u64;
    let what = format!("{} refused between {} and {}", requests_were(number), time(first.at), time(last.at));
    let blame = Blame { cause: first.cause, clause: refusal_clause(first.cause, &first.word, first.node) };
    Some(Hurt { weight, what, blame })
}

fn requests_were(number: usize) -> String {
    if number == 1 { "A request was".to_owned() } else { format!("{number} requests were") }
}

/// Nodes that sent the viewer away, or ended under them.
fn sent_away(facts: &Facts<'_>, life: &Window) -> Vec<Hurt> {
    let was_there = |gone: &&Departure<'_>| gone.silent <= STILL_THERE_MS && gone.at > life.from;
    let of_departure = |gone: &Departure<'_>| {
        let was = if gone.cause == Cause::NodeDrained { "sent away" } else { "cut off" };
        let on = gone.next.map(|next| format!(" and went on at node {next}")).unwrap_or_default();
        let what = format!("The viewer was {was} at {}{on}", time(gone.at));
        Hurt { weight: SENT_AWAY, what, blame: Blame { cause: gone.cause, clause: departure_clause(gone) } }
    };
    facts.departures.iter().filter(was_there).map(of_departure).collect()
}

/// Nobody says how it went for the viewer, but this must have been felt.
fn delivered_late(facts: &Facts<'_>, life: &Window) -> Vec<Hurt> {
    let mut hurts = Vec::new();
    for cause in [Cause::OriginDown, Cause::OriginError, Cause::OriginSlow] {
        let waits: Vec<_> = facts.waits.iter().filter(|wait| wait.cause == cause && wait.is_own()).collect();
        let Some(clause) = origin_clause(cause, &waits) else { continue };
        let (from, to) =
            waits.iter().fold((u64::MAX, 0), |(from, to), wait| (from.min(wait.time.from), to.max(wait.time.to)));
        let late = covered(&Window { from, to }, waits.iter().map(|wait| wait.time));
        let weight = (late / 2).max(NO_TROUBLE + 100 * waits.len().min(10) as u64);
        let what = match late {
            0..NO_TROUBLE if cause != Cause::OriginSlow => {
                format!("Delivery failed {} from {}", times(waits.len()), time(from))
            }
            _ => format!("Delivery was held up for {} from {}", span(late), time(from)),
        };
        hurts.push(Hurt { weight, what, blame: Blame { cause, clause } });
    }
    let late = covered(life, facts.late.iter().copied());
    if let Some(first) = facts.late.first().filter(|_| late > 0) {
        let what = format!("New media was late for {} from {}", span(late), time(first.from));
        let blame = Blame { cause: Cause::PlaylistLate, clause: late_clause(facts, life) };
        let least = if late >= 2 * NO_TROUBLE { NO_TROUBLE } else { 0 };
        hurts.push(Hurt { weight: (late / 5 * 2).max(least), what, blame });
    }
    if let Some((at, node, ms)) = facts.slow.iter().max_by_key(|(_, _, ms)| *ms) {
        let clause = format!("node {node} took {} to answer from its memory", span(*ms));
        let what = format!("Delivery was held up at {}", time(*at));
        hurts.push(Hurt { weight: ms / 2, what, blame: Blame { cause: Cause::NodeOverloaded, clause } });
    }
    hurts
}

fn nothing_wrong(facts: &Facts<'_>, play: &Play, life: &Window) -> Verdict {
    let mut parts = Vec::new();
    match play.played_ms {
        Some(played) => parts.push(format!("{} played", span(played))),
        None => parts.push(format!("{} watched", span(life.length()))),
    }
    if let Some(start) = play.startup {
        let about = if start.is_estimate { "about " } else { "" };
        parts.push(format!("started in {about}{}", span(start.took)));
    }
    let silent = if play.tells { "no stall" } else { "the player says nothing of stalls" };
    parts.push(silent.to_owned());
    let headline = format!("Nothing went wrong: {}.", parts.join(", "));
    let evidence = remarks(facts, play, life).take(MOST_EVIDENCE).collect();
    Verdict { cause: Cause::NothingWrong, headline, evidence }
}

/// What is worth knowing beside what hurt.
fn remarks(facts: &Facts<'_>, play: &Play, life: &Window) -> impl Iterator<Item = String> {
    let mut remarks = Vec::new();
    if play.tells && play.stalls.is_empty() {
        let unfelt = delivered_late(facts, life)
            .into_iter()
            .map(|hurt| format!("{}, which the player says nothing of: {}.", hurt.what, hurt.blame.clause));
        remarks.extend(unfelt);
    }
    if let Some(Startup { began, took, .. }) = play.startup.filter(|start| start.took <= START_MS) {
        remarks.push(format!("Playback started in {} at {}.", span(took), time(began)));
    }
    if !facts.lost.is_empty() {
        remarks.push("Something is missing from this story: entries were lost on the node.".to_owned());
    }
    if facts.left_out > 0 {
        let count = facts.left_out;
        remarks.push(format!(
            "The session is long: {count} entries between its beginning and its end are not in this story."
        ));
    }
    remarks.into_iter()
}
