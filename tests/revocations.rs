//! Revocations by the million, and over kills: in processes of their own, so that what they take can be measured and they
//! can be killed.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use weir::clock::{Clock, WallTime};
use weir::disk::{Choice, Engine};
use weir::journal::{Journal, Kind, Room, reader};
use weir::rules::session::{Revocation, What};
use weir::sessions::{Bounds, Sessions, Source};
use weir::tasks::Tasks;

const FOLDER: &str = "WEIR_TEST_JOURNAL";
const MILLION: u64 = 1_000_000;

fn revocation(number: u64) -> Revocation {
    let print = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number >> 7;
    Revocation { access: "members".into(), what: What::Token(print), at: 0, until: 4_000_000_000 - number % 1_000 }
}

/// A test of this file in a process of its own.
fn process(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]);
    command
}

/// What this process has resident, in octets.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn a_million_revocations_take_less_than_64_mebibytes() {
    let output = process("child_that_remembers_a_million").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let taken = text.lines().find_map(|line| line.strip_prefix("taken ")).expect(&text).parse::<u64>().unwrap();
    assert!(taken < 64 << 20, "{} MiB", taken >> 20);
}

#[test]
#[ignore = "it runs in a process of its own"]
fn child_that_remembers_a_million() {
    let sessions = Sessions::new(Bounds { sessions: 1_000, revocations: MILLION as usize });
    let before = resident();
    for number in 0..MILLION {
        sessions.remember(&revocation(number).write(), WallTime::default());
    }
    let after = resident();
    assert_eq!(sessions.snapshot().revocations, MILLION as usize);
    // And a hundred thousand more, each of which pushes one out.
    for number in 0..MILLION / 10 {
        sessions.remember(&revocation(MILLION + number).write(), WallTime::default());
    }
    let snapshot = sessions.snapshot();
    assert_eq!((snapshot.revocations, snapshot.pushed_out), (MILLION as usize, MILLION / 10));
    println!("\ntaken {}", resident().max(after).saturating_sub(before));
}

/// Takes back one after the other in the folder and says which are kept, until it is killed.
#[tokio::test]
#[ignore = "it runs in a process of its own"]
async fn child_that_keeps_revocations() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (clock, tasks) = (Clock::system(), Tasks::current());
    let folder = Path::new(&folder);
    let sessions = Sessions::new(Bounds { sessions: 1_000, revocations: 100_000 });
    let engine = Engine::start(Choice::Threads, folder, clock.clone()).unwrap();
    let mut known = 0;
    // Small files, so that it is killed between two of them and while they are put together too.
    let room = Room { file: 8 << 10, all: 64 << 20 };
    let journal = Journal::open(folder, (engine, clock.clone()), room, |_, event| {
        sessions.remember(event, clock.wall());
        known += 1;
    });
    let journal = journal.unwrap();
    tasks.spawn("journal", journal.clone().write(tasks.clone()));
    tasks.spawn("journal", journal.clone().compact(tasks.clone(), |_, _| true));
    sessions.keep_in(journal);
    let mut out = std::io::stdout();
    for number in sessions.snapshot().revocations as u64.. {
        let revoked = sessions.revoke(&[revocation(number)], Source::Here, clock.wall());
        assert_eq!(revoked.kept().await, weir::sessions::Kept::Durably);
        writeln!(out, "\nkept {number}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for kill in 0..12_u64 {
        let mut child = process("child_that_keeps_revocations")
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // It is killed after some answers, at whatever it does then.
        let mut left = 20 + kill * 37 % 200;
        while left > 0 {
            let line = lines.next().expect("it goes on until it is killed").unwrap();
            if let Some(number) = line.strip_prefix("kept ") {
                acknowledged = number.parse::<u64>().unwrap() + 1;
                left -= 1;
            }
        }
        child.kill().unwrap();
        let last =
            lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("kept ")?.parse::<u64>().ok()).last();
        acknowledged = last.map_or(acknowledged, |last| last + 1);
        child.wait().unwrap();
        let mut read = std::collections::BTreeSet::new();
        reader::read(folder.path(), |kind, event| {
            assert_eq!(kind, Kind::Revoked);
            read.insert(Revocation::read(event).unwrap().what_print());
        })
        .unwrap();
        let missing = (0..acknowledged).find(|number| !read.contains(&revocation(*number).what_print()));
        assert_eq!(missing, None, "of {acknowledged}, after {} kills", kill + 1);
    }
    assert!(acknowledged > 1_000, "{acknowledged}");
}

trait Print {
    fn what_print(&self) -> u64;
}

impl Print for Revocation {
    fn what_print(&self) -> u64 {
        match self.what {
            What::Token(print) => print,
            _ => panic!("tokens alone are taken back here"),
        }
    }
}

#[test]
fn the_time_that_is_given_is_the_time_that_counts() {
    let sessions = Sessions::new(Bounds { sessions: 10, revocations: 10 });
    sessions.remember(&revocation(1).write(), WallTime::at(Duration::from_secs(4_000_000_000)));
    assert_eq!(sessions.snapshot().revocations, 0, "it is over");
}
