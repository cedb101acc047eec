//! Datagrams from the socket to their connections, and who may begin a new one: under load an address must first be
//! shown (Retry), above a bound nobody is taken (RFC 9000 §8.1, §21.2).

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use quinn_proto::{DatagramEvent, Incoming, ServerConfig, Transmit};
use quinn_udp::RecvMeta;
use tracing::debug;

use super::cid::Seat;
use super::connection::{Connection, Core, Draining};
use super::layer::MakeLayer;
use super::settings::{Admit, Settings};
use super::socket::Socket;
use super::table::Table;
use crate::clock::Tick;

/// Answers of the endpoint itself (version negotiation, refusal, reset) in one second: what asks for more is an attack.
const ANSWERS: u32 = 1_000;

/// Sorts what comes in.
pub(super) struct Inbox {
    admit: Admit,
    retry_above: usize,
    refuse_above: usize,
    /// Answers to send, and their octets; emptied after each batch.
    answers: Vec<(Transmit, Vec<u8>)>,
    second: Tick,
    answered: u32,
}

impl Inbox {
    pub(super) fn new(settings: &Settings, seat: Seat) -> Self {
        let share = |limit: usize| limit.div_ceil(seat.workers.into());
        Self {
            admit: settings.admit.clone(),
            retry_above: share(settings.limits.quic_retry_above),
            refuse_above: share(settings.limits.quic_handshakes),
            answers: Vec::new(),
            second: Tick::default(),
            answered: 0,
        }
    }

    /// Takes one buffer of datagrams, which came together.
    pub(super) fn sort<M: MakeLayer>(
        &mut self,
        core: &mut Core<M>,
        table: &mut Table<M::Layer>,
        meta: &RecvMeta,
        octets: &[u8],
    ) {
        let mut datagrams = BytesMut::from(octets);
        let ecn = meta.ecn.and_then(|ecn| quinn_proto::EcnCodepoint::from_bits(ecn as u8));
        let now = core.instant();
        while !datagrams.is_empty() {
            let datagram = datagrams.split_to(meta.stride.clamp(1, datagrams.len()));
            let mut answer = Vec::new();
            match core.endpoint.handle(now, meta.addr, meta.dst_ip, ecn, datagram, &mut answer) {
                Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                    table.with(core, handle.0, |connection, core| connection.receive(core, event));
                    table.wants_turn(handle.0);
                }
                Some(DatagramEvent::NewConnection(incoming)) => self.judge(core, table, incoming),
                Some(DatagramEvent::Response(transmit)) => self.answer_sparingly(core.now, transmit, answer),
                None => {}
            }
        }
    }

    /// Sends the answers that sorting gave.
    pub(super) fn post(&mut self, socket: &Socket) {
        for (transmit, octets) in self.answers.drain(..) {
            socket.answer(transmit, &octets);
        }
    }

    fn judge<M: MakeLayer>(&mut self, core: &mut Core<M>, table: &mut Table<M::Layer>, incoming: Incoming) {
        let mut octets = Vec::new();
        if core.draining != Draining::No || core.handshakes >= self.refuse_above {
            return self.refuse(core, incoming);
        }
        if core.handshakes >= self.retry_above && !incoming.remote_address_validated() {
            // An address that is not validated may always be asked, so this cannot fail.
            if let Ok(transmit) = core.endpoint.retry(incoming, &mut octets) {
                core.counters.retries.add(1);
                self.answers.push((transmit, octets));
            }
            return;
        }
        let Some(permit) = (self.admit)(incoming.remote_address().ip().to_canonical()) else {
            return self.refuse(core, incoming);
        };
        let now = core.instant();
        match core.endpoint.accept(incoming, now, &mut octets, None::<Arc<ServerConfig>>) {
            Ok((handle, quic)) => {
                let connection = Connection::new(core, handle, quic, permit);
                table.insert(connection);
            }
            Err(error) => {
                debug!(error = %error.cause, "quic connection failed at its first packet");
                core.counters.handshake_failures.add(1);
                if let Some(transmit) = error.response {
                    self.answer_sparingly(core.now, transmit, octets);
                }
            }
        }
    }

    fn refuse<M>(&mut self, core: &mut Core<M>, incoming: Incoming) {
        let mut octets = Vec::new();
        core.counters.refused.add(1);
        let transmit = core.endpoint.refuse(incoming, &mut octets);
        self.answer_sparingly(core.now, transmit, octets);
    }

    fn answer_sparingly(&mut self, now: Tick, transmit: Transmit, octets: Vec<u8>) {
        if now.since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.answered = 0;
        }
        if self.answered < ANSWERS {
            self.answered += 1;
            self.answers.push((transmit, octets));
        }
    }
}
