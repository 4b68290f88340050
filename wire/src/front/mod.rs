//! The HTTP server: one port, TLS or plain by the first byte.
