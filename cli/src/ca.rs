//! CA certificates, as files or base64 name them, and nothing that may stand beside them in a file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use haulout_https::TrustRoots;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::arguments::CaFlags;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Several times as much as all CAs that systems trust.
const MAX_BYTES: u64 = 4 << 20;

/// At least one CA certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CaBundle {
    pem: String,
    certificates: Vec<CertificateDer<'static>>,
}

/// Why a text holds no CA certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CaFault {
    #[error("it is not base64")]
    NotBase64,
    #[error("it holds no PEM certificates, or a damaged one")]
    NotPem,
}

/// Why nobody knows whom a flag trusts: the command line is at fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaError {
    #[error("could not read {flag}: {}", path.display())]
    Read {
        flag: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("could not read {flag}: {} is no file of CA certificates", path.display())]
    File {
        flag: &'static str,
        path: PathBuf,
        source: CaFault,
    },
    #[error("could not read {flag}")]
    Data { flag: &'static str, source: CaFault },
}

impl CaBundle {
    /// All that the flags name; `None` where they name nothing.
    pub(crate) fn from_flags(flags: &CaFlags) -> Result<Option<Self>, CaError> {
        let flag = "--ca-bundle-data";
        let mut all = Self::from_files("--ca-bundle", &flags.ca_bundle)?;
        for data in flags.ca_bundle_data.iter().filter(|data| !data.is_empty()) {
            let more = Self::from_base64(data).map_err(|source| CaError::Data { flag, source })?;
            all = Some(Self::joined(all, more));
        }
        Ok(all)
    }

    /// The certificates of all files together; `None` where there are no files.
    pub(crate) fn from_files(
        flag: &'static str,
        paths: &[PathBuf],
    ) -> Result<Option<Self>, CaError> {
        let mut all = None;
        for path in paths {
            let pem = read(path).map_err(|source| CaError::Read {
                flag,
                path: path.clone(),
                source,
            })?;
            let more = Self::parse(&pem).map_err(|source| CaError::File {
                flag,
                path: path.clone(),
                source,
            })?;
            all = Some(Self::joined(all, more));
        }
        Ok(all)
    }

    fn joined(all: Option<Self>, more: Self) -> Self {
        let Some(mut all) = all else {
            return more;
        };
        all.pem.push_str(&more.pem);
        all.certificates.extend(more.certificates);
        all
    }

    /// Takes the certificates of a PEM text. What else it holds, such as a key, is left out: the bundle will stand in a
    /// kubeconfig.
    pub(crate) fn parse(pem: &[u8]) -> Result<Self, CaFault> {
        // Remarks between the certificates may be in any encoding.
        let text = String::from_utf8_lossy(pem);
        let mut kept = String::new();
        let mut is_inside = false;
        for line in text.lines().map(str::trim) {
            is_inside |= line == BEGIN;
            if is_inside {
                kept.push_str(line);
                kept.push('\n');
            }
            is_inside &= line != END;
        }
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(kept.as_bytes()).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Ok(Self {
                pem: certificates.iter().map(|der| to_pem(der)).collect(),
                certificates,
            }),
            _ => Err(CaFault::NotPem),
        }
    }

    pub(crate) fn from_base64(data: &str) -> Result<Self, CaFault> {
        let pem = BASE64_STANDARD.decode(data.trim());
        Self::parse(&pem.map_err(|_| CaFault::NotBase64)?)
    }

    /// Its certificates, one at least.
    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    pub(crate) fn to_base64(&self) -> String {
        BASE64_STANDARD.encode(&self.pem)
    }

    /// Whom to trust: these certificates alone, or this system's roots where none are named.
    pub(crate) fn trust_roots(named: Option<&Self>) -> TrustRoots {
        named.map_or(TrustRoots::System, |ca| {
            TrustRoots::Only(ca.certificates.iter().map(|der| der.to_vec()).collect())
        })
    }
}

/// Reads a file of CA certificates, or a pipe, as shells make for `<(...)`; a device that has no end is none.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut pem)?;
    match pem.len() as u64 > MAX_BYTES {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {} MiB", MAX_BYTES >> 20),
        )),
        false => Ok(pem),
    }
}

/// Written anew: what was read may have had something else, such as a key, in the line that ends a certificate.
pub(crate) fn to_pem(der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut pem = format!("{BEGIN}\n");
    for (position, character) in text.chars().enumerate() {
        if position > 0 && position % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem + "\n" + END + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block as those of certificates are.
    fn block(kind: &str, content: &str) -> String {
        let content = BASE64_STANDARD.encode(content);
        format!("-----BEGIN {kind}-----\n{content}\n-----END {kind}-----\n")
    }

    #[test]
    fn only_certificates_are_kept() {
        let (one, two) = (block("CERTIFICATE", "one"), block("CERTIFICATE", "two"));
        let key = block("PRIVATE KEY", "very secret");
        let mut text = b"# M\xfcnchen\n".to_vec();
        text.extend(format!("password: hunter2\n{one}\r\n{key}# two\n{two}").bytes());
        let ca = CaBundle::parse(&text).unwrap();
        assert_eq!(ca.certificates().len(), 2);
        assert_eq!(
            ca.to_base64(),
            BASE64_STANDARD.encode(format!("{one}{two}"))
        );
        assert_eq!(CaBundle::from_base64(&ca.to_base64()), Ok(ca));
    }

    /// As `cat` makes it of a file without a new line at its end and a key.
    #[test]
    fn a_key_in_the_line_that_ends_a_certificate_is_left_out() {
        let one = block("CERTIFICATE", &"one".repeat(40));
        let text = format!("{}{}", one.trim_end(), block("PRIVATE KEY", "very secret"));
        let ca = CaBundle::parse(text.as_bytes()).unwrap();
        assert!(!ca.pem.contains("PRIVATE KEY"), "{}", ca.pem);
        assert_eq!(CaBundle::parse(ca.pem.as_bytes()), Ok(ca));
    }

    #[test]
    fn what_holds_none_is_refused() {
        for text in [
            String::new(),
            "hunter2".to_owned(),
            block("PRIVATE KEY", "very secret"),
            format!("{BEGIN}\n*\n{END}\n"),
            format!("{BEGIN}\nZm9v\n"),
        ] {
            assert_eq!(
                CaBundle::parse(text.as_bytes()),
                Err(CaFault::NotPem),
                "{text}"
            );
        }
        assert_eq!(CaBundle::from_base64("*"), Err(CaFault::NotBase64));
        assert_eq!(CaBundle::from_base64("Zm9v"), Err(CaFault::NotPem));
    }

    #[cfg(unix)]
    #[test]
    fn pipes_are_read_and_what_has_no_end_is_refused() {
        let error = CaBundle::from_files("--ca-bundle", &["/dev/zero".into()]).unwrap_err();
        let error = crate::chain(&error);
        let expected = "could not read --ca-bundle: /dev/zero: it has more than 4 MiB";
        assert_eq!(error, expected);

        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let written = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::write(pipe, block("CERTIFICATE", "one"))
        });
        let ca = CaBundle::from_files("--ca-bundle", &[pipe]).unwrap();
        written.join().unwrap().unwrap();
        assert_eq!(ca.unwrap().certificates().len(), 1);
    }

    #[test]
    fn certificates_of_all_flags_are_taken_together() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["one", "two"].map(|content| {
            let path = folder.path().join(content);
            // Without a new line at its end.
            std::fs::write(&path, block("CERTIFICATE", content).trim_end()).unwrap();
            path
        });
        let three = BASE64_STANDARD.encode(block("CERTIFICATE", "three"));
        let flags = CaFlags {
            ca_bundle: files.to_vec(),
            ca_bundle_data: vec![String::new(), format!("{three}\n")],
        };
        let ca = CaBundle::from_flags(&flags).unwrap();
        let contents = ["one", "two", "three"];
        assert_eq!(
            CaBundle::trust_roots(ca.as_ref()),
            TrustRoots::Only(contents.map(|content| content.as_bytes().to_vec()).into())
        );
        let text: String = contents
            .map(|content| block("CERTIFICATE", content))
            .concat();
        assert_eq!(ca.unwrap().to_base64(), BASE64_STANDARD.encode(text));
        let nothing = CaFlags {
            ca_bundle: Vec::new(),
            ca_bundle_data: vec![String::new()],
        };
        let nothing = CaBundle::from_flags(&nothing).unwrap();
        assert_eq!(CaBundle::trust_roots(nothing.as_ref()), TrustRoots::System);
    }
}
