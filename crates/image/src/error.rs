//! What can go wrong.

use std::io;
use std::path::PathBuf;

/// Why an image was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Tools would refuse the name, or take it for another.
    #[error(
        "the image's name {0:?} is not of the form name:tag, with lower-case letters and digits in the name"
    )]
    Reference(String),
    /// The path would leave the image, or stand for something else than a file in it.
    #[error(
        "the path {0:?} does not name a file in an image: it must begin with `/` and have no part that is empty, `.`, `..` or begins with `.wh.`"
    )]
    UnsafePath(String),
    /// Two files have the same path, or one is the folder of another.
    #[error("the path {0:?} is given twice, or is a folder of another file")]
    Clash(String),
    /// A file for the image cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// Where it should be.
        path: PathBuf,
        #[source]
        /// What the system said.
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("failed to write {}", path.display())]
    Write {
        /// Where it should be.
        path: PathBuf,
        #[source]
        /// What the system said.
        source: io::Error,
    },
    /// A part of the archive could not be put together: a path is longer than the format allows, for example.
    #[error("failed to encode {what}")]
    Encode {
        /// Which part.
        what: String,
        #[source]
        /// Why.
        source: io::Error,
    },
}
