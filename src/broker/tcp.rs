//! Opens a connection so that it can be given up.
//!
//! The client library reads each connection on a thread of its own. If the other side accepts and then never
//! answers, giving up the future leaves that thread and its socket behind, for every attempt. Whoever holds a
//! second handle to the socket can end it.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::ConnectionProperties;
use lapin::tcp::{AsyncTcpStream, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri};
use tokio::time::timeout;

use super::{Error, mend};

/// Which messages a connection has to get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// Those whose properties are of a usual size. One that isn't ends the connection as [`Error::Unreadable`].
    Usual,
    /// Those of any size that the broker hands on.
    Large,
    /// Also those that the client library can't read: see [`mend`](super::mend).
    Mended,
}

/// TCP, TLS and login at one address of a host, all within `limit`.
pub(super) async fn open(
    uri: &AMQPUri,
    address: SocketAddr,
    options: ConnectionProperties,
    tls: OwnedTLSConfig,
    limit: Duration,
    reads: Reads,
) -> Result<(lapin::Connection, Socket), Error> {
    let socket = Socket::default();
    let runtime = lapin::runtime::default_runtime().map_err(|error| Error::connecting(&error))?;
    let (ours, own) = (socket.0.clone(), runtime.clone());
    let connect = async move |uri: AMQPUri, _| {
        let AMQPUri {
            scheme, authority, ..
        } = uri;
        let connecting = async {
            let stream = AsyncTcpStream::connect(&own, address).await?;
            if let AsyncTcpStream::Plain(stream) = &stream {
                hold(&ours, stream.get_ref().as_fd().try_clone_to_owned()?.into())?;
            }
            let stream = match scheme {
                AMQPScheme::AMQP => stream,
                AMQPScheme::AMQPS => stream.into_tls(&authority.host, tls.as_ref()).await?,
            };
            if reads == Reads::Mended {
                mend::through(stream)
            } else {
                Ok(stream)
            }
        };
        let stream = timeout(limit, connecting)
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))?;
        Ok(stream)
    };
    let connecting = lapin::Connection::connector(uri.clone(), runtime, connect, options);
    let late = |_| Error::TimedOut {
        doing: "connecting",
        after: limit,
    };
    let connected = timeout(limit, connecting).await.map_err(late)?;
    let connection = connected.map_err(|error| Error::connecting(&error))?;
    Ok((connection, socket))
}

/// A second handle to a socket; dropped, it ends the connection, whatever state that is in.
#[derive(Debug, Default)]
pub(super) struct Socket(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
enum Held {
    #[default]
    Nothing,
    Stream(TcpStream),
    /// Not wanted any more, even if it comes to stand only now.
    Ended,
}

fn hold(socket: &Mutex<Held>, stream: TcpStream) -> std::io::Result<()> {
    let mut held = socket.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*held, Held::Ended) {
        return Err(std::io::ErrorKind::ConnectionAborted.into());
    }
    *held = Held::Stream(stream);
    Ok(())
}

impl Socket {
    /// Leaves the end to the client library, which was told to close and has its answer. Where it is still at
    /// it, a shutdown under its hands would look like an error to it.
    pub(super) fn let_go(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Held::Ended;
    }

    pub(super) fn end(&self) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Held::Stream(stream) = std::mem::replace(&mut *held, Held::Ended) {
            // Fails only where the socket has ended already.
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.end();
    }
}
