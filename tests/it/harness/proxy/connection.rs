//! One connection through the proxy: two pumps, one for each direction.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Counts, Mode, Way, Weather};

const PIECE: usize = 16 * 1024;

/// Throttled bytes go in so many portions per second.
const PORTIONS: usize = 20;

/// Serves a client until both directions have ended, or the connection is reset.
pub(super) async fn serve(
    client: TcpStream,
    server: SocketAddr,
    resets: u64,
    mut sky: watch::Receiver<Weather>,
    counts: Arc<Counts>,
) {
    counts.open.fetch_add(1, Ordering::SeqCst);
    let hole = |weather: &Weather| weather.mode != Mode::BlackHole || weather.resets != resets;
    let is_swallowed = sky.borrow().mode == Mode::BlackHole;
    // The server never hears of it; the client believes that it is connected.
    let weather = sky.wait_for(hole).await.map(|weather| *weather);
    let is_reset = is_swallowed
        || weather.is_err()
        || weather.is_ok_and(|weather| weather.mode == Mode::Reset || weather.resets != resets);
    let server = if is_reset {
        None
    } else {
        TcpStream::connect(server).await.ok()
    };
    match server {
        Some(server) => both_ways(client, server, resets, &sky, &counts).await,
        None => drop(client.set_zero_linger()),
    }
    counts.open.fetch_sub(1, Ordering::SeqCst);
}

async fn both_ways(
    client: TcpStream,
    server: TcpStream,
    resets: u64,
    sky: &watch::Receiver<Weather>,
    counts: &Counts,
) {
    // So that a piece is a segment. Fails only for a connection that is gone, which its pump finds out.
    drop(client.set_nodelay(true));
    drop(server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let reset = CancellationToken::new();
    let pump = |from, to, way| Pump {
        from,
        to: Some(to),
        way,
        resets,
        sky: sky.clone(),
        counts,
        pending: Vec::new(),
        has_waited: false,
        has_lost: false,
    };
    // Both sockets close when both pumps are dropped: a reset must be set on either before.
    let _pumps = tokio::join!(
        end(pump(from_client, to_server, Way::ToServer), &reset),
        end(pump(from_server, to_client, Way::ToClient), &reset)
    );
}

/// Runs one direction to its end, and the other one too where both are to be reset.
async fn end<'a>(mut pump: Pump<'a>, reset: &CancellationToken) -> Pump<'a> {
    if reset.run_until_cancelled(pump.run()).await != Some(End::Closed) {
        reset.cancel();
        // Fails only for a connection that is gone, and so is reset already.
        drop(pump.from.as_ref().set_zero_linger());
        if let Some(to) = pump.to.take() {
            drop(to.as_ref().set_zero_linger());
            to.forget(); // dropped, it would close in an orderly way first
        }
    }
    pump
}

/// How a direction ended.
#[derive(PartialEq, Eq)]
enum End {
    /// In an orderly way: the other one may go on.
    Closed,
    /// Both are to be reset.
    Reset,
}

struct Pump<'a> {
    from: OwnedReadHalf,
    /// None once it is shut.
    to: Option<OwnedWriteHalf>,
    way: Way,
    /// How many resets there had been when the connection was made.
    resets: u64,
    sky: watch::Receiver<Weather>,
    counts: &'a Counts,
    /// Read, and not written yet.
    pending: Vec<u8>,
    /// The pending piece has had its delay.
    has_waited: bool,
    /// Bytes were swallowed on an open way.
    has_lost: bool,
}

impl Pump<'_> {
    async fn run(&mut self) -> End {
        loop {
            let Weather { mode, resets } = *self.sky.borrow_and_update();
            if mode == Mode::Reset || resets != self.resets {
                return End::Reset;
            }
            if self.has_lost && mode != Mode::BlackHole {
                return End::Reset;
            }
            if mode == Mode::HalfClose(self.way) {
                self.to = None; // the half that is dropped is shut
            }
            let mut sky = self.sky.clone();
            let step = self.step(mode);
            let end = tokio::select! {
                end = step => end,
                changed = sky.changed() => changed.err().map(|_| End::Reset),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Reads a piece or writes a part of one; may be dropped at any moment without losing a byte.
    async fn step(&mut self, mode: Mode) -> Option<End> {
        if mode == Mode::Stall {
            return std::future::pending().await;
        }
        if self.pending.is_empty() {
            return self.read(mode).await;
        }
        if mode == Mode::BlackHole {
            self.swallow();
            return None;
        }
        let wait = match mode {
            Mode::Delay(delay) => delay,
            Mode::Throttle(_) => Duration::from_secs(1) / u32::try_from(PORTIONS).unwrap(),
            Mode::Slice(_) => Duration::from_millis(1),
            _ => Duration::ZERO,
        };
        if !self.has_waited && wait > Duration::ZERO {
            tokio::time::sleep(wait).await;
            self.has_waited = true;
        }
        let most = match mode {
            Mode::Throttle(rate) => rate.div_ceil(PORTIONS),
            Mode::Slice(bytes) => bytes,
            _ => PIECE,
        };
        self.write(mode, most.min(self.pending.len())).await
    }

    async fn read(&mut self, mode: Mode) -> Option<End> {
        let mut piece = vec![0; PIECE];
        match self.from.read(&mut piece).await {
            Ok(0) if mode == Mode::BlackHole => {
                self.has_lost = true; // the end is not passed on
                std::future::pending().await
            }
            Ok(0) => {
                self.to = None;
                Some(End::Closed)
            }
            Ok(read) => {
                piece.truncate(read);
                (self.pending, self.has_waited) = (piece, false);
                None
            }
            Err(_) if mode == Mode::BlackHole => {
                self.has_lost = true;
                std::future::pending().await
            }
            Err(_) => Some(End::Reset),
        }
    }

    async fn write(&mut self, mode: Mode, most: usize) -> Option<End> {
        let Some(to) = &mut self.to else {
            self.pending.clear();
            return None;
        };
        match to.write(&self.pending[..most]).await {
            Ok(written) => {
                self.pending.drain(..written);
                // A piece is delayed once; portions and slices wait one by one.
                self.has_waited &= matches!(mode, Mode::Delay(_)) && !self.pending.is_empty();
                self.counts.pieces.fetch_add(1, Ordering::SeqCst);
                None
            }
            Err(_) => Some(End::Reset),
        }
    }

    fn swallow(&mut self) {
        self.pending.clear();
        self.has_lost |= self.to.is_some();
    }
}
