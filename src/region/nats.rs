//! NATS under the bus: one connection, two subjects, `PREFIX.REGION.all` and `PREFIX.REGION.node.ID`.
//!
//! The client of the library connects and reconnects by itself, with pauses that double up to four seconds. While it is not
//! connected nothing is handed to it, for it would be sent late and would be worth nothing then.

use std::future::poll_fn;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerAddr, Subscriber};
use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::config::{Nats, NatsLogin, NatsServer, NatsTls};
use crate::tasks::Tasks;

use super::message::{NodeId, To};
use super::wire::{Happened, Order, QUEUE, Wire};

/// Messages that wait in one subscription.
const WAITING: usize = 4_096;
/// For TCP, TLS and the login.
const CONNECT: Duration = Duration::from_secs(5);
/// A server that does not answer two of these is lost.
const PING: Duration = Duration::from_secs(5);

/// Why there is no connection to be had.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// A server's name cannot be used.
    #[error("{0} is no NATS server that can be asked")]
    Server(String),
    /// The credentials file holds none.
    #[error("the credentials for NATS cannot be used: {0}")]
    Credentials(std::io::Error),
    /// The library refuses, for good.
    #[error("NATS cannot be used: {0}")]
    Connect(async_nats::ConnectError),
    /// The subjects cannot be heard.
    #[error("NATS subjects cannot be heard: {0}")]
    Subscribe(async_nats::SubscribeError),
}

/// What subjects a node speaks and hears.
#[derive(Clone, Debug)]
pub struct Subjects {
    base: String,
    own: NodeId,
}

impl Subjects {
    /// Those of a node of a region; what cannot stand in a subject becomes `_`.
    pub fn new(prefix: &str, region: &str, own: NodeId) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let region: String = region.chars().map(plain).collect();
        Self { base: format!("{prefix}.{region}"), own }
    }

    fn of(&self, to: To) -> String {
        match to {
            To::All => format!("{}.all", self.base),
            To::Node(NodeId(id)) => format!("{}.node.{id:016x}", self.base),
        }
    }
}

/// Connects, now or later; what happens and what comes goes to the bus.
///
/// # Errors
/// [`NatsError`]: what the configuration says can never work. Servers that are away are waited for.
pub async fn connect(config: &Nats, node: &str, subjects: Subjects, tasks: &Tasks) -> Result<Wire, NatsError> {
    let (happened, events) = mpsc::channel(QUEUE);
    let (orders, ordered) = mpsc::channel(QUEUE);
    let client = client(config, node, happened.clone()).await?;
    let all = client.subscribe(subjects.of(To::All)).await.map_err(NatsError::Subscribe)?;
    let own = client.subscribe(subjects.of(To::Node(subjects.own))).await.map_err(NatsError::Subscribe)?;
    let to_own = To::Node(subjects.own);
    tasks.spawn("nats-heard", hear(all, To::All, happened.clone()));
    tasks.spawn("nats-heard", hear(own, to_own, happened));
    tasks.spawn("nats-told", tell(client, subjects, ordered));
    Ok(Wire { orders, events })
}

async fn client(config: &Nats, node: &str, happened: mpsc::Sender<Happened>) -> Result<Client, NatsError> {
    let options = options((&config.servers, &config.login, &config.tls), node)?
        .no_echo()
        .subscription_capacity(WAITING)
        .event_callback(move |event| {
            let happened = happened.clone();
            async move { report(event, &happened).await }
        });
    options.connect(addresses(&config.servers)?).await.map_err(NatsError::Connect)
}

/// How a node called `name` comes to servers: now, or as soon as one of them is there.
///
/// # Errors
/// The credentials hold none.
pub fn options(
    (servers, login, tls): (&[NatsServer], &NatsLogin, &NatsTls),
    name: &str,
) -> Result<ConnectOptions, NatsError> {
    let mut options = ConnectOptions::new()
        .name(name)
        .retry_on_initial_connect()
        .connection_timeout(CONNECT)
        .ping_interval(PING)
        .require_tls(servers.iter().all(|server| server.tls));
    options = match login {
        NatsLogin::None => options,
        NatsLogin::Password(user, password) => options.user_and_password(user.clone(), password.reveal().to_owned()),
        NatsLogin::Nkey(seed) => options.nkey(seed.reveal().to_owned()),
        NatsLogin::Credentials(text) => options.credentials(text.reveal()).map_err(NatsError::Credentials)?,
    };
    if let Some(ca) = &tls.ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let Some(pair) = &tls.client {
        options = options.add_client_certificate(pair.cert.clone(), pair.key.clone());
    }
    Ok(options)
}

/// Servers as the library takes them.
///
/// # Errors
/// One of them is none that can be asked.
pub fn addresses(servers: &[NatsServer]) -> Result<Vec<ServerAddr>, NatsError> {
    let address = |server: &NatsServer| server.url().parse().map_err(|_| NatsError::Server(server.url()));
    servers.iter().map(address).collect()
}

async fn report(event: Event, happened: &mpsc::Sender<Happened>) {
    let told = match event {
        Event::Connected => happened.send(Happened::Connected).await,
        Event::Disconnected | Event::Closed => happened.send(Happened::Lost).await,
        Event::SlowConsumer(_) => happened.send(Happened::Dropped(1)).await,
        Event::ServerError(error) => {
            warn!(%error, "the NATS server complains");
            Ok(())
        }
        Event::ClientError(error) => {
            debug!(%error, "no NATS server could be reached");
            Ok(())
        }
        Event::LameDuckMode | Event::Draining => Ok(()),
    };
    // The bus has ended where nobody hears it.
    _ = told;
}

async fn hear(mut subscriber: Subscriber, to: To, happened: mpsc::Sender<Happened>) {
    loop {
        let came = tokio::select! {
            biased;
            () = happened.closed() => return,
            came = poll_fn(|cx| Pin::new(&mut subscriber).poll_next(cx)) => came,
        };
        let Some(message) = came else { return };
        if happened.send(Happened::Came(to, message.payload)).await.is_err() {
            return;
        }
    }
}

async fn tell(client: Client, subjects: Subjects, mut orders: mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Send(to, octets) => publish(&client, subjects.of(to), octets).await,
            Order::Flush(done) => {
                if let Err(error) = client.flush().await {
                    debug!(%error, "what was said last may not have been heard");
                }
                // Whoever waited may have gone.
                _ = done.send(());
            }
        }
    }
    // Ends the library's tasks too; where that fails they end with the process.
    _ = client.drain().await;
}

async fn publish(client: &Client, subject: String, octets: Bytes) {
    if let Err(error) = client.publish(subject, octets).await {
        debug!(%error, "a message to the region was lost");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_subjects_of_its_own() {
        let subjects = Subjects::new("weir.prod", "eu.west*1", NodeId(0xabc));
        assert_eq!(subjects.of(To::All), "weir.prod.eu_west_1.all");
        assert_eq!(subjects.of(To::Node(NodeId(1))), "weir.prod.eu_west_1.node.0000000000000001");
    }
}
