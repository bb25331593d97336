pub mod authenticators;
