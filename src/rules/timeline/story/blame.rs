//! Who is to blame for a time in which the viewer was hurt. Whatever may explain it is weighed by how much of that time it
//! explains, in milliseconds; where nothing does and all was delivered, it is the player itself.

use super::away::Departure;
use super::cause::{Cause, Fault};
use super::facts::{Facts, RTT_BAD_US, Wait, Window, covered};
use super::play::Play;
use super::words::{counted, rate, span};

/// A buffer may run dry so long after the cause of it.
const LEAD_MS: u64 = 8_000;
/// A viewer who was sent away may come to a stall so much later.
const MOVE_MS: u64 = 15_000;
/// A change of a node explains so much of a stall.
const CHANGE_MS: u64 = 3_000;
/// A report that came so late was held up on its way.
const HELD_UP_MS: u64 = 2_500;

/// Who is to blame, and what shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blame {
    pub(super) cause: Cause,
    /// The half of a sentence that names who did what.
    pub(super) clause: String,
}

/// Something that may explain a time, and how much of it.
struct Reason {
    explains: u64,
    blame: Blame,
}

fn reason(explains: u64, cause: Cause, clause: String) -> Reason {
    Reason { explains, blame: Blame { cause, clause } }
}

/// Who is to blame for `window`; `own`: what it is if the player itself is.
pub(super) fn blame(facts: &Facts<'_>, play: &Play, window: &Window, own: Cause) -> Blame {
    let mut reasons = Vec::new();
    reasons.extend(refused(facts, window));
    reasons.extend(origins(facts, window));
    reasons.extend(late(facts, window));
    reasons.extend(nodes(facts, window));
    reasons.extend(path(facts, play, window));
    reasons.extend(silence(facts, play, window));
    let floor = (window.length() / 10).max(300);
    reasons.push(reason(floor, own, String::new()));
    // The first of the weightiest: who refuses explains more than what came of it.
    let most = reasons.iter().map(|reason| reason.explains).max().unwrap_or_default();
    let best = reasons.into_iter().find(|reason| reason.explains == most).expect("the player is always among them");
    if best.blame.cause == own { unexplained(facts, window, own) } else { best.blame }
}

/// The player itself, where it had what it needed.
fn unexplained(facts: &Facts<'_>, window: &Window, own: Cause) -> Blame {
    let wide = window.after(LEAD_MS);
    let media: u64 =
        facts.served.iter().filter(|(at, _)| wide.holds(*at)).map(|(_, served)| u64::from(served.media)).sum();
    let is_blind = facts.good.is_empty() || facts.lost.iter().any(|at| wide.holds(*at));
    if is_blind {
        return Blame { cause: Cause::Unexplained, clause: "nothing that was kept says why".to_owned() };
    }
    let did = match own {
        Cause::PlayerFailed => "the player gave up by itself",
        _ => "the player stalled by itself",
    };
    let had = match media {
        0 => "the node had what it could have asked for, and it asked for nothing".to_owned(),
        number => format!("{} of media came in time", counted(number, "object")),
    };
    Blame { cause: own, clause: format!("{did}, {had}") }
}

/// The half of a sentence that says who refused, and why.
pub(super) fn refusal_clause(cause: Cause, word: &str, node: &str) -> String {
    let why = if word.is_empty() { String::new() } else { format!(" ({word})") };
    match cause {
        Cause::Revoked => "the issuer took the session back (revoked)".to_owned(),
        Cause::TokenExpired => "the viewer's token had expired".to_owned(),
        Cause::TokenMissing => "the viewer sent no token".to_owned(),
        Cause::IssuerMismatch => format!("the issuer's token is not one that node {node} accepts{why}"),
        Cause::KeysUnavailable => "the issuer's keys could not be had".to_owned(),
        Cause::EntitlementOver => "what the viewer paid for was over".to_owned(),
        Cause::SessionLimit => "the viewer had as many sessions as the token allows (session-limit)".to_owned(),
        Cause::PlaceRefused => format!("the viewer is where the token or the route does not allow it{why}"),
        Cause::RateLimited => format!("the viewer asked for more than one viewer may{why}"),
        Cause::NodeOverloaded => format!("node {node} had no room{why}"),
        Cause::NodeConfiguration => format!("node {node} is not configured for what was asked{why}"),
        Cause::BadRequest => format!("the viewer's player asked for what cannot be served{why}"),
        _ => format!("the viewer's token does not open what was asked for{why}"),
    }
}

fn refused(facts: &Facts<'_>, window: &Window) -> Option<Reason> {
    let within = window.after(LEAD_MS);
    let mut refusals = facts.refusals.iter().filter(|refusal| within.holds(refusal.at));
    let first = refusals.find(|refusal| refusal.cause != Cause::BadRequest)?;
    let clause = refusal_clause(first.cause, &first.word, first.node);
    Some(reason(window.length().saturating_add(CHANGE_MS), first.cause, clause))
}

fn origins(facts: &Facts<'_>, window: &Window) -> Vec<Reason> {
    let wide = window.after(LEAD_MS);
    let mut reasons = Vec::new();
    for cause in [Cause::OriginDown, Cause::OriginError, Cause::OriginSlow] {
        let is_meant = |wait: &&Wait<'_>| wait.cause == cause && wait.time.to >= wide.from && wait.time.from <= wide.to;
        let waits: Vec<_> = facts.waits.iter().filter(is_meant).collect();
        let Some(clause) = origin_clause(cause, &waits) else { continue };
        reasons.push(reason(explained(&wide, cause, &waits), cause, clause));
    }
    for down in facts.down(window) {
        let explains = covered(&wide, std::iter::once(down.time));
        if explains > 0 {
            reasons.push(reason(explains, Cause::OriginDown, format!("origin {} was not well", down.origin)));
        }
    }
    reasons
}

/// How much of a time waits explain. One for which no viewer of the story waited explains half of what their own would, and
/// one such that failed may have been made good at once.
fn explained(wide: &Window, cause: Cause, waits: &[&Wait<'_>]) -> u64 {
    let own = waits.iter().filter(|wait| wait.is_own());
    let times = |waits: &[&Wait<'_>]| covered(wide, waits.iter().map(|wait| wait.time));
    let (number, of_own) = (own.clone().count(), covered(wide, own.map(|wait| wait.time)));
    let felt = of_own.saturating_add(times(waits).saturating_sub(of_own) / 2);
    let each = if cause == Cause::OriginSlow { 0 } else { 1_000 };
    let others = (waits.len() - number).saturating_sub(1);
    felt.saturating_add(each * (number + others).min(10) as u64)
}

/// The half of a sentence that says what an origin did; `None`: it did nothing.
pub(super) fn origin_clause(cause: Cause, waits: &[&Wait<'_>]) -> Option<String> {
    let worst = waits.iter().rev().max_by_key(|wait| wait.wait_ms)?;
    let origin = worst.origin;
    let path = worst.path.map(|path| format!(" for {path}")).unwrap_or_default();
    Some(match cause {
        Cause::OriginDown => format!("origin {origin} could not be reached{path}"),
        Cause::OriginError => {
            let status = worst.status.map(|status| format!(" ({status})")).unwrap_or_default();
            format!("origin {origin} answered {} with an error{status}{path}", super::words::times(waits.len()))
        }
        _ => format!("origin {origin} was slow, up to {}{path}", span(worst.wait_ms)),
    })
}

fn late(facts: &Facts<'_>, window: &Window) -> Option<Reason> {
    let wide = window.after(LEAD_MS);
    // A late playlist is what comes of something else, where that is seen too.
    let explains = covered(&wide, facts.late.iter().copied()) / 5 * 4;
    (explains > 0).then(|| reason(explains, Cause::PlaylistLate, late_clause(facts, &wide)))
}

/// The half of a sentence that says how late a playlist was.
pub(super) fn late_clause(facts: &Facts<'_>, within: &Window) -> String {
    let longest = facts.late.iter().filter(|late| late.to >= within.from && late.from <= within.to);
    let longest = longest.map(Window::length).max().unwrap_or_default();
    format!("the origin's playlist did not advance for {}", span(longest))
}

/// The half of a sentence that says how a node let go of its viewer.
pub(super) fn departure_clause(gone: &Departure<'_>) -> String {
    let did = if gone.cause == Cause::NodeDrained { "was drained" } else { "was started anew" };
    format!("node {} {did}", gone.node)
}

fn nodes(facts: &Facts<'_>, window: &Window) -> Vec<Reason> {
    let moved = window.after(MOVE_MS);
    let mut reasons = Vec::new();
    for gone in facts.departures.iter().filter(|gone| moved.holds(gone.at)) {
        if gone.cause == Cause::NodeRestarted || gone.silent <= MOVE_MS {
            reasons.push(reason(CHANGE_MS, gone.cause, departure_clause(gone)));
        }
    }
    let wide = window.after(LEAD_MS);
    let slow = facts.slow.iter().filter(|(at, _, _)| wide.holds(*at)).max_by_key(|(_, _, ms)| *ms);
    if let Some((_, node, ms)) = slow {
        let clause = format!("node {node} took {} to answer from its memory", span(*ms));
        reasons.push(reason(*ms, Cause::NodeOverloaded, clause));
    }
    reasons
}

fn path(facts: &Facts<'_>, play: &Play, window: &Window) -> Vec<Reason> {
    let wide = window.after(LEAD_MS);
    let length = window.length().max(1_000);
    let mut reasons = Vec::new();
    let paths: Vec<_> = facts.paths.iter().filter(|(at, _)| wide.holds(*at)).map(|(_, path)| *path).collect();
    let room = paths.iter().filter_map(|path| path.throughput_kbps).max();
    let carried = carried(facts, &wide);
    if let Some(needed) = play.kbps.filter(|kbps| *kbps > 0) {
        // What a path carried is what was asked for where there was room for more: it counts only where it is far too little.
        let measured = carried.filter(|kbps| kbps.saturating_mul(10) < needed.saturating_mul(6));
        let slow = room.filter(|kbps| *kbps < needed).or(measured);
        if let Some(kbps) = slow {
            let clause = format!("the network carried {}, and the stream takes {}", rate(kbps), rate(needed));
            reasons.push(reason(length / 10 * 7, Cause::NetworkSlow, clause));
        }
    }
    let cut = facts.cut.iter().filter(|at| wide.holds(**at)).count() as u64;
    if cut > 0 {
        let clause =
            format!("the network did not carry {} to its end", counted(cut, "body").replace("bodys", "bodies"));
        reasons.push(reason(cut.saturating_mul(800).min(length), Cause::NetworkSlow, clause));
    }
    let before = facts.paths.iter().rev().find(|(at, _)| *at < wide.from).map_or(0, |(_, path)| path.retransmits);
    let again = paths.iter().map(|path| path.retransmits).max().unwrap_or_default().saturating_sub(before);
    let octets: u64 = facts
        .served
        .iter()
        .filter(|(at, _)| wide.holds(*at))
        .map(|(_, served)| served.bytes)
        .fold(0, u64::saturating_add);
    let rtt = paths.iter().map(|path| path.rtt_us).max().unwrap_or_default();
    // One packet in fifty, of about 1,400 octets each.
    if again >= 30 && again.saturating_mul(50 * 1_400) > octets {
        let clause =
            format!("the network lost packets, {again} were sent again, and a round trip took {} ms", rtt / 1_000);
        reasons.push(reason(length / 10 * 6, Cause::NetworkLossy, clause));
    } else if rtt >= RTT_BAD_US {
        let clause = format!("the network took {} ms for a round trip", rtt / 1_000);
        reasons.push(reason(length / 2, Cause::NetworkSlow, clause));
    }
    reasons
}

/// What a path carried while bodies were sent, in kbit/s, where it was enough to tell.
pub(super) fn carried(facts: &Facts<'_>, within: &Window) -> Option<u64> {
    const ENOUGH: u64 = 100_000;
    let served = facts.served.iter().filter(|(at, _)| within.holds(*at));
    let sum = |(octets, ms): (u64, u64), (_, served): &(u64, &super::super::event::Served)| {
        (octets.saturating_add(served.bytes), ms.saturating_add(served.sending_ms))
    };
    let (octets, ms) = served.fold((0, 0), sum);
    (octets >= ENOUGH && ms > 0).then(|| octets.saturating_mul(8) / ms)
}

/// Nothing came to the nodes, and what the player wrote down meanwhile came late.
fn silence(facts: &Facts<'_>, play: &Play, window: &Window) -> Option<Reason> {
    let silent = window.from.saturating_add(500)..window.from + window.length() / 10 * 9;
    if window.length() < 1_000 || facts.asked.iter().any(|(at, _)| silent.contains(at)) {
        return None;
    }
    let late = play.late.iter().filter(|(at, _)| window.holds(*at)).map(|(_, late)| *late).max()?;
    let clause = format!("the network was down, the player's reports came {} late", span(late));
    (late >= HELD_UP_MS).then(|| reason(window.length().saturating_add(500), Cause::NetworkDown, clause))
}

/// Whether a cause is one of the gate's, or of the node's own door.
pub(super) fn is_of_the_door(cause: Cause) -> bool {
    !matches!(cause.fault(), Fault::Origin | Fault::None) && !matches!(cause, Cause::BadRequest | Cause::RateLimited)
}
