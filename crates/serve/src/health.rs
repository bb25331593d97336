//! Health checks, metrics and the version of the program.
