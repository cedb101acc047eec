//! The signal that ends a node's connections: first they are asked to finish, later what is left is cut.

use tokio_util::sync::CancellationToken;

/// Tells listeners and connections that the node stops. Clones share one signal.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    begun: CancellationToken,
    cut: CancellationToken,
}

impl Drain {
    /// A drain that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// A drain that has not begun, and whose end is also the end of what this one has asked to finish; where that was
    /// cut already, of itself alone.
    pub fn again(&self) -> Self {
        let cut = if self.cut.is_cancelled() { CancellationToken::new() } else { self.cut.clone() };
        Self { begun: CancellationToken::new(), cut }
    }

    /// From now on nothing is accepted, and each connection ends with what it is doing: `Connection: close` on the
    /// next answer (HTTP/1.1), GOAWAY (HTTP/2). Idle ones close at once.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// Ends what is still there, bodies in mid-air included.
    pub fn cut(&self) {
        self.begun.cancel();
        self.cut.cancel();
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Completes when it begins.
    pub fn begun(&self) -> impl Future<Output = ()> + Send + 'static {
        self.begun.clone().cancelled_owned()
    }

    /// Completes when the rest is cut.
    pub fn cutting(&self) -> impl Future<Output = ()> + Send + 'static {
        self.cut.clone().cancelled_owned()
    }
}
