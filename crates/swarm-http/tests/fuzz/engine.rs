//! The mutation engine: a small generator of numbers, a corpus, and ways to damage it.

use std::path::Path;

/// splitmix64: small, good enough, and the same on every machine.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// The files of the corpus, sorted by name.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let entries = std::fs::read_dir(folder).expect("the corpus is in the repository");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    let corpus: Vec<_> = paths.iter().map(|path| std::fs::read(path).expect("readable")).collect();
    assert!(!corpus.is_empty(), "there is something to start from");
    corpus
}

/// What a request is made of, and what it should not be made of.
const TOKENS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b":",
    b": ",
    b";",
    b",",
    b"0\r\n\r\n",
    b"\0",
    b"\x7f",
    b"\xff",
    b"\xc3\xa4",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 18446744073709551616\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"transfer-encoding:\tchunked\r\n",
    b"chunked",
    b"identity",
    b"Host: h\r\n",
    b"Host:\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive, Close\r\n",
    b"Trailer: x\r\n",
    b"X-a-Meta: v\r\n",
    b" folded\r\n",
    b"\tfolded\r\n",
    b"GET / HTTP/1.1\r\n",
    b"POST /x?y HTTP/1.1\r\n",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"HTTP/2.0",
    b"5\r\nhello\r\n",
    b"FFFFFFFFFFFFFFFF\r\n",
    b"00000000000000001\r\na\r\n",
    b"1;e=\"q\"\r\na\r\n",
    b"-1",
    b"+1",
    b"0x1",
    b"%ff",
    b"?",
    b"#",
    b"//",
    b"*",
    b"http://h/",
    b"GET",
    b"HEAD",
    b"SEND",
    b"PATCH",
];

/// Damages a member of the corpus a few times.
pub(crate) fn mutate(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut input = corpus[dice.below(corpus.len())].clone();
    for _ in 0..=dice.below(4) {
        mutate_once(&mut input, corpus, dice);
    }
    input.truncate(16 * 1024);
    input
}

fn mutate_once(input: &mut Vec<u8>, corpus: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(input.len() + 1);
    let end = (at + dice.below(24)).min(input.len());
    match dice.below(8) {
        0 if at < input.len() => input[at] ^= 1 << dice.below(8),
        1 if at < input.len() => input[at] = dice.pick(TOKENS)[0],
        2 => drop(input.drain(at..end)),
        3 => {
            let copy = input[at..end].to_vec();
            let to = dice.below(input.len() + 1);
            input.splice(to..to, copy);
        }
        4 => {
            let other = &corpus[dice.below(corpus.len())];
            let from = dice.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        5 => input.truncate(at),
        6 if at < input.len() && input[at].is_ascii_digit() => {
            input[at] = b'0' + u8::try_from(dice.below(10)).expect("a digit");
        }
        _ => {
            let token = dice.pick(TOKENS).to_vec();
            input.splice(at..at, token);
        }
    }
}
