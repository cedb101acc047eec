//! Held reloads: who is released with what, and what is left when viewers go.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::parking::{Fate, Full, Held, Parked, Parking, Want};
use super::state::State;
use crate::cache::Bells;
use crate::rules::hls::Position;
use crate::rules::hls::reload::Wanted;

fn parking(most: usize) -> (Arc<Parking>, Arc<Held>) {
    let held = Held::new(most);
    (Parking::new(Bells::new(0), held.clone()), held)
}

fn part(msn: u64, part: u64) -> Want {
    Want::Reload(Wanted::Part(Position::new(msn, part)))
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Someone who sleeps.
fn sleeper(parked: Parked) -> std::pin::Pin<Box<dyn Future<Output = Arc<State>>>> {
    let mut sleeper: std::pin::Pin<Box<dyn Future<Output = Arc<State>>>> = Box::pin(parked.released());
    assert!(poll(&mut sleeper).is_pending());
    sleeper
}

#[test]
fn all_of_a_group_are_released_with_one_state_and_the_others_sleep_on() {
    let (parking, held) = parking(10);
    let mut first: Vec<_> = (0..3).map(|_| sleeper(parking.park(part(7, 1)).unwrap())).collect();
    let mut other = sleeper(parking.park(Want::Reload(Wanted::Segment(7))).unwrap());
    // Somebody who has a place and has not gone to sleep yet.
    let mut awake = Box::pin(parking.park(part(7, 1)).unwrap().released());
    let state = Arc::new(State::Asked);
    parking.release(&state, |want| if want == part(7, 1) { Fate::Release } else { Fate::Wait(want) });
    for sleeper in &mut first {
        assert!(matches!(poll(sleeper), Poll::Ready(released) if Arc::ptr_eq(&released, &state)));
    }
    assert!(matches!(poll(&mut awake), Poll::Ready(released) if Arc::ptr_eq(&released, &state)));
    assert!(poll(&mut other).is_pending());
    assert_eq!((parking.waiting(), held.now()), (1, 1), "whoever is released has left its place");
    drop((first, awake, other));
    assert_eq!((parking.waiting(), held.now()), (0, 0));
}

#[test]
fn a_group_that_comes_to_want_something_else_waits_with_those_who_do() {
    let (parking, _held) = parking(10);
    let mut late = sleeper(parking.park(part(7, 5)).unwrap());
    let mut early = sleeper(parking.park(part(8, 0)).unwrap());
    let closed = |want| Fate::Wait(if want == part(7, 5) { part(8, 0) } else { want });
    parking.release(&Arc::new(State::Asked), closed);
    assert!(poll(&mut late).is_pending() && poll(&mut early).is_pending());
    parking
        .release(&Arc::new(State::PerViewer), |want| if want == part(8, 0) { Fate::Release } else { Fate::Wait(want) });
    assert!(matches!(poll(&mut late), Poll::Ready(state) if matches!(*state, State::PerViewer)));
    assert!(matches!(poll(&mut early), Poll::Ready(state) if matches!(*state, State::PerViewer)));
}

#[test]
fn a_thousand_who_leave_free_their_places_at_once_in_whatever_order() {
    let (parking, held) = parking(1_000);
    let mut sleepers: Vec<_> =
        (0..1_000).map(|viewer| Some(sleeper(parking.park(part(viewer % 5, 0)).unwrap()))).collect();
    assert_eq!(parking.park(Want::First).err(), Some(Full::Node));
    assert_eq!((parking.waiting(), held.now()), (1_000, 1_000));
    // 7 has no factor in common with 1000, so that each leaves once.
    for step in 0..1_000 {
        sleepers[step * 7 % 1_000] = None;
        assert_eq!(held.now(), 999 - step);
    }
    assert_eq!(parking.waiting(), 0);
    assert!(parking.park(Want::First).is_ok());
}

#[test]
fn the_bound_of_the_node_can_change_and_those_who_wait_stay() {
    let (parking, held) = parking(2);
    let _waiting = [parking.park(Want::First).unwrap(), parking.park(Want::First).unwrap()];
    held.set_most(1);
    assert_eq!(parking.park(Want::First).err(), Some(Full::Node));
    held.set_most(3);
    assert!(parking.park(Want::First).is_ok());
    assert_eq!(held.now(), 2);
}

#[test]
fn a_place_costs_little() {
    let (parking, _held) = parking(1);
    let released = pin!(parking.park(Want::First).unwrap().released());
    assert!(size_of_val(&*released) <= 128, "{}", size_of_val(&*released));
    assert!(size_of::<Parked>() <= 48);
}
