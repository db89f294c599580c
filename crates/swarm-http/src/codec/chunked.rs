//! Bodies out of bytes: a length counted down, or chunks with extensions and trailers. No I/O.

use bytes::{Buf, Bytes, BytesMut};

use super::Limits;
use super::fields::{FieldAt, Fields};
use super::head::{Framing, end_of_block, unfold};

/// Most bytes of chunk extensions in one body: nobody reads them, so nobody needs more.
const EXTENSION_BYTES: u32 = 16 * 1024;

/// Most bytes of a trailer block: twice what may be stored of it.
const TRAILER_BYTES: usize = 64 * 1024;

/// Pieces below this are copied, so that a small body does not pin the buffer that it arrived in.
const COPIED_BELOW: usize = 8 * 1024;

/// Largest piece handed on at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Decodes one body.
#[derive(Debug)]
pub(super) struct Decoder {
    state: State,
    extension_bytes: u32,
    trailers: Option<Fields>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Length(u64),
    Size { value: u64, digits: u8 },
    SizeBlank(u64),
    Extension(u64),
    SizeFeed(u64),
    Data(u64),
    DataReturn,
    DataFeed,
    Trailers { seen: usize },
    Done,
}

/// What a step led to.
#[derive(Debug)]
pub(super) enum Step {
    Piece(Bytes),
    NeedMore,
    End,
}

impl Decoder {
    pub(super) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Absent | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { value: 0, digits: 0 },
        };
        Self { state, extension_bytes: 0, trailers: None }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes still to come, where that is known.
    pub(super) fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    pub(super) fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    /// Takes as much as one piece from the front of `buffer`.
    pub(super) fn step(
        &mut self,
        buffer: &mut BytesMut,
        limits: &Limits,
    ) -> Result<Step, &'static str> {
        loop {
            match self.state {
                State::Done => return Ok(Step::End),
                _ if buffer.is_empty() => return Ok(Step::NeedMore),
                State::Length(left) => {
                    let piece = take_piece(buffer, left);
                    let left = left - piece.len() as u64;
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                    return Ok(Step::Piece(piece));
                }
                State::Data(left) => {
                    let piece = take_piece(buffer, left);
                    let left = left - piece.len() as u64;
                    self.state = if left == 0 { State::DataReturn } else { State::Data(left) };
                    return Ok(Step::Piece(piece));
                }
                State::Trailers { seen } => return self.trailer_step(buffer, seen, limits),
                _ => {
                    let byte = buffer.get_u8();
                    self.state = self.control_step(byte)?;
                }
            }
        }
    }

    /// One byte of what stands between the data.
    fn control_step(&mut self, byte: u8) -> Result<State, &'static str> {
        Ok(match (self.state, byte) {
            (State::Size { value, digits }, _) if byte.is_ascii_hexdigit() => {
                // Sixteen digits are all that fit; more would wrap around.
                if digits >= 16 {
                    return Err("chunk size is too large");
                }
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (State::Size { digits: 0, .. }, _) => return Err("chunk size is missing"),
            (State::Size { value, .. } | State::SizeBlank(value), b' ' | b'\t') => {
                self.count_extension()?;
                State::SizeBlank(value)
            }
            (State::Size { value, .. } | State::SizeBlank(value), b';') => State::Extension(value),
            (
                State::Size { value, .. } | State::SizeBlank(value) | State::Extension(value),
                b'\r',
            ) => State::SizeFeed(value),
            (State::Extension(value), _) if byte == b'\t' || (byte >= b' ' && byte != 0x7f) => {
                self.count_extension()?;
                State::Extension(value)
            }
            (State::SizeFeed(0), b'\n') => State::Trailers { seen: 0 },
            (State::SizeFeed(value), b'\n') => State::Data(value),
            (State::DataReturn, b'\r') => State::DataFeed,
            (State::DataFeed, b'\n') => State::Size { value: 0, digits: 0 },
            _ => return Err("malformed chunk"),
        })
    }

    fn count_extension(&mut self) -> Result<(), &'static str> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES {
            Err("too many chunk extensions")
        } else {
            Ok(())
        }
    }

    fn trailer_step(
        &mut self,
        buffer: &mut BytesMut,
        seen: usize,
        limits: &Limits,
    ) -> Result<Step, &'static str> {
        if buffer.starts_with(b"\r\n") {
            buffer.advance(2);
            self.state = State::Done;
            return Ok(Step::End);
        }
        let Some(end) = end_of_block(buffer, seen) else {
            if buffer.len() > TRAILER_BYTES {
                return Err("trailers are too long");
            }
            self.state = State::Trailers { seen: buffer.len() };
            return Ok(Step::NeedMore);
        };
        if end > TRAILER_BYTES {
            return Err("trailers are too long");
        }
        let raw = buffer.split_to(end).freeze();
        self.trailers = Some(parse_trailers(&raw, limits)?);
        self.state = State::Done;
        Ok(Step::End)
    }
}

/// Names that may not come late: they would change what was already decided (SDK client.py).
const ILLEGAL_TRAILERS: [&str; 4] = ["transfer-encoding", "content-length", "trailer", "host"];

fn parse_trailers(raw: &[u8], limits: &Limits) -> Result<Fields, &'static str> {
    // A leading line makes the block look like a head, so that one routine joins continued lines.
    let headed = [b"\r\n", raw].concat();
    let joined = unfold(&headed).map_err(|_| "malformed trailer")?;
    let block: Bytes = Bytes::from(joined).slice(2..);
    let lines = || block.split_inclusive(|byte| *byte == b'\n');
    let longest = lines().map(<[u8]>::len).max().unwrap_or(0);
    if longest > limits.line_bytes + 2 || !lines().all(|line| line.ends_with(b"\r\n")) {
        return Err("malformed trailer");
    }
    let mut slots = vec![httparse::EMPTY_HEADER; lines().count()];
    let fields: Vec<FieldAt> = match httparse::parse_headers(&block, &mut slots) {
        Ok(httparse::Status::Complete((len, fields)))
            if len == block.len() && fields.len() <= limits.distinct_fields =>
        {
            if fields.iter().any(|field| {
                ILLEGAL_TRAILERS.iter().any(|name| field.name.eq_ignore_ascii_case(name))
            }) {
                return Err("illegal trailer");
            }
            fields.iter().map(|field| FieldAt::of(&block, field.name, field.value)).collect()
        }
        _ => return Err("malformed trailer"),
    };
    Ok(Fields::new(block.clone(), fields))
}

fn take_piece(buffer: &mut BytesMut, left: u64) -> Bytes {
    let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len()).min(PIECE_BYTES);
    if len < COPIED_BELOW { buffer.copy_to_bytes_apart(len) } else { buffer.split_to(len).freeze() }
}

trait CopyApart {
    fn copy_to_bytes_apart(&mut self, len: usize) -> Bytes;
}

impl CopyApart for BytesMut {
    /// Unlike `copy_to_bytes`, which would share the buffer.
    fn copy_to_bytes_apart(&mut self, len: usize) -> Bytes {
        let piece = Bytes::copy_from_slice(&self[..len]);
        self.advance(len);
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Body, trailers, what is left behind them; or what is wrong.
    type Decoded = Result<(String, Vec<(String, String)>, String), &'static str>;

    /// Decodes `input`, given byte by byte or at once; both ways must agree.
    fn check(input: &str) -> Decoded {
        let at_once = decode(input.as_bytes(), input.len().max(1));
        let dripping = decode(input.as_bytes(), 1);
        assert_eq!(at_once, dripping, "the pace of {input:?} must not matter");
        at_once
    }

    fn decode(input: &[u8], step: usize) -> Decoded {
        let mut decoder = Decoder::new(Framing::Chunked);
        let (mut buffer, mut body) = (BytesMut::new(), Vec::new());
        let mut arriving = input.chunks(step);
        loop {
            match decoder.step(&mut buffer, &Limits::default())? {
                Step::Piece(piece) => body.extend_from_slice(&piece),
                Step::NeedMore => buffer.extend_from_slice(arriving.next().ok_or("unfinished")?),
                Step::End => break,
            }
        }
        let trailers = decoder.take_trailers().unwrap_or_default();
        let trailers = trailers
            .iter()
            .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()))
            .collect();
        let mut rest = buffer.to_vec();
        arriving.for_each(|more| rest.extend_from_slice(more));
        Ok((
            String::from_utf8_lossy(&body).into_owned(),
            trailers,
            String::from_utf8_lossy(&rest).into_owned(),
        ))
    }

    #[test]
    fn chunks_extensions_and_trailers_are_read() {
        let input = "5;a=b\r\nhello\r\n6 \t;q=\"x\"\r\n swarm\r\n0\r\nContent-MD5: abc\r\nx-a-meta: 1,\r\n 2\r\n\r\nGET";
        let (body, trailers, rest) = check(input).expect("legal");
        assert_eq!(body, "hello swarm");
        let expected = [("Content-MD5", "abc"), ("x-a-meta", "1, 2")];
        assert_eq!(trailers, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(rest, "GET", "what follows belongs to the next request");
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for (input, why) in [
            ("x\r\n", "chunk size is missing"),
            ("\r\n", "chunk size is missing"),
            ("-1\r\n", "chunk size is missing"),
            ("+5\r\nhello", "chunk size is missing"),
            ("0x5\r\nhello", "malformed chunk"),
            ("5\nhello\r\n", "malformed chunk"),
            ("5\r\nhelloX", "malformed chunk"),
            ("5\r\nhello\n0\r\n", "malformed chunk"),
            ("5\rhello", "malformed chunk"),
            ("5;a\nhello", "malformed chunk"),
            ("5;a\rb", "malformed chunk"),
            ("10000000000000000\r\n", "chunk size is too large"),
            ("00000000000000005\r\nhello", "chunk size is too large"),
            ("0\r\nContent-Length: 3\r\n\r\n", "illegal trailer"),
            ("0\r\nTransfer-Encoding: chunked\r\n\r\n", "illegal trailer"),
            ("0\r\nno colon\r\n\r\n", "malformed trailer"),
            ("0\r\n folded: first\r\n\r\n", "malformed trailer"),
            ("0\r\na: b\n\r\n", "malformed trailer"),
            ("5\r\nhel", "unfinished"),
        ] {
            assert_eq!(check(input), Err(why), "{input:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "e".repeat(EXTENSION_BYTES as usize + 1));
        assert_eq!(check(&long), Err("too many chunk extensions"));
        let many = format!("0\r\n{}\r\n", "x-a-meta: 12345678\r\n".repeat(4000));
        assert_eq!(check(&many), Err("trailers are too long"));
    }
}
