//! The codecs: one non-generic decoder and encoder per protocol.
