//! A TCP proxy in front of a server, in the test's process: the faults of a network, switched on and off while
//! programs talk through it.

mod connection;
mod tests;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What happens on the way, to connections there are and to new ones alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: bytes go through.
    Pass,
    /// Each piece of up to 16 KiB waits this long, either way.
    Delay(Duration),
    /// So many bytes per second go through, either way.
    Throttle(usize),
    /// So many bytes at a time, a segment each: frames and messages arrive in parts.
    Slice(usize),
    /// Nothing goes through while it lasts, and all of it afterwards: a network that is lost and comes back.
    Stall,
    /// Connections are made, and whatever is sent is swallowed; neither side hears anything, not even that the
    /// other one has closed. What has lost bytes this way is reset afterwards: no stream goes on with a gap.
    BlackHole,
    /// Both sides of every connection get a reset (RST), new ones at once.
    Reset,
    /// This direction is shut: its receiver reads the end, and what is sent that way is swallowed. The other
    /// direction goes on. What was shut stays so, whatever the mode afterwards.
    HalfClose(Way),
    /// New connections are refused, as by a server that is down. Those there are go on.
    Refuse,
}

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// The present mode, and how often all connections were to be reset so far: a reset that is over before a
/// connection looks is not missed.
#[derive(Clone, Copy)]
struct Weather {
    mode: Mode,
    resets: u64,
}

/// What the proxy counts.
#[derive(Default)]
struct Counts {
    open: AtomicUsize,
    pieces: AtomicU64,
}

/// A proxy on a port of its own, on a thread of its own: a test that blocks holds up nobody else. Ends, with its
/// connections, when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    counts: Arc<Counts>,
    end: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// In front of the server at `host:port`, which need not be there yet.
    pub fn of(server: &str) -> Self {
        let server = server.to_socket_addrs().unwrap().next().unwrap();
        let calm = Weather {
            mode: Mode::Pass,
            resets: 0,
        };
        let (weather, sky) = watch::channel(calm);
        let (counts, end) = (Arc::new(Counts::default()), CancellationToken::new());
        let (told, address) = std::sync::mpsc::channel();
        let (counting, ending) = (counts.clone(), end.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                // Held for as long as the proxy lives: while it refuses, nobody else gets the port.
                let held = hold(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
                let address = held.local_addr().unwrap();
                let listener = hold(address).unwrap().listen(1024).unwrap();
                told.send(address).unwrap();
                let listening = listen(listener, server, sky, counting);
                ending.run_until_cancelled_owned(listening).await;
            });
        });
        Self {
            address: address.recv().unwrap(),
            weather,
            counts,
            end,
            thread: Some(thread),
        }
    }

    /// In front of the server that a URL names.
    pub fn of_url(url: &str) -> Self {
        Self::of(place(url))
    }

    /// A URL of the same server, by way of the proxy.
    pub fn url(&self, url: &str) -> String {
        url.replacen(place(url), &self.address.to_string(), 1)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the mode. Every connection follows within an instant, one by one.
    pub fn set(&self, mode: Mode) {
        self.weather.send_modify(|weather| {
            weather.mode = mode;
            weather.resets += u64::from(mode == Mode::Reset);
        });
    }

    /// Resets the connections there are, and leaves the mode as it is.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.resets += 1);
    }

    /// Connections that neither side has ended.
    pub fn connections(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// Pieces of bytes that went through so far, either way.
    pub fn pieces(&self) -> u64 {
        self.counts.pieces.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end.cancel();
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, has been printed where it happened.
            drop(thread.join());
        }
    }
}

/// `host:port` of a URL.
fn place(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split(['/', '?']).next().unwrap();
    rest.rsplit('@').next().unwrap()
}

/// A socket that is bound and doesn't listen. Any number of them may have one port.
fn hold(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn listen(
    listener: TcpListener,
    server: SocketAddr,
    mut sky: watch::Receiver<Weather>,
    counts: Arc<Counts>,
) {
    let address = listener.local_addr().unwrap();
    let mut listener = Some(listener);
    loop {
        if sky.borrow_and_update().mode == Mode::Refuse {
            listener = None;
        } else if listener.is_none() {
            listener = Some(hold(address).unwrap().listen(1024).unwrap());
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = accepted => {
                // One that is gone before it is accepted is nobody's loss.
                if let Ok((client, _)) = accepted {
                    // Those of before don't concern it, even if this loop hasn't seen them yet.
                    let resets = sky.borrow().resets;
                    let serving = connection::serve(client, server, resets, sky.clone(), counts.clone());
                    tokio::spawn(serving);
                }
            }
            changed = sky.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}
