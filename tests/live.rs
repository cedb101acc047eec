//! A live stream through the node: viewers of all protocols at once play it without a stall, and the origin is asked
//! once for each part and each version of a playlist. A binary of its own, because cargo runs those one after the other:
//! viewers who play in real time beside stories that move hundreds of megabytes would stall for want of a processor.
#![allow(
    clippy::disallowed_methods,
    clippy::excessive_nesting,
    clippy::unwrap_used,
    reason = "a story is told in one closure, with tasks and a last deadline of its own; what fails in it is to panic"
)]

#[path = "scenarios/certificates.rs"]
#[allow(dead_code, reason = "shared with other stories")]
mod certificates;
#[path = "scenarios/stage.rs"]
#[allow(dead_code, reason = "shared with other stories")]
mod stage;

use std::time::Duration;

use tokio::task::JoinSet;
use weir_loadtest::client::Way;
use weir_loadtest::viewer::{Outcome, Plan, play};

use stage::{Setup, Stage, tell};

const VIEWERS_PER_WAY: usize = 3;
/// What is only late may be tried this often: a machine that is busy with other things starves viewers. What is late each
/// time fails, unless this process waited for a processor longer than it ran, each time.
const TRIES: usize = 3;

#[tokio::test]
async fn viewers_play_without_a_stall_and_the_origin_is_asked_once_for_all() {
    let mut is_starved = true;
    let mut late = Vec::new();
    for _ in 0..TRIES {
        let mut lacked = Duration::ZERO;
        tell(Way::H1, Setup::default(), async |stage: &Stage| {
            let (ran, waited) = processor();
            late = attempt(stage).await;
            let now = processor();
            lacked = now.1.saturating_sub(waited).saturating_sub(now.0.saturating_sub(ran));
        })
        .await;
        if late.is_empty() {
            return;
        }
        is_starved &= !lacked.is_zero();
        println!("again, {lacked:?} short of a processor: {late:#?}");
    }
    assert!(is_starved, "late each time: {late:#?}");
    println!("busy: this machine is too busy to judge time; all else was right");
}

/// How long the threads of this process have run, and how long they have waited for a processor while they could have run
/// (proc_pid_schedstat): zero where the kernel does not say.
fn processor() -> (Duration, Duration) {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let said = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
    said.fold(Default::default(), |(ran, waited), text| {
        let mut spans = text.split(' ').map(|number| Duration::from_nanos(number.parse().unwrap_or_default()));
        (ran + spans.next().unwrap_or_default(), waited + spans.next().unwrap_or_default())
    })
}

/// Plays once: what was late. What is wrong fails at once.
async fn attempt(stage: &Stage) -> Vec<String> {
    let plan = Plan::new("/live/master.m3u8").lasting(Duration::from_secs(4));
    let mut playing = JoinSet::new();
    for way in Way::ALL {
        for _ in 0..VIEWERS_PER_WAY {
            let (viewer, plan) = (stage.viewer_by(way).await, plan.clone());
            playing.spawn(async move { (way, play(&viewer, &plan).await) });
        }
    }
    let mut late = Vec::new();
    while let Some(played) = playing.join_next().await {
        let (way, outcome) = played.unwrap();
        assert!(is_only_late(&outcome), "over {}: {outcome:#?}", way.name());
        if !outcome.is_good() || outcome.requests.media < 10 {
            late.push(format!("over {}: {outcome:#?}", way.name()));
        }
    }
    for (url, count) in stage.origin.stats().counts() {
        let is_media = url.ends_with(".m4s") || url.ends_with(".mp4");
        assert!(count == 1 || !is_media, "{url} was asked for {count} times");
        // After a stall of its own the node asks for a version again, as it may have missed it.
        if count > 1 && url.contains("_HLS_msn=") {
            late.push(format!("{url} was asked for {count} times"));
        }
    }
    late
}

/// Whether nothing went wrong, but for what those meet who fell behind: it has left the list, or was held for too long.
fn is_only_late(outcome: &Outcome) -> bool {
    let is_behind = outcome.startup.is_none() || outcome.stalls.count + outcome.jumps > 0;
    let mut words = outcome.errors.counts.keys();
    words.all(|word| is_behind && ["deadline", "status-404", "status-503"].contains(&word.as_str()))
}
