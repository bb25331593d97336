//! A plain HTTPS reverse proxy, Debian's nginx, as an Ingress stands before a Service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use haulout_operate::clock::Clock;
use haulout_pki::authority::{SigningAuthority, generate_authority};
use haulout_pki::profile::Validity;
use haulout_pki::secret_key::KeyPair;
use tokio::net::TcpStream;

use super::Cluster;
use super::pki::write;
use super::poll::wait_for;
use super::process::{Launch, Process};

const HOUR: Duration = Duration::from_secs(60 * 60);
const READY_LIMIT: Duration = Duration::from_secs(10);

/// A CA of a test's own.
#[derive(Debug)]
pub struct ServerAuthority {
    authority: SigningAuthority,
}

/// Chain and key of a server, PEM.
#[derive(Debug)]
pub struct ServerPair {
    /// The chain, leaf first.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl ServerAuthority {
    /// Makes a CA.
    ///
    /// # Errors
    /// No key can be made.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let ca = generate_authority(name, around_now())?;
        let (certificate, key) = (ca.certificate_pem.as_bytes(), ca.key_pem.as_bytes());
        let authority = SigningAuthority::from_pem(certificate, key, Clock::system().now())?;
        Ok(Self { authority })
    }

    /// Its certificate, PEM.
    pub fn certificate(&self) -> &str {
        self.authority.certificate_pem()
    }

    /// A certificate for a server called `name`.
    ///
    /// # Errors
    /// No key can be made, or the name is none.
    pub fn issue(&self, name: &str) -> anyhow::Result<ServerPair> {
        let key = KeyPair::generate_p256()?;
        let names = [name.to_owned()];
        let leaf =
            self.authority
                .issue_serving_certificate(&names, &[], &key.spki_der(), around_now())?;
        Ok(ServerPair {
            certificate: leaf.pem,
            key: key.pkcs8_pem().to_string(),
        })
    }
}

fn around_now() -> Validity {
    let now = Clock::system().now();
    Validity {
        not_before: now - HOUR,
        not_after: now + HOUR,
    }
}

/// nginx on a port of 127.0.0.1, which passes everything on, Upgrade too, and tells whom it speaks for.
#[derive(Debug)]
pub struct ReverseProxy {
    /// The process.
    pub process: Process,
}

impl ReverseProxy {
    /// Starts nginx before an HTTPS server on another port, and waits until it listens.
    ///
    /// # Errors
    /// nginx is not installed, or has ended.
    pub async fn start(
        cluster: &Cluster,
        port: u16,
        upstream: u16,
        pair: &ServerPair,
    ) -> anyhow::Result<Self> {
        let folder = cluster.folder().join("nginx");
        std::fs::create_dir_all(&folder)?;
        write(&folder.join("tls.crt"), &pair.certificate, 0o644)?;
        write(&folder.join("tls.key"), &pair.key, 0o600)?;
        write(
            &folder.join("nginx.conf"),
            &configuration(port, upstream),
            0o644,
        )?;
        let mut process = Process::start(Launch {
            name: "nginx".to_owned(),
            program: program()?,
            arguments: vec![
                "-p".into(),
                (&folder).into(),
                "-c".into(),
                "nginx.conf".into(),
                "-e".into(),
                "stderr".into(),
            ],
            environment: Vec::new(),
            user: None,
            detached: cluster.is_detached(),
            folder: cluster.folder().to_owned(),
        })?;
        wait_for(
            "nginx listens",
            READY_LIMIT,
            &mut [&mut process],
            async || Ok(TcpStream::connect(("127.0.0.1", port)).await?),
        )
        .await?;
        Ok(Self { process })
    }
}

/// One process in the foreground, with no file outside of its folder. What it says to the server behind it
/// is what Kubernetes' Ingress controller on nginx says.
fn configuration(port: u16, upstream: u16) -> String {
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events {{}}
http {{
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  map $http_upgrade $connection_upgrade {{
    default upgrade;
    '' '';
  }}
  upstream haulout {{
    server 127.0.0.1:{upstream};
    keepalive 4;
  }}
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate tls.crt;
    ssl_certificate_key tls.key;
    location / {{
      proxy_pass https://haulout;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
}}
"
    )
}

/// Debian has it where only root's `PATH` leads.
fn program() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let program = folders.find_map(|folder| {
        let program = folder.join("nginx");
        program.is_file().then_some(program)
    });
    let program = program.context("nginx is not installed: install the package nginx-light")?;
    ensure!(Path::is_absolute(&program), "nginx is on a relative PATH");
    Ok(program)
}
