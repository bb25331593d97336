//! Keys and certificates of one cluster, made afresh.

use std::fs::Permissions;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::encoding::{AsDer as _, EcPrivateKeyRfc5915Der};
use der::asn1::{AnyRef, OctetStringRef};
use der::pem::LineEnding;
use der::{Decode as _, Reader as _, SliceReader};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
    date_time_ymd,
};

use super::profile::Profile;

/// User that owns the signing key on Talos, and that the agent runs as.
pub const AGENT_USER: u32 = 65535;

/// Paths of a PEM certificate and its key.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Certificate.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// The certificates that a control plane needs, as files in one folder.
#[derive(Debug)]
pub struct ClusterPki {
    folder: PathBuf,
    ca: CertifiedIssuer<'static, KeyPair>,
    profile: Profile,
}

impl ClusterPki {
    /// Makes every key and certificate of a cluster in `folder`; kube-apiserver is called by `address` too.
    pub(super) fn create(
        folder: &Path,
        profile: Profile,
        address: Ipv4Addr,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
        let ca = match profile {
            Profile::Kubeadm => authority(DnType::CommonName, "kubernetes", rsa_key()?)?,
            Profile::Talos => {
                authority(DnType::OrganizationName, "kubernetes", KeyPair::generate()?)?
            }
        };
        let pki = Self {
            folder: folder.to_owned(),
            ca,
            profile,
        };
        pki.write_signing_pair()?;
        let address = address.to_string();
        let names = [&API_SERVER_NAMES[..], &[&address]].concat();
        pki.leaf("apiserver", "kube-apiserver", None, &names)?;
        pki.leaf("admin", "kubernetes-admin", Some("system:masters"), &[])?;
        let kubelet_client = "apiserver-kubelet-client";
        let common_name = format!("kube-{kubelet_client}");
        pki.leaf(kubelet_client, &common_name, Some("system:masters"), &[])?;
        for component in ["kube-controller-manager", "kube-scheduler", "kube-proxy"] {
            pki.leaf(component, &format!("system:{component}"), None, &[])?;
        }
        pki.replace_front_proxy()?;

        let etcd = authority(DnType::CommonName, "etcd-ca", KeyPair::generate()?)?;
        write(&pki.certificate("etcd-ca"), &etcd.pem(), 0o644)?;
        pki.issue(&etcd, "etcd", "etcd", None, &["localhost", "127.0.0.1"])?;
        pki.issue(
            &etcd,
            "etcd-client",
            "kube-apiserver-etcd-client",
            None,
            &[],
        )?;

        let accounts = rsa_key()?;
        write(&pki.key("sa"), &pkcs1_pem(&accounts)?, 0o600)?;
        write(
            &pki.folder.join("sa.pub"),
            &accounts.public_key_pem(),
            0o644,
        )?;
        Ok(pki)
    }

    /// The cluster's CA, in the form and with the owner and mode of the profile.
    pub fn signing_pair(&self) -> Pair {
        self.pair("ca")
    }

    /// Certificate and key with which the aggregator calls aggregated API servers.
    pub fn front_proxy_client(&self) -> Pair {
        self.pair("front-proxy-client")
    }

    /// The CA of the aggregator's client certificate.
    pub fn front_proxy_authority(&self) -> Pair {
        self.pair("front-proxy-ca")
    }

    /// A new CA that nothing in the cluster knows, called like kubeadm's.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn foreign_authority(&self) -> anyhow::Result<Pair> {
        let ca = authority(DnType::CommonName, "kubernetes", KeyPair::generate()?)?;
        let pair = self.pair("foreign-ca");
        write(&pair.certificate, &ca.pem(), 0o644)?;
        write(&pair.key, &ca.key().serialize_pem(), 0o600)?;
        Ok(pair)
    }

    /// A pair by the name of its files.
    pub(super) fn pair(&self, name: &str) -> Pair {
        Pair {
            certificate: self.certificate(name),
            key: self.key(name),
        }
    }

    /// Path of a certificate by name.
    pub(super) fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.crt"))
    }

    /// Path of a key by name.
    pub(super) fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    /// Path of the public key that verifies service account tokens.
    pub(super) fn service_account_public_key(&self) -> PathBuf {
        self.folder.join("sa.pub")
    }

    /// Makes a new front-proxy CA and client certificate in place of the old; kube-apiserver reads them at its next start.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn replace_front_proxy(&self) -> anyhow::Result<()> {
        let (name, key) = match self.profile {
            Profile::Kubeadm => ("front-proxy-ca", rsa_key()?),
            Profile::Talos => ("front-proxy", KeyPair::generate()?),
        };
        let ca = authority(DnType::CommonName, name, key)?;
        write(&self.certificate("front-proxy-ca"), &ca.pem(), 0o644)?;
        write(
            &self.key("front-proxy-ca"),
            &ca.key().serialize_pem(),
            0o600,
        )?;
        self.issue(&ca, "front-proxy-client", "front-proxy-client", None, &[])
    }

    /// Issues a certificate for a user of this cluster, as `kubeadm kubeconfig user` does.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn user(&self, name: &str, group: Option<&str>) -> anyhow::Result<Pair> {
        let file = format!(
            "user-{}",
            name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
        );
        self.leaf(&file, name, group, &[])?;
        Ok(self.pair(&file))
    }

    /// Issues the certificate of a kubelet.
    pub(super) fn node(&self, name: &str) -> anyhow::Result<Pair> {
        let user = format!("system:node:{name}");
        self.leaf(name, &user, Some("system:nodes"), &[])?;
        Ok(self.pair(name))
    }

    /// Makes a serving certificate for a program on loopback that is no part of the cluster, from a CA of its own; gives the
    /// path of that CA's certificate, and the pair.
    pub(super) fn foreign_server(&self, name: &str) -> anyhow::Result<(PathBuf, Pair)> {
        let ca_name = format!("{name}-ca");
        let ca = authority(DnType::CommonName, &ca_name, KeyPair::generate()?)?;
        let path = self.certificate(&ca_name);
        write(&path, &ca.pem(), 0o644)?;
        self.issue(&ca, name, name, None, &["localhost", "127.0.0.1"])?;
        Ok((path, self.pair(name)))
    }

    fn leaf(
        &self,
        file: &str,
        common_name: &str,
        group: Option<&str>,
        names: &[&str],
    ) -> anyhow::Result<()> {
        self.issue(&self.ca, file, common_name, group, names)
    }

    fn issue(
        &self,
        ca: &CertifiedIssuer<'static, KeyPair>,
        file: &str,
        common_name: &str,
        group: Option<&str>,
        names: &[&str],
    ) -> anyhow::Result<()> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let usage = if names.is_empty() {
            vec![ExtendedKeyUsagePurpose::ClientAuth]
        } else {
            vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ]
        };
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        if let Some(group) = group {
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usage;
        params.use_authority_key_identifier_extension = true;
        set_life(&mut params);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, ca)?;
        write(&self.certificate(file), &certificate.pem(), 0o644)?;
        write(&self.key(file), &key.serialize_pem(), 0o600)
    }

    fn write_signing_pair(&self) -> anyhow::Result<()> {
        let Pair { certificate, key } = self.signing_pair();
        write(&certificate, &self.ca.pem(), 0o644)?;
        match self.profile {
            Profile::Kubeadm => write(&key, &pkcs1_pem(self.ca.key())?, 0o600),
            Profile::Talos => {
                write(&key, &sec1_pem(self.ca.key())?, 0o400)?;
                give_to_agent(&key)
            }
        }
    }
}

const API_SERVER_NAMES: [&str; 6] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    "10.96.0.1",
];

fn authority(
    attribute: DnType,
    name: &str,
    key: KeyPair,
) -> anyhow::Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(attribute, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyCertSign,
    ];
    set_life(&mut params);
    Ok(CertifiedIssuer::self_signed(params, key)?)
}

/// Fixed dates: what a test observes must not depend on when it runs.
fn set_life(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2045, 1, 1);
}

fn rsa_key() -> anyhow::Result<KeyPair> {
    Ok(KeyPair::generate_rsa_for(
        &PKCS_RSA_SHA256,
        RsaKeySize::_2048,
    )?)
}

/// `RSA PRIVATE KEY`, the form that kubeadm writes: the inner part of PKCS#8 (RFC 5958, 2).
fn pkcs1_pem(key: &KeyPair) -> anyhow::Result<String> {
    let mut reader = SliceReader::new(key.serialized_der())?;
    let inner = reader.sequence(|fields| {
        u8::decode(fields)?;
        AnyRef::decode(fields)?;
        Ok::<_, der::Error>(<&OctetStringRef>::decode(fields)?.as_bytes())
    })?;
    pem("RSA PRIVATE KEY", inner)
}

/// `EC PRIVATE KEY`, the form that Talos writes (RFC 5915, with the curve named inside).
fn sec1_pem(key: &KeyPair) -> anyhow::Result<String> {
    let key = PrivateKey::from_private_key_der(&ECDH_P256, key.serialized_der())?;
    let der: EcPrivateKeyRfc5915Der<'_> = key.as_der()?;
    pem("EC PRIVATE KEY", der.as_ref())
}

fn pem(label: &str, der: &[u8]) -> anyhow::Result<String> {
    Ok(der::pem::encode_string(label, LineEnding::LF, der)?)
}

/// Makes [`AGENT_USER`] the owner of a file, if we may; as an ordinary user it stays ours.
pub(super) fn give_to_agent(path: &Path) -> anyhow::Result<()> {
    if !is_root() {
        return Ok(());
    }
    chown(path, Some(AGENT_USER), Some(AGENT_USER))
        .with_context(|| format!("failed to give {} to user {AGENT_USER}", path.display()))
}

/// Whether this process may run others as another user.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Writes a file that has `mode` from its first byte on, replacing what is there by a rename.
pub(super) fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    let write = || -> io::Result<()> {
        std::fs::write(&new, "")?;
        std::fs::set_permissions(&new, Permissions::from_mode(0o600))?;
        std::fs::write(&new, text)?;
        std::fs::set_permissions(&new, Permissions::from_mode(mode))?;
        std::fs::rename(&new, path)
    };
    write().with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use haulout_pki::bundle::{self, CertificateBundle};

    use super::*;

    fn create(profile: Profile) -> (tempfile::TempDir, ClusterPki) {
        let folder = tempfile::tempdir().unwrap();
        let pki =
            ClusterPki::create(&folder.path().join("pki"), profile, Ipv4Addr::LOCALHOST).unwrap();
        (folder, pki)
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn first_certificate(path: &Path) -> Vec<u8> {
        let bundle = CertificateBundle::parse_pem(&std::fs::read(path).unwrap()).unwrap();
        bundle.certificates()[0].to_vec()
    }

    #[test]
    fn kubeadm_has_an_rsa_authority_with_a_name() {
        let (_folder, pki) = create(Profile::Kubeadm);
        let pair = pki.signing_pair();
        let key = std::fs::read_to_string(&pair.key).unwrap();
        assert!(
            key.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"),
            "not PKCS#1"
        );
        assert_eq!(mode(&pair.key), 0o600);
        let name = bundle::common_name(&first_certificate(&pair.certificate));
        assert_eq!(name.as_deref(), Some("kubernetes"));
    }

    #[test]
    fn talos_has_an_elliptic_authority_without_a_name() {
        let (_folder, pki) = create(Profile::Talos);
        let pair = pki.signing_pair();
        let key = std::fs::read_to_string(&pair.key).unwrap();
        assert!(
            key.starts_with("-----BEGIN EC PRIVATE KEY-----\n"),
            "not SEC1"
        );
        assert_eq!(mode(&pair.key), 0o400);
        if is_root() {
            use std::os::unix::fs::MetadataExt as _;
            assert_eq!(std::fs::metadata(&pair.key).unwrap().uid(), AGENT_USER);
        }
        assert_eq!(
            bundle::common_name(&first_certificate(&pair.certificate)),
            None
        );
    }

    #[test]
    fn keys_are_for_their_owner_only() {
        let (folder, _pki) = create(Profile::Kubeadm);
        for entry in std::fs::read_dir(folder.path().join("pki")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "key") {
                assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
            }
        }
    }

    #[test]
    fn front_proxy_can_be_replaced() {
        let (_folder, pki) = create(Profile::Talos);
        let path = pki.certificate("front-proxy-ca");
        let before = first_certificate(&path);
        pki.replace_front_proxy().unwrap();
        assert_ne!(before, first_certificate(&path));
    }
}
