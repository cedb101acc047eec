//! The origin: a stranger that speaks HTTP/1.1 octet by octet, and goes wrong as planned.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::plan::{Fault, Framing, Plan};

/// The origin: it knows every plan, and how often each was asked for.
pub struct Origin {
    pub plans: Mutex<HashMap<String, (Plan, usize)>>,
    /// A permit for each stall that may go on.
    pub go_on: Semaphore,
    pub asked: AtomicUsize,
}

impl Origin {
    pub async fn accept(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let origin = self.clone();
            tokio::spawn(async move { while origin.answer(&stream).await.is_some() {} });
        }
    }

    /// Answers one request; `None` where the connection is over.
    pub async fn answer(&self, stream: &TcpStream) -> Option<()> {
        let path = asked(stream).await?;
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (plan, attempt) = {
            let mut plans = self.plans.lock().unwrap();
            let (plan, attempts) = plans.get_mut(&path)?;
            *attempts += 1;
            (plan.clone(), *attempts)
        };
        let fault = if attempt <= plan.bad { plan.fault } else { Fault::None };
        if fault == Fault::NoAnswer {
            return reset(stream);
        }
        let framing = match plan.framing {
            Framing::Length => format!("content-length: {}\r\n", plan.length),
            Framing::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
            Framing::Close => "connection: close\r\n".to_owned(),
        };
        let head = format!("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\netag: \"{}\"\r\n{framing}\r\n", plan.seed);
        write(stream, head.as_bytes()).await?;
        let body = plan.body();
        let (before, stops) = match fault {
            Fault::Cut(at) | Fault::Reset(at) | Fault::Stall(at) | Fault::Silence(at) => (at, true),
            Fault::None | Fault::NoAnswer | Fault::TooLong => (plan.length, false),
        };
        send(stream, &plan, &body[..before]).await?;
        if stops {
            match fault {
                Fault::Reset(_) => return reset(stream),
                Fault::Stall(_) => self.go_on.acquire().await.unwrap().forget(),
                Fault::Silence(_) => {
                    // Until the node has had enough of it.
                    _ = asked(stream).await;
                    return None;
                }
                _ => return None,
            }
            send(stream, &plan, &body[before..]).await?;
        }
        match plan.framing {
            Framing::Chunked => write(stream, b"0\r\n\r\n").await,
            Framing::Close => None,
            Framing::Length if fault == Fault::TooLong => {
                write(stream, b"surplus").await;
                None
            }
            Framing::Length => Some(()),
        }
    }
}

/// The path of the next request.
pub async fn asked(stream: &TcpStream) -> Option<String> {
    let mut head = Vec::new();
    loop {
        stream.readable().await.ok()?;
        let mut octets = [0; 4_096];
        match stream.try_read(&mut octets) {
            Ok(0) => return None,
            Ok(count) => head.extend_from_slice(&octets[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return None,
        }
        if head.ends_with(b"\r\n\r\n") {
            return Some(String::from_utf8_lossy(&head).split(' ').nth(1)?.to_owned());
        }
    }
}

pub async fn write(stream: &TcpStream, mut octets: &[u8]) -> Option<()> {
    while !octets.is_empty() {
        stream.writable().await.ok()?;
        match stream.try_write(octets) {
            Ok(count) => octets = &octets[count..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
    Some(())
}

pub async fn send(stream: &TcpStream, plan: &Plan, octets: &[u8]) -> Option<()> {
    for piece in octets.chunks(plan.piece) {
        if plan.framing == Framing::Chunked {
            write(stream, format!("{:x}\r\n", piece.len()).as_bytes()).await?;
        }
        write(stream, piece).await?;
        if plan.framing == Framing::Chunked {
            write(stream, b"\r\n").await?;
        }
        tokio::task::yield_now().await;
    }
    Some(())
}

pub fn reset(stream: &TcpStream) -> Option<()> {
    _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
    None
}
