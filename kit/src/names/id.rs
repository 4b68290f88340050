//! Identifiers in the shapes that AWS gives them, drawn from the operating system's generator.
//!
//! Unique-id prefixes: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>

use std::cell::RefCell;

/// RFC 4648's base32 alphabet, which IAM's identifiers are written in.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE16: &[u8; 16] = b"0123456789abcdef";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Which kind of IAM entity an identifier names; it decides the four-letter prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A long-term access key, `AKIA`.
    AccessKey,
    /// A temporary access key of STS, `ASIA`.
    SessionKey,
    /// A user, `AIDA`.
    User,
    /// A role, `AROA`.
    Role,
    /// A group, `AGPA`.
    Group,
    /// An instance profile, `AIPA`.
    InstanceProfile,
    /// A managed policy, `ANPA`.
    ManagedPolicy,
    /// A version of a managed policy, `ANVA`.
    ManagedPolicyVersion,
    /// A server certificate, `ASCA`.
    Certificate,
    /// A public key, `APKA`.
    PublicKey,
}

impl Kind {
    /// The four letters that identifiers of this kind begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Kind::AccessKey => "AKIA",
            Kind::SessionKey => "ASIA",
            Kind::User => "AIDA",
            Kind::Role => "AROA",
            Kind::Group => "AGPA",
            Kind::InstanceProfile => "AIPA",
            Kind::ManagedPolicy => "ANPA",
            Kind::ManagedPolicyVersion => "ANVA",
            Kind::Certificate => "ASCA",
            Kind::PublicKey => "APKA",
        }
    }
}

/// An IAM identifier: the prefix of its kind and 16 base32 characters (access keys), or 17 (all
/// other kinds, which AWS makes one character longer).
pub fn unique(kind: Kind) -> String {
    let tail = if matches!(kind, Kind::AccessKey | Kind::SessionKey) {
        16
    } else {
        17
    };
    kind.prefix().to_owned() + &letters::<32>(BASE32, tail)
}

/// A resource identifier such as `i-0a1b…`: the prefix, a hyphen and 17 hexadecimal digits.
pub fn resource(prefix: &str) -> String {
    let mut digits = hex::encode(bytes::<9>());
    digits.truncate(17);
    format!("{prefix}-{digits}")
}

/// A random UUID (RFC 9562, version 4), as request ids and message ids are.
pub fn uuid() -> String {
    let mut b = bytes::<16>();
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (index, byte) in b.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(BASE16[usize::from(digit)]));
        }
    }
    text
}

/// A request id in the shape of most services: a UUID.
pub fn request() -> String {
    uuid()
}

/// A request id in S3's shape: 16 upper-case base32 characters.
pub fn s3_request() -> String {
    letters::<32>(BASE32, 16)
}

/// A secret access key: 40 characters of base64's alphabet, 240 random bits.
pub fn secret() -> String {
    letters::<64>(BASE64, 40)
}

/// `len` lower-case hexadecimal digits.
pub fn hex_digits(len: usize) -> String {
    letters(BASE16, len)
}

/// Random bytes from the operating system.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    fill(&mut out);
    out
}

/// Fills `out` with random bytes.
///
/// A kernel that cannot give random bytes after boot is broken beyond repair, and an identifier or
/// a secret made up without them would be guessable: the one sane answer is to stop the process.
pub fn fill(out: &mut [u8]) {
    let drawn = out.len() <= SMALL && POOL.try_with(|pool| pool.borrow_mut().draw(out)).is_ok();
    if !drawn {
        from_system(out);
    }
}

fn from_system(out: &mut [u8]) {
    if let Err(error) = getrandom::fill(out) {
        tracing::error!(%error, "the operating system gives no random bytes");
        std::process::abort();
    }
}

/// Requests draw up to this many bytes at a time, for ids, salts and keys.
const SMALL: usize = 64;

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool::EMPTY) };
}

/// Random bytes that a thread has asked for ahead: one system call serves many draws. What was
/// drawn is not here any more.
///
/// A process that is forked off must not draw before it runs another program: it would draw what
/// its parent draws.
struct Pool {
    bytes: [u8; 16 * SMALL],
    left: usize,
}

impl Pool {
    const EMPTY: Self = Self {
        bytes: [0; 16 * SMALL],
        left: 0,
    };

    /// `out` is no longer than [`SMALL`].
    fn draw(&mut self, out: &mut [u8]) {
        if self.left < out.len() {
            from_system(&mut self.bytes);
            self.left = self.bytes.len();
        }
        let drawn = &mut self.bytes[self.left - out.len()..self.left];
        out.copy_from_slice(drawn);
        drawn.fill(0);
        self.left -= out.len();
    }
}

/// `len` characters of an alphabet whose size divides 256, so that all are equally likely.
fn letters<const N: usize>(alphabet: &[u8; N], len: usize) -> String {
    const { assert!(256 % N == 0) };
    let mut random = vec![0; len];
    fill(&mut random);
    random
        .iter()
        .map(|b| char::from(alphabet[usize::from(*b) % N]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_the_shapes_that_clients_check() {
        assert_eq!(unique(Kind::AccessKey).len(), 20);
        assert_eq!(unique(Kind::Role).len(), 21);
        assert!(unique(Kind::SessionKey).starts_with("ASIA"));
        let instance = resource("i");
        assert_eq!(instance.len(), 19);
        assert!(instance[2..].bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(secret().len(), 40);
        let uuid = uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"));
        assert_ne!(request(), request());
    }

    #[test]
    fn nothing_is_drawn_twice_however_much_is_drawn() {
        let draw = || (0..5000).map(|_| bytes::<12>()).collect::<Vec<_>>();
        let other = std::thread::spawn(draw);
        let mut drawn = draw();
        drawn.extend(other.join().expect("drawn"));
        let mut large = [0; 12 * 5000];
        fill(&mut large);
        drawn.extend(large.as_chunks().0);
        let count = drawn.len();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), count);
        assert!(!drawn.contains(&[0; 12]));
    }
}
