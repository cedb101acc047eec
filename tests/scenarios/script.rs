//! An origin that does what a story's script says, and remembers each request whole: fields and body.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Whether the body came to its end.
    pub complete: bool,
}

impl Seen {
    /// A field as text; empty if absent.
    pub fn field(&self, name: &str) -> String {
        let values = self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.collect::<Vec<_>>().join(", ")
    }
}

/// A body of the script's making.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;
type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// The origin. Dropping it closes everything.
pub struct Script {
    pub addr: SocketAddr,
    log: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Script {
    /// Answers each request with what `answer` says.
    pub async fn start(answer: impl Fn(Seen) -> Response<Body> + Send + Sync + 'static) -> Self {
        Self::start_with(move |seen| Box::pin(std::future::ready(answer(seen)))).await
    }

    /// The same at a port that the story has reserved, so that one may come after another.
    pub async fn start_at(addr: SocketAddr, answer: impl Fn(Seen) -> Response<Body> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        Self::listening(listener, move |seen| Box::pin(std::future::ready(answer(seen))))
    }

    /// The same where answering takes its time.
    pub async fn start_with(answer: impl Fn(Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::listening(TcpListener::bind("127.0.0.1:0").await.unwrap(), answer)
    }

    fn listening(listener: TcpListener, answer: impl Fn(Seen) -> Answer + Send + Sync + 'static) -> Self {
        let addr = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let director = Arc::new(Director { answer: Box::new(answer), log: log.clone() });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, director));
        Self { addr, log, _tasks: tasks }
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap().clone()
    }

    /// The last request.
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("the origin was asked")
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.log.lock().unwrap().len()
    }
}

struct Director {
    answer: Box<dyn Fn(Seen) -> Answer + Send + Sync>,
    log: Arc<Mutex<Vec<Seen>>>,
}

async fn accept(listener: TcpListener, director: Arc<Director>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let director = director.clone();
        connections.spawn(async move {
            let service = hyper::service::service_fn(|request| director.clone().serve(request));
            let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // How a connection ends is the story's matter.
            _ = served.await;
        });
    }
}

impl Director {
    async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (head, mut incoming) = request.into_parts();
        let (mut body, mut complete) = (Vec::new(), true);
        while let Some(frame) = incoming.frame().await {
            match frame {
                Ok(frame) => body.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(_) => {
                    complete = false;
                    break;
                }
            }
        }
        let seen = Seen {
            method: head.method,
            target: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers: head.headers,
            body: body.into(),
            complete,
        };
        self.log.lock().unwrap().push(seen.clone());
        Ok((self.answer)(seen).await)
    }
}

/// An answer with a whole body.
pub fn reply(status: u16, fields: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    dressed(status, fields, body)
}

fn dressed(status: u16, fields: &[(&str, &str)], body: Body) -> Response<Body> {
    let response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    fields.iter().fold(response, |response, (name, value)| response.header(*name, *value)).body(body).unwrap()
}

/// The pen that writes a body piece by piece. Dropped: the body ends well.
pub type Pen = mpsc::Sender<std::io::Result<Bytes>>;

/// An answer whose body is written by the pen; a `content-length` among the fields announces it.
pub fn written(fields: &[(&str, &str)]) -> (Pen, Response<Body>) {
    let (pen, pieces) = mpsc::channel(1);
    (pen, dressed(200, fields, Pieces(pieces).boxed_unsync()))
}

struct Pieces(mpsc::Receiver<std::io::Result<Bytes>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// What breaks a body off.
pub fn broken() -> std::io::Result<Bytes> {
    Err(std::io::Error::other("the script says so"))
}

/// A body of `size` octets that counts in `taken` what the connection has taken of it.
pub fn counted(size: u64, taken: Arc<AtomicU64>, fields: &[(&str, &str)]) -> Response<Body> {
    dressed(200, fields, Counted { size, taken }.boxed_unsync())
}

struct Counted {
    size: u64,
    taken: Arc<AtomicU64>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        static PIECE: [u8; 16 << 10] = [b'.'; 16 << 10];
        let taken = self.taken.load(Relaxed);
        let piece = PIECE.len().min((self.size - taken) as usize);
        self.taken.store(taken + piece as u64, Relaxed);
        Poll::Ready((piece > 0).then(|| Ok(Frame::data(Bytes::from_static(&PIECE[..piece])))))
    }
}
