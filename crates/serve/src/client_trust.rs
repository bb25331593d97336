//! Trust in client certificates, decided per request.
