//! Netlink messages as bytes: a header, a fixed part, attributes that may nest (netlink(7)).
//! Numbers are in the machine's byte order.

/// A message being built.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

const HEADER: usize = 16;
const ALIGN: usize = 4;
/// Marks an attribute that holds attributes.
const NESTED: u16 = libc::NLA_F_NESTED as u16;

impl Message {
    /// `fixed` is the family's own header, whole.
    pub(crate) fn new(kind: u16, flags: i32, fixed: &[u8]) -> Message {
        let mut message = Message {
            kind,
            flags: flags as u16,
            body: fixed.to_vec(),
        };
        message.pad();
        message
    }

    pub(crate) fn attr(mut self, kind: u16, value: &[u8]) -> Message {
        self.put(kind, value);
        self
    }

    pub(crate) fn number(self, kind: u16, value: u32) -> Message {
        self.attr(kind, &value.to_ne_bytes())
    }

    pub(crate) fn text(self, kind: u16, value: &str) -> Message {
        self.attr(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// An attribute whose value begins with `fixed` and goes on with what `inside` adds.
    pub(crate) fn nest(
        mut self,
        kind: u16,
        fixed: &[u8],
        inside: impl FnOnce(Message) -> Message,
    ) -> Message {
        let inner = inside(Message::new(0, 0, fixed));
        self.put(kind | NESTED, &inner.body);
        self
    }

    fn put(&mut self, kind: u16, value: &[u8]) {
        let length = (ALIGN + value.len()) as u16;
        self.body.extend_from_slice(&length.to_ne_bytes());
        self.body.extend_from_slice(&kind.to_ne_bytes());
        self.body.extend_from_slice(value);
        self.pad();
    }

    fn pad(&mut self) {
        self.body.resize(self.body.len().next_multiple_of(ALIGN), 0);
    }

    /// Appends the finished message.
    pub(crate) fn write(&self, sequence: u32, more_flags: i32, out: &mut Vec<u8>) {
        let length = (HEADER + self.body.len()) as u32;
        let flags = self.flags | libc::NLM_F_REQUEST as u16 | more_flags as u16;
        out.extend_from_slice(&length.to_ne_bytes());
        out.extend_from_slice(&self.kind.to_ne_bytes());
        out.extend_from_slice(&flags.to_ne_bytes());
        out.extend_from_slice(&sequence.to_ne_bytes());
        out.extend_from_slice(&0u32.to_ne_bytes());
        out.extend_from_slice(&self.body);
    }
}

/// A message that came from the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received<'a> {
    pub kind: u16,
    pub sequence: u32,
    pub body: &'a [u8],
}

/// The messages of one datagram.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let length = number(bytes)? as usize;
        let body = bytes.get(HEADER..length)?;
        let received = Received {
            kind: short(bytes.get(4..)?)?,
            sequence: number(bytes.get(8..)?)?,
            body,
        };
        bytes = bytes
            .get(length.next_multiple_of(ALIGN)..)
            .unwrap_or_default();
        Some(received)
    })
}

/// The attributes after a fixed part of `fixed` bytes.
pub(crate) fn attributes(body: &[u8], fixed: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut bytes = body
        .get(fixed.next_multiple_of(ALIGN)..)
        .unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(short(bytes)?);
        let kind = short(bytes.get(2..)?)? & !NESTED;
        let value = bytes.get(ALIGN..length)?;
        bytes = bytes
            .get(length.next_multiple_of(ALIGN)..)
            .unwrap_or_default();
        Some((kind, value))
    })
}

pub(crate) fn short(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?))
}

pub(crate) fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?))
}

pub(crate) fn long(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(..8)?.try_into().ok()?))
}

pub(crate) fn address(bytes: &[u8]) -> Option<std::net::Ipv4Addr> {
    Some(<[u8; 4]>::try_from(bytes.get(..4)?).ok()?.into())
}

pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8(bytes[..end].to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read_again() {
        let message = Message::new(16, 0, &[1; 16])
            .text(3, "veth0")
            .nest(18, &[], |inner| inner.number(4, 9001).attr(1, &[1, 2, 3]));
        let mut bytes = Vec::new();
        message.write(7, 0, &mut bytes);
        message.write(8, 0, &mut bytes);
        let all: Vec<_> = messages(&bytes).collect();
        assert_eq!(all.iter().map(|m| m.sequence).collect::<Vec<_>>(), [7, 8]);
        let top: Vec<_> = attributes(all[0].body, 16).collect();
        assert_eq!(text(top[0].1).unwrap(), "veth0");
        let inner: Vec<_> = attributes(top[1].1, 0).collect();
        assert_eq!((inner[0].0, number(inner[0].1)), (4, Some(9001)));
        assert_eq!(inner[1], (1, &[1u8, 2, 3][..]));
    }

    proptest! {
        #[test]
        fn noise_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for message in messages(&bytes) {
                attributes(message.body, 12).for_each(drop);
            }
        }
    }
}
