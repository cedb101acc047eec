//! Connections over real sockets: hyper's and rustls' own clients, and raw octets.

mod deadlines;
mod drain;
mod exchange;
mod leaving;
mod proxies;
mod strict;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::clock::WallTime;
use crate::config::{Address, TlsVersion};
use crate::request::{Head, Upload};
use crate::transport::listener::{self, Options};
use crate::transport::tls::tests::Authority;

/// A node's TCP side with a service of a few lines, on port 0.
struct Stage {
    address: SocketAddr,
    is_tls: bool,
    clock: Clock,
    tasks: Tasks,
    service: Kitchen,
    drain: Drain,
    admission: Arc<Admission>,
    counters: Arc<Counters>,
    authority: Authority,
    serving: tokio::task::JoinHandle<io::Result<()>>,
}

/// How a stage is set.
struct Set {
    tls: bool,
    settings: Settings,
    proxy_protocol: Vec<IpNet>,
    clock: Clock,
    connections: usize,
}

impl Default for Set {
    fn default() -> Self {
        Self {
            tls: false,
            settings: Settings::default(),
            proxy_protocol: Vec::new(),
            clock: Clock::system(),
            connections: 1_000,
        }
    }
}

fn manual() -> Clock {
    Clock::manual(WallTime::at(Duration::from_secs(1_800_000_000)))
}

impl Set {
    fn open(self) -> Stage {
        let authority = Authority::new();
        let tls = self.tls.then(|| authority.certificates(&[&["localhost"]]).server_config(TlsVersion::V12));
        let listener =
            listener::bind(&Address::Socket("[::]:0".parse().unwrap()), 1, &Options::default()).unwrap().pop().unwrap();
        let port = listener.local_address().unwrap().port();
        let service = Kitchen::default();
        let tasks = Tasks::current();
        let context = Arc::new(TcpContext {
            service: service.clone(),
            settings: Arc::new(ArcSwap::from_pointee(self.settings)),
            clock: self.clock.clone(),
            tasks: tasks.clone(),
            admission: Admission::new(self.connections, 0),
            drain: Drain::new(),
            counters: Arc::default(),
        });
        let door = Door { tls, proxy_protocol: self.proxy_protocol.into() };
        Stage {
            address: ([127, 0, 0, 1], port).into(),
            is_tls: self.tls,
            clock: self.clock,
            service,
            drain: context.drain.clone(),
            admission: context.admission.clone(),
            counters: context.counters.clone(),
            authority,
            serving: tasks.spawn("listener", serve(listener, door, context)),
            tasks,
        }
    }
}

impl Stage {
    fn clear() -> Self {
        Set::default().open()
    }

    fn tls() -> Self {
        Set { tls: true, ..Set::default() }.open()
    }

    async fn raw(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn secured(&self, alpn: &str) -> TlsStream<TcpStream> {
        self.secure(self.raw().await, alpn).await
    }

    async fn secure(&self, stream: TcpStream, alpn: &str) -> TlsStream<TcpStream> {
        let mut config = self.authority.client();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    async fn h1(&self) -> H1 {
        H1::over(self.raw().await).await
    }

    async fn h2(&self) -> H2 {
        H2::over(self.raw().await).await
    }

    async fn h1_tls(&self) -> H1 {
        H1::over(self.secured("http/1.1").await).await
    }

    async fn h2_tls(&self) -> H2 {
        H2::over(self.secured("h2").await).await
    }

    /// Sends octets and reads the answer to the end of the connection.
    async fn say(&self, octets: impl AsRef<[u8]>) -> String {
        let mut stream = self.raw().await;
        stream.write_all(octets.as_ref()).await.unwrap();
        rest(&mut stream).await
    }

    /// Waits until that many requests are with the service.
    async fn serving(&self, count: usize) {
        self.service.in_hand.subscribe().wait_for(|serving| *serving == count).await.unwrap();
    }

    /// Waits until something is so, letting everything else run meanwhile.
    async fn until(&self, is_so: impl Fn() -> bool) {
        let until = async {
            while !is_so() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), until).await.expect("it should have come to be so");
    }

    /// Lets everything run that can run without the clock.
    async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut octets = Vec::new();
    // A reset ends what is read too.
    _ = stream.read_to_end(&mut octets).await;
    String::from_utf8_lossy(&octets).into_owned()
}

/// A client of HTTP/1.1.
struct H1(hyper::client::conn::http1::SendRequest<Sending>);
/// A client of HTTP/2.
#[derive(Clone)]
struct H2(hyper::client::conn::http2::SendRequest<Sending>);

type Sending = http_body_util::combinators::BoxBody<Bytes, Infallible>;

fn get(path: &str) -> Request<Sending> {
    Request::get(path).header("host", "localhost").body(Empty::new().boxed()).unwrap()
}

fn get_h2(path: &str) -> Request<Sending> {
    Request::get(format!("https://localhost{path}")).body(Empty::new().boxed()).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a client of a test lives as long as the test")]
fn run(connection: impl Future + Send + 'static) {
    tokio::spawn(async { _ = connection.await });
}

impl H1 {
    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        run(connection);
        Self(sender)
    }

    async fn send(&mut self, request: Request<Sending>) -> hyper::Result<Response<hyper::body::Incoming>> {
        self.0.ready().await?;
        self.0.send_request(request).await
    }

    async fn get(&mut self, path: &str) -> Response<hyper::body::Incoming> {
        self.send(get(path)).await.unwrap()
    }
}

impl H2 {
    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        run(connection);
        Self(sender)
    }

    async fn send(&mut self, request: Request<Sending>) -> hyper::Result<Response<hyper::body::Incoming>> {
        self.0.ready().await?;
        self.0.send_request(request).await
    }

    async fn get(&mut self, path: &str) -> Response<hyper::body::Incoming> {
        self.send(get_h2(path)).await.unwrap()
    }
}

async fn octets(response: Response<hyper::body::Incoming>) -> Result<Bytes, hyper::Error> {
    Ok(response.into_body().collect().await?.to_bytes())
}

/// The service behind a stage; the path says what it does.
#[derive(Clone)]
struct Kitchen {
    /// Requests in hand, from their head to the end of their answer.
    in_hand: Arc<watch::Sender<usize>>,
    gate: Arc<Notify>,
    uploads: Arc<AtomicUsize>,
    /// Octets taken from bodies.
    taken: Arc<AtomicUsize>,
}

impl Default for Kitchen {
    fn default() -> Self {
        Self {
            in_hand: Arc::new(watch::Sender::new(0)),
            gate: Arc::default(),
            uploads: Arc::default(),
            taken: Arc::default(),
        }
    }
}

/// Counts a request while it is in hand.
struct InHand(Arc<watch::Sender<usize>>);

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.send_modify(|serving| *serving -= 1);
    }
}

/// A body of the kitchen.
struct Dish {
    pieces: Vec<Bytes>,
    end: End,
    taken: Arc<AtomicUsize>,
    _in_hand: InHand,
}

enum End {
    Whole,
    Breaking,
    Broken,
    Never,
}

#[derive(Debug, thiserror::Error)]
#[error("the dish broke")]
struct Broken;

impl Body for Dish {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match (self.pieces.pop(), &self.end) {
            (Some(piece), _) => {
                self.taken.fetch_add(piece.len(), Ordering::Relaxed);
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            (None, End::Whole) => Poll::Ready(None),
            (None, End::Breaking) => {
                self.end = End::Broken;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            (None, End::Broken) => Poll::Ready(Some(Err(Broken))),
            (None, End::Never) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && matches!(self.end, End::Whole)
    }

    fn size_hint(&self) -> SizeHint {
        match self.end {
            End::Whole => SizeHint::with_exact(self.pieces.iter().map(|piece| piece.len() as u64).sum()),
            End::Breaking | End::Broken | End::Never => SizeHint::default(),
        }
    }
}

fn pattern(length: usize) -> Bytes {
    (0..length).map(|at| (at % 251) as u8).collect::<Vec<u8>>().into()
}

impl Kitchen {
    async fn cook(self, head: Head, upload: Upload) -> Response<Dish> {
        self.in_hand.send_modify(|serving| *serving += 1);
        let in_hand = InHand(self.in_hand.clone());
        let taken = self.taken.clone();
        let dish = |body: Bytes| Dish { pieces: vec![body], end: End::Whole, taken, _in_hand: in_hand };
        match head.path.as_str() {
            "/hold" => {
                self.gate.notified().await;
                Response::new(dish("held".into()))
            }
            "/panic" => panic!("a dish that cannot be cooked"),
            "/echo" => match upload.collect().await {
                Ok(body) => {
                    self.uploads.fetch_add(1, Ordering::Relaxed);
                    Response::new(dish(body.to_bytes()))
                }
                Err(error) => Response::builder().status(400).body(dish(error.to_string().into())).unwrap(),
            },
            "/head" => Response::new(dish(format!("{head:?}").into())),
            "/broken" => {
                let mut dish = dish(pattern(1_000));
                dish.end = End::Breaking;
                Response::new(dish)
            }
            "/endless" => {
                let mut dish = dish(pattern(1_000));
                dish.end = End::Never;
                Response::new(dish)
            }
            "/many" => {
                let mut dish = dish(Bytes::new());
                dish.pieces = vec![pattern(64 << 10); 64];
                Response::new(dish)
            }
            "/long" => {
                let mut dish = dish(Bytes::new());
                dish.pieces = vec![pattern(64 << 10); 1_600];
                Response::new(dish)
            }
            _ => {
                let length = head.query.as_deref().and_then(|query| query.parse().ok());
                Response::new(dish(length.map_or("hello".into(), pattern)))
            }
        }
    }
}

impl Service for Kitchen {
    type Body = Dish;

    fn serve(&self, head: Head, upload: Upload) -> Pin<Box<dyn Future<Output = Response<Dish>> + Send>> {
        Box::pin(self.clone().cook(head, upload))
    }
}
