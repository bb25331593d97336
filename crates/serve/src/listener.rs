//! The accept loop: connections in, requests out.
