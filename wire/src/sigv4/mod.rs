//! Signature Version 4: who sent this, and is it what they sent?
