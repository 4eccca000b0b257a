//! Lets messages through that the client library can't read: it takes ids, types and the names of headers for
//! UTF-8, which `RabbitMQ` doesn't check, and ends the connection at the first one that isn't. For whoever has to
//! look at such a message, the bytes at fault are replaced on their way in, one by one, so that no length changes.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use async_compat::{Compat, CompatExt as _};
use lapin::tcp::AsyncTcpStream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What stands in for a byte that is no UTF-8: ASCII's own sign for it. Nobody types it.
pub(super) const SUBSTITUTE: char = '\u{1a}';

type Stream = AsyncTcpStream<Compat<TcpStream>>;

/// The same stream, with the properties of what comes in made readable.
pub(super) fn through(broker: Stream) -> io::Result<Stream> {
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    // The library takes sockets of this type alone; of a socket it only reads and writes.
    let far = TcpStream::from_std(OwnedFd::from(far).into())?;
    tokio::spawn(pass(broker, tokio::net::UnixStream::from_std(near)?));
    Ok(AsyncTcpStream::Plain(far.compat()))
}

/// Until either side ends: then both do, since both handles are dropped.
async fn pass(broker: Stream, client: tokio::net::UnixStream) {
    let (mut from_broker, mut to_broker) = tokio::io::split(broker.compat());
    let (mut from_client, mut to_client) = client.into_split();
    let inwards = async {
        let (mut mender, mut chunk) = (Mender::default(), vec![0; 64 * 1024]);
        loop {
            let length = from_broker.read(&mut chunk).await?;
            if length == 0 {
                return to_client.write_all(&mender.held).await;
            }
            to_client.write_all(&mender.feed(&chunk[..length])).await?;
        }
    };
    let outwards = tokio::io::copy(&mut from_client, &mut to_broker);
    // An error is an end like any other: the library finds its socket closed.
    tokio::select! {
        ended = inwards => drop(ended),
        ended = outwards => drop(ended),
    }
    drop(to_broker.shutdown().await);
}

/// Takes a stream of frames apart.
#[derive(Default)]
struct Mender {
    /// A frame that isn't complete yet.
    held: Vec<u8>,
}

impl Mender {
    /// All frames that are complete now.
    fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let mut complete = 0;
        while let Some(length) = frame_length(&self.held[complete..]) {
            let Some(frame) = self.held.get_mut(complete..complete + length) else {
                break;
            };
            if frame[0] == CONTENT_HEADER {
                // What can't be walked through is left as it is: the library says what it thinks of it.
                let _: Option<()> = mend(&mut frame[FRAME_HEAD..]);
            }
            complete += length;
        }
        let rest = self.held.split_off(complete);
        std::mem::replace(&mut self.held, rest)
    }
}

const CONTENT_HEADER: u8 = 2;
/// Type, channel and size.
const FRAME_HEAD: usize = 7;
/// Class, weight and the length of the body come before the flags.
const FLAGS_AT: usize = 12;

fn frame_length(bytes: &[u8]) -> Option<usize> {
    let size = number(bytes, 3)?;
    (bytes.len() >= FRAME_HEAD).then_some(FRAME_HEAD + size + 1)
}

/// The properties of a message, in their order, as far as one with text in it may follow.
fn mend(header: &mut [u8]) -> Option<()> {
    let flags = u16::from_be_bytes(header.get(FLAGS_AT..FLAGS_AT + 2)?.try_into().ok()?);
    let mut at = FLAGS_AT + 2;
    for bit in (2..16).rev() {
        if flags & (1 << bit) == 0 {
            continue;
        }
        at = match bit {
            13 => mend_table(header, at)?,
            11 | 12 => at + 1,
            6 => at + 8,
            _ => mend_text(header, at)?,
        };
    }
    Some(())
}

/// A short string; where the next property begins.
fn mend_text(bytes: &mut [u8], at: usize) -> Option<usize> {
    let end = at + 1 + usize::from(*bytes.get(at)?);
    let text = bytes.get_mut(at + 1..end)?;
    while let Err(error) = std::str::from_utf8(text) {
        text[error.valid_up_to()] = SUBSTITUTE as u8;
    }
    Some(end)
}

/// The names in a table, and in those inside it. Without recursion: the sender decides how deep they go.
fn mend_table(bytes: &mut [u8], at: usize) -> Option<usize> {
    let end = at + 4 + number(bytes, at)?;
    let mut open = vec![(end, true)];
    let mut at = at + 4;
    while let Some(&(end, has_names)) = open.last() {
        if at >= end {
            open.pop();
            continue;
        }
        if has_names {
            at = mend_text(bytes, at)?;
        }
        let kind = *bytes.get(at)?;
        at += 1;
        at += match kind {
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'l' | b'L' | b'd' | b'T' => 8,
            b'V' => 0,
            b'S' | b'x' => 4 + number(bytes, at)?,
            b'A' | b'F' => {
                open.push((at + 4 + number(bytes, at)?, kind == b'F'));
                4
            }
            _ => return None,
        };
    }
    Some(end)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(four)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn short(text: &[u8]) -> Vec<u8> {
        [&[u8::try_from(text.len()).unwrap()], text].concat()
    }

    fn long(bytes: &[u8]) -> Vec<u8> {
        [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    }

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        [&[kind, 0, 1][..], &long(payload), &[0xce]].concat()
    }

    /// All properties, with these bytes for every text and for every name.
    fn header(text: &[u8]) -> Vec<u8> {
        let entry = |value: &[u8]| [&short(text)[..], value].concat();
        let inner = long(&entry(b"t\x01"));
        let array = long(&[&b"F"[..], &inner, b"s\0\x07", b"V"].concat());
        let table = [
            entry(&[&b"S"[..], &long(text)].concat()),
            entry(&[&b"A"[..], &array].concat()),
            entry(&[&b"F"[..], &inner].concat()),
            entry(b"D\0\0\0\0\x01"),
        ];
        let properties = [
            short(text),
            short(text),
            long(&table.concat()),
            vec![2, 9],
            short(text),
            short(text),
            short(text),
            short(text),
            vec![0xff; 8],
            short(text),
            short(text),
            short(text),
            short(text),
        ];
        [
            &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0xff, 0xfc][..],
            &properties.concat(),
        ]
        .concat()
    }

    #[test]
    fn every_text_becomes_utf8_and_nothing_else_changes() {
        let broken = header(b"\xffab\xe2\x82");
        let mut mended = broken.clone();
        assert_eq!(mend(&mut mended), Some(()));
        let expected = header(b"\x1aab\x1a\x1a");
        // The value of a header may be any bytes, and stays.
        let at = expected.windows(10).position(|bytes| bytes[..2] == *b"S\0");
        let value = at.unwrap() + 5..at.unwrap() + 10;
        assert_eq!(mended[value.clone()], *b"\xffab\xe2\x82");
        assert_eq!(mended[..value.start], expected[..value.start]);
        assert_eq!(mended[value.end..], expected[value.end..]);

        let fine = header("é€".as_bytes());
        let mut same = fine.clone();
        assert_eq!(mend(&mut same), Some(()));
        assert_eq!(same, fine);
    }

    #[test]
    fn deep_tables_need_no_deep_stack() {
        let deep = |name: &[u8]| {
            let mut table = long(b"");
            while table.len() < 100_000 {
                table = long(&[&short(name)[..], b"F", &table].concat());
            }
            [&[0; FLAGS_AT][..], &[0x20, 0], &table].concat()
        };
        let mut header = deep(b"\xff");
        assert_eq!(mend(&mut header), Some(()));
        assert!(header == deep(b"\x1a"));
    }

    proptest! {
        /// However the bytes come in, the frames come out, and only content headers are touched.
        #[test]
        fn frames_come_through_in_any_pieces(sizes in prop::collection::vec(1_usize..40, 1..60)) {
            let frames = [
                frame(1, b"\xff\xff"),
                frame(CONTENT_HEADER, &header(b"\xff")),
                frame(3, &header(b"\xff")),
                frame(8, b""),
            ];
            let whole = frames.concat();
            let (mut mender, mut out, mut at) = (Mender::default(), Vec::new(), 0);
            for size in sizes.into_iter().cycle() {
                let end = (at + size).min(whole.len());
                out.extend(mender.feed(&whole[at..end]));
                at = end;
                if at == whole.len() {
                    break;
                }
            }
            prop_assert!(mender.held.is_empty());
            let mut mended = header(b"\xff");
            let _: Option<()> = mend(&mut mended);
            let expected = [&frames[0][..], &frame(CONTENT_HEADER, &mended), &frames[2], &frames[3]];
            prop_assert_eq!(out, expected.concat());
        }

        /// Whatever a header holds, walking through it ends, and changes no length.
        #[test]
        fn no_header_stops_it(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let length = bytes.len();
            let _: Option<()> = mend(&mut bytes);
            prop_assert_eq!(bytes.len(), length);
        }
    }
}
