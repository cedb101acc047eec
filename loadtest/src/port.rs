//! A port that stays one's own while nobody listens there.
//!
//! The number of a port that is let go of may be somebody else's a moment later. Here a socket is bound and never listens:
//! whoever connects is refused, and the system gives the number to nobody, neither for port 0 nor for a connection.
//! Listeners that share it (`SO_REUSEADDR`, as tokio's do) come and go meanwhile; where they share it with each other as
//! well (`SO_REUSEPORT`), it may be reserved after they were there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A TCP port that is kept for as long as this lives.
#[derive(Debug)]
pub struct Reserved {
    addr: SocketAddr,
    _socket: Socket,
}

impl Reserved {
    /// One of 127.0.0.1 that the system chooses.
    ///
    /// # Errors
    /// No socket can be had.
    pub fn any() -> io::Result<Self> {
        Self::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// That of an address; port 0 chooses one.
    ///
    /// # Errors
    /// Somebody has it and does not share it, or no socket can be had.
    pub fn at(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&addr.into())?;
        let addr = socket.local_addr()?.as_socket().unwrap_or(addr);
        Ok(Self { addr, _socket: socket })
    }

    /// Where it is, its number known.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// What comes of a bind that shares with nobody.
    fn bound_alone(addr: SocketAddr) -> io::Result<()> {
        Socket::new(Domain::IPV4, Type::STREAM, None)?.bind(&addr.into())
    }

    #[test]
    fn nobody_is_there_nobody_else_gets_it_and_listeners_come_and_go() {
        let port = Reserved::any().unwrap();
        for _ in 0..3 {
            assert_eq!(TcpStream::connect(port.addr()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
            assert_eq!(bound_alone(port.addr()).unwrap_err().kind(), ErrorKind::AddrInUse);
            let listener = TcpListener::bind(port.addr()).unwrap();
            TcpStream::connect(port.addr()).unwrap();
            assert!(Reserved::at(port.addr()).is_err(), "whoever listens alone shares with nobody");
            drop(listener);
        }
    }

    #[test]
    fn one_that_is_shared_can_be_reserved_while_it_is_listened_on() {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.set_reuse_address(true).unwrap();
        listener.set_reuse_port(true).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(1).unwrap();
        let addr = listener.local_addr().unwrap().as_socket().unwrap();
        let port = Reserved::at(addr).unwrap();
        assert_eq!(port.addr(), addr);
        for _ in 0..100 {
            TcpStream::connect(addr).unwrap();
            _ = listener.accept().unwrap();
        }
        drop(listener);
        assert_eq!(TcpStream::connect(addr).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(bound_alone(addr).unwrap_err().kind(), ErrorKind::AddrInUse);
    }
}
