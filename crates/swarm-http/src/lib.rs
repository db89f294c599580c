//! The SCSP port with its own HTTP/1.1 codec, and the management port.
