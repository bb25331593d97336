//! Assembly and swap of TLS configurations.
