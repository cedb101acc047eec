//! The fill's state machine under a model checker: loom runs each story in every order that matters (three forced
//! switches deep) and reports a task that is never woken as a deadlock. The files are the node's own, compiled over
//! loom's locks and atomics; only objects are stand-ins.

#![expect(dead_code, reason = "the stories use a part of each file")]

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use loom::future::block_on;
use loom::thread;

#[path = "../src/cache/arrival.rs"]
mod arrival;
#[path = "../src/cache/audience.rs"]
mod audience;
#[path = "../src/cache/bells.rs"]
mod bells;
#[path = "../src/cache/failure.rs"]
mod failure;
#[path = "../src/cache/flights.rs"]
mod flights;
#[path = "../src/cache/memory.rs"]
mod memory;
#[path = "../src/cache/waiting.rs"]
mod waiting;

/// loom's locks and atomics, spelled as the node's.
mod sync {
    pub(super) use loom::sync::MutexGuard;
    pub(super) use loom::sync::atomic::{AtomicU64, AtomicUsize, fence};

    #[derive(Default)]
    pub(super) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("no story panics under a lock")
        }
    }
}

mod object {
    use std::ops::Range;

    use bytes::Bytes;

    pub(super) struct ResponseHead;

    pub(super) struct Object(pub Vec<u8>);

    impl Object {
        pub fn length(&self) -> u64 {
            self.0.len() as u64
        }
    }

    #[derive(Clone)]
    pub(super) struct Piece {
        pub end: u64,
        pub octets: Bytes,
    }

    pub(super) fn slice(octets: &Bytes, start: u64, range: Range<u64>) -> Bytes {
        octets.slice((range.start - start) as usize..(range.end - start) as usize)
    }
}

use arrival::{Arrival, Caller, Joining, Next, Response};
use audience::Audience;
use bells::{Bells, Lanes};
use failure::FillEnd;
use flights::{Boarding, Flights};
use memory::{Kind, Memory};
use object::{Object, ResponseHead};
use sync::Mutex;

fn model(story: impl Fn() + Send + Sync + 'static) {
    let mut checker = loom::model::Builder::new();
    checker.preemption_bound = Some(3);
    checker.check(story);
}

fn response() -> Response {
    Response { head: Arc::new(ResponseHead), length: None, audience: Audience::Everyone }
}

fn join(arrival: &Arrival) -> usize {
    let Joining::Joined(place) = arrival.join(10, |_| true) else { panic!("the fill takes no reader") };
    place
}

/// Reads to the end, as a task of the worker with this lane.
async fn read(arrival: &Arrival, bells: &Bells, (place, lane): (usize, usize)) -> Result<Vec<u8>, FillEnd> {
    let mut body = Vec::new();
    loop {
        let next = poll_fn(|cx| {
            let (next, aftermath) = arrival.poll_next(place, &Caller { lane, waker: cx.waker() });
            aftermath.settle(bells);
            next
        });
        match next.await? {
            Next::Octets(octets) => body.extend_from_slice(&octets),
            Next::Object(object) => {
                body.extend_from_slice(&object.0[body.len()..]);
                return Ok(body);
            }
            Next::End => return Ok(body),
        }
    }
}

/// Waits for the whole, as a task of the worker with lane 0, and says whether it came.
async fn whole(arrival: &Arrival, place: usize) -> bool {
    poll_fn(|cx| arrival.poll_reached(place, u64::MAX, &Caller { lane: 0, waker: cx.waker() })).await.is_ok()
}

fn write(arrival: &Arrival, bells: &Bells) {
    arrival.head(response()).settle(bells);
    arrival.append([Bytes::from_static(b"ab")]).settle(bells);
    arrival.append([Bytes::from_static(b"c")]).settle(bells);
}

#[test]
fn no_reader_misses_an_octet_or_the_end_of_a_fill_that_completes() {
    model(|| {
        let (arrival, bells) = (Arc::new(Arrival::new()), Bells::new(0));
        let place = arrival.lead();
        let reader = thread::spawn({
            let (arrival, bells) = (arrival.clone(), bells.clone());
            move || block_on(read(&arrival, &bells, (place, 0))).unwrap()
        });
        write(&arrival, &bells);
        arrival.complete(Arc::new(Object(b"abc".into()))).settle(&bells);
        assert_eq!(reader.join().unwrap(), b"abc");
    });
}

#[test]
fn no_reader_misses_the_end_of_a_fill_that_fails() {
    model(|| {
        let (arrival, bells) = (Arc::new(Arrival::new()), Bells::new(0));
        let readers = [arrival.lead(), join(&arrival)].map(|place| {
            let (arrival, bells) = (arrival.clone(), bells.clone());
            thread::spawn(move || block_on(read(&arrival, &bells, (place, 0))).is_err())
        });
        arrival.head(response()).settle(&bells);
        arrival.fail(FillEnd::Abandoned).settle(&bells);
        for reader in readers {
            assert!(reader.join().unwrap());
        }
    });
}

#[test]
fn who_waits_for_the_whole_misses_neither_its_end_nor_its_failure() {
    for fails in [false, true] {
        model(move || {
            let (arrival, bells) = (Arc::new(Arrival::new()), Bells::new(0));
            let place = arrival.lead();
            let reader = thread::spawn({
                let arrival = arrival.clone();
                move || block_on(whole(&arrival, place))
            });
            arrival.head(response()).settle(&bells);
            arrival.append([Bytes::from_static(b"abc")]).settle(&bells);
            match fails {
                false => arrival.complete(Arc::new(Object(b"abc".into()))).settle(&bells),
                true => arrival.fail(FillEnd::Abandoned).settle(&bells),
            }
            assert_eq!(reader.join().unwrap(), !fails);
        });
    }
}

#[test]
fn a_reader_on_another_worker_is_woken_through_its_bell() {
    model(|| {
        let (arrival, bells) = (Arc::new(Arrival::new()), Bells::new(1));
        let place = arrival.lead();
        let ringer = thread::spawn({
            let ringer = bells.ringer(0);
            move || block_on(ringer)
        });
        let reader = thread::spawn({
            let (arrival, bells) = (arrival.clone(), bells.clone());
            move || block_on(read(&arrival, &bells, (place, 1))).unwrap()
        });
        arrival.head(response()).settle(&bells);
        arrival.append([Bytes::from_static(b"abc")]).settle(&bells);
        arrival.complete(Arc::new(Object(b"abc".into()))).settle(&bells);
        assert_eq!(reader.join().unwrap(), b"abc");
        bells.close();
        ringer.join().unwrap();
    });
}

#[test]
fn nobody_waits_for_a_ringer_that_ends() {
    model(|| {
        let bells = Bells::new(1);
        let ringer = bells.ringer(0);
        let ending = thread::spawn(move || drop(ringer));
        let mut rung = false;
        block_on(poll_fn(|cx| {
            if std::mem::replace(&mut rung, true) {
                return Poll::Ready(());
            }
            let mut lanes = Lanes::default();
            lanes.enter(1, cx.waker().clone());
            bells.ring(lanes);
            Poll::Pending
        }));
        ending.join().unwrap();
    });
}

#[test]
fn one_caller_leads_and_none_leads_after_what_it_wants_was_stored() {
    model(|| {
        let flights = Arc::new(Flights::<u8, Arrival>::new(1));
        let stored = Arc::new(Mutex::new(None::<Arc<Object>>));
        let (bells, leads) = (Bells::new(0), Arc::new(AtomicUsize::new(0)));
        let caller = || {
            let (flights, stored, bells, leads) = (flights.clone(), stored.clone(), bells.clone(), leads.clone());
            move || {
                let find = || stored.lock().clone();
                if find().is_some() {
                    return;
                }
                let boarding = flights.board(
                    &7,
                    |arrival| match arrival.join(10, |_| true) {
                        Joining::Joined(place) => Some((arrival.clone(), place)),
                        Joining::Full | Joining::Unfit => None,
                    },
                    || find().ok_or(()),
                    |()| {
                        let arrival = Arc::new(Arrival::new());
                        (arrival.clone(), Some(arrival))
                    },
                );
                match boarding {
                    Boarding::Stored(_) => {}
                    Boarding::Joined((arrival, place)) => {
                        assert_eq!(block_on(read(&arrival, &bells, (place, 0))).unwrap(), b"abc");
                    }
                    Boarding::Leads(arrival) => {
                        leads.fetch_add(1, Ordering::Relaxed);
                        arrival.head(response()).settle(&bells);
                        arrival.append([Bytes::from_static(b"abc")]).settle(&bells);
                        let object = Arc::new(Object(b"abc".into()));
                        *stored.lock() = Some(object.clone());
                        arrival.complete(object).settle(&bells);
                        flights.land(&7, &arrival);
                    }
                }
            }
        };
        let other = thread::spawn(caller());
        caller()();
        other.join().unwrap();
        assert_eq!(leads.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_writer_whose_window_is_full_goes_on_when_readers_read_or_leave() {
    model(|| {
        let (arrival, bells) = (Arc::new(Arrival::new()), Bells::new(0));
        let (reading, leaving) = (arrival.lead(), join(&arrival));
        arrival.head(response()).settle(&bells);
        arrival.narrow(2).settle(&bells);
        arrival.append([Bytes::from_static(b"ab")]).settle(&bells);
        let reader = thread::spawn({
            let (arrival, bells) = (arrival.clone(), bells.clone());
            move || block_on(read(&arrival, &bells, (reading, 0))).unwrap()
        });
        let leaver = thread::spawn({
            let (arrival, bells) = (arrival.clone(), bells.clone());
            move || arrival.leave(leaving).settle(&bells)
        });
        block_on(poll_fn(|cx| arrival.poll_room(cx.waker())));
        arrival.append([Bytes::from_static(b"c")]).settle(&bells);
        arrival.drain().settle(&bells);
        assert_eq!(reader.join().unwrap(), b"abc");
        leaver.join().unwrap();
    });
}

#[test]
fn the_writer_learns_that_the_last_reader_has_left() {
    model(|| {
        let (arrival, bells) = (Arc::new(Arrival::new()), Bells::new(0));
        let leavers = [arrival.lead(), join(&arrival)].map(|place| {
            let (arrival, bells) = (arrival.clone(), bells.clone());
            thread::spawn(move || arrival.leave(place).settle(&bells))
        });
        block_on(poll_fn(|cx| arrival.poll_unwanted(cx.waker())));
        leavers.into_iter().for_each(|leaver| leaver.join().unwrap());
    });
}

#[test]
fn whoever_waits_for_memory_is_woken_when_some_is_given_back() {
    model(|| {
        let memory = Memory::new(10);
        let held = memory.try_charge(Kind::Bodies, 6).unwrap();
        let holder = thread::spawn(move || drop(held));
        block_on(poll_fn(|cx| {
            if memory.try_charge(Kind::Fills, 5).is_some() {
                return Poll::Ready(());
            }
            memory.wait(cx.waker());
            if memory.try_charge(Kind::Fills, 5).is_some() { Poll::Ready(()) } else { Poll::Pending }
        }));
        holder.join().unwrap();
        assert_eq!(memory.total(), 0);
    });
}
