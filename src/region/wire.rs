//! What carries messages between nodes, as the bus sees it: octets go out and come in, in order for each sender as a rule,
//! and any of them may be lost.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::message::To;

/// Messages that wait to be sent, or to be heard, at most: beyond, they are lost, counted and asked for again.
pub const QUEUE: usize = 4_096;

/// What is to be done.
#[derive(Debug)]
pub enum Order {
    /// To be sent.
    Send(To, Bytes),
    /// To be told when all before has been sent.
    Flush(oneshot::Sender<()>),
}

/// What happens.
#[derive(Debug)]
pub enum Happened {
    /// Others can be reached.
    Connected,
    /// They cannot.
    Lost,
    /// Octets came for whom they say.
    Came(To, Bytes),
    /// So many were lost on the way in.
    Dropped(u64),
}

/// Both directions.
pub struct Wire {
    /// Out.
    pub orders: mpsc::Sender<Order>,
    /// In.
    pub events: mpsc::Receiver<Happened>,
}
