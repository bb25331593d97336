use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use haulout_operate::clock::ManualClock;
use haulout_pki::authority::{SigningAuthority, generate_authority};
use haulout_pki::bundle::CertificateBundle;
use haulout_pki::profile::Validity;
use haulout_pki::secret_key::KeyPair;
use haulout_serve::tls::ServingIdentity;
use k8s_openapi::ByteString;

use super::*;
use crate::controllers::test_server::{environment, start};

const HOST: &str = "login.example.com";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const LIFE: Duration = Duration::from_secs(6 * 60 * 60);

/// A CA with its key.
struct Ca {
    certificate: String,
    key: String,
}

impl Ca {
    fn new(name: &str) -> Self {
        let dates = Validity {
            not_before: start() - DAY,
            not_after: start() + 365 * DAY,
        };
        let ca = generate_authority(name, dates).unwrap();
        Self {
            certificate: ca.certificate_pem.clone(),
            key: ca.key_pem.to_string(),
        }
    }

    /// Chain and key for a server called `name`, from a day ago to a day from now.
    fn leaf(&self, name: &str) -> [(&'static str, String); 2] {
        let authority =
            SigningAuthority::from_pem(self.certificate.as_bytes(), self.key.as_bytes(), start())
                .unwrap();
        let key = KeyPair::generate_p256().unwrap();
        let dates = Validity {
            not_before: start() - DAY,
            not_after: start() + DAY,
        };
        let names = [name.to_owned()];
        let leaf = authority
            .issue_serving_certificate(&names, &[], &key.spki_der(), dates)
            .unwrap();
        [
            ("tls.crt", leaf.pem),
            ("tls.key", key.pkcs8_pem().to_string()),
        ]
    }

    fn bundle(&self) -> CertificateBundle {
        CertificateBundle::parse_pem(self.certificate.as_bytes()).unwrap()
    }

    fn encoded(&self) -> String {
        BASE64_STANDARD.encode(&self.certificate)
    }

    /// The Secret that door A's certificate is kept in, as far as it matters here.
    fn secret(&self) -> Secret {
        let bundle = ("ca.crt", self.certificate.clone());
        secret([bundle, ("ca.key", self.key.clone())])
    }
}

fn secret(data: impl IntoIterator<Item = (&'static str, String)>) -> Secret {
    let data = data
        .into_iter()
        .map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes())));
    Secret {
        data: Some(data.collect()),
        ..Secret::default()
    }
}

fn keeper(origin: Origin, authority: AdvertisedAuthority) -> (Keeper, ManualClock) {
    let (environment, _server, clock) = environment(false);
    let keeper = Keeper {
        environment,
        settings: Settings {
            namespace: "haulout-system".to_owned(),
            origin,
            host: HOST.to_owned(),
            authority,
        },
        links: Links {
            store: Arc::new(ServingStore::for_anybody()),
            standing: watch::channel(unknown()).0,
            expiry: ExpiryMetrics::default(),
        },
        observed: Observed::unwatched(),
        served: None,
    };
    (keeper, clock)
}

fn of_secret(authority: AdvertisedAuthority) -> (Keeper, ManualClock) {
    let secret = "login-tls".to_owned();
    keeper(Origin::Given { secret }, authority)
}

fn of_own_ca(host: &str) -> (Keeper, ManualClock) {
    let origin = Origin::Own {
        secret: "haulout-serving".to_owned(),
        service_names: vec!["haulout-direct.haulout-system.svc".to_owned()],
        lifetime: LIFE,
    };
    let (mut keeper, clock) = keeper(origin, AdvertisedAuthority::OfCertificate);
    keeper.settings.host = host.to_owned();
    (keeper, clock)
}

impl Keeper {
    /// How door B stands when the Secret has become this.
    async fn sees(&mut self, secret: Option<Secret>) -> Standing {
        self.observed.set(secret);
        self.looks().await
    }

    async fn looks(&mut self) -> Standing {
        let outcome = self.reconcile().await;
        let standing = self.links.standing.borrow().clone();
        let is_unusable = matches!(standing, Standing::Unusable(_));
        assert_eq!(outcome.is_err(), is_unusable, "{standing:?}");
        standing
    }

    fn serves(&self) -> bool {
        self.links.store.not_after().is_some()
    }
}

#[tokio::test]
async fn a_good_secret_is_served_and_tells_clients_its_ca() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let leaf = ca.leaf(HOST);
    let alone = || secret(leaf.clone());
    let with = |authorities: &str| {
        let bundle = ("ca.crt", authorities.to_owned());
        secret(leaf.iter().cloned().chain([bundle]))
    };
    let of_certificate = AdvertisedAuthority::OfCertificate;
    let public = AdvertisedAuthority::Public;
    let given = AdvertisedAuthority::Given(ca.bundle());
    for (configured, secret, told) in [
        (
            of_certificate.clone(),
            with(&ca.certificate),
            Some(ca.encoded()),
        ),
        (of_certificate.clone(), alone(), None),
        (of_certificate.clone(), with(""), None),
        (public.clone(), with(&other.certificate), None),
        (public, with("not looked at"), None),
        (given, with(&other.certificate), Some(ca.encoded())),
    ] {
        let (mut keeper, _) = of_secret(configured.clone());
        let standing = keeper.sees(Some(secret)).await;
        assert_eq!(standing, Standing::Listening(told), "{configured:?}");
        assert_eq!(keeper.links.store.not_after(), Some(start() + DAY));
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_said_and_not_served() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let leaf = || ca.leaf(HOST);
    let [(_, certificate), _] = leaf();
    let [_, (_, key)] = leaf();
    let with = |authorities: &str| {
        let bundle = ("ca.crt", authorities.to_owned());
        Some(secret(leaf().into_iter().chain([bundle])))
    };
    let of_another_host = Some(secret(ca.leaf("other.example.com")));
    let of_another_key = Some(secret([("tls.crt", certificate), ("tls.key", key)]));
    let rows = [
        (Some(Secret::default()), "no certificate that can be served"),
        (of_another_key, "does not belong to the leaf"),
        (
            of_another_host,
            "no certificate for login.example.com, the host of directEndpoint.externalUrl",
        ),
        (with("junk"), "ca.crt is no CA certificate"),
        (
            with(&other.certificate),
            "does not chain to the CA that clients are told of, which is ca.crt",
        ),
    ];
    for (secret, needle) in rows {
        let (mut keeper, _) = of_secret(AdvertisedAuthority::OfCertificate);
        let standing = keeper.sees(secret).await;
        assert!(
            matches!(&standing, Standing::Unusable(text)
                if text.contains(needle) && text.contains("haulout-system/login-tls")),
            "{needle}: {standing:?}"
        );
        assert!(!keeper.serves());
    }

    let (mut keeper, _) = of_secret(AdvertisedAuthority::Given(other.bundle()));
    let standing = keeper.sees(with(&ca.certificate)).await;
    let needle = "which is directEndpoint.certificateAuthorityData";
    assert!(
        matches!(&standing, Standing::Unusable(text) if text.contains(needle)),
        "{standing:?}"
    );
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_awaited_and_named() {
    let (mut keeper, _) = of_secret(AdvertisedAuthority::Public);
    assert_eq!(keeper.looks().await, unknown());
    let standing = keeper.sees(None).await;
    assert!(
        matches!(&standing, Standing::Pending(text)
            if text.contains("haulout-system/login-tls") && text.contains("tlsSecretName")),
        "{standing:?}"
    );
    let (mut keeper, _) = of_own_ca(HOST);
    let standing = keeper.sees(None).await;
    assert!(
        matches!(&standing, Standing::Pending(text) if text.contains("haulout-system/haulout-serving")),
        "{standing:?}"
    );
}

#[tokio::test]
async fn a_renewed_secret_is_taken_and_a_bad_one_leaves_the_former_served() {
    let ca = Ca::new("ca");
    let (mut keeper, clock) = of_secret(AdvertisedAuthority::Public);
    let good = secret(ca.leaf(HOST));
    keeper.sees(Some(good.clone())).await;
    let served = |keeper: &Keeper| keeper.served.clone().unwrap();
    let first = served(&keeper);
    keeper.sees(Some(good.clone())).await;
    assert!(served(&keeper).is_same(&first));
    keeper.sees(Some(secret(ca.leaf(HOST)))).await;
    assert!(!served(&keeper).is_same(&first));

    for bad in [
        None,
        Some(Secret::default()),
        Some(secret(ca.leaf("other.example.com"))),
    ] {
        let standing = keeper.sees(bad).await;
        assert!(!matches!(standing, Standing::Listening(_)), "{standing:?}");
        assert!(keeper.serves());
    }
    keeper.sees(Some(good)).await;
    clock.advance(DAY + Duration::from_secs(1));
    let standing = keeper.looks().await;
    let expired = "the certificate has expired; renew it";
    assert!(
        matches!(&standing, Standing::Unusable(text) if text.contains(expired)),
        "{standing:?}"
    );
}

#[tokio::test]
async fn our_own_ca_issues_for_the_host_and_the_service_and_renews_in_time() {
    let ca = Ca::new("Haulout serving CA");
    let (mut keeper, clock) = of_own_ca(HOST);
    let told = Standing::Listening(Some(ca.encoded()));
    assert_eq!(keeper.sees(Some(ca.secret())).await, told);
    let roots = ca.bundle();
    let first = keeper.served.clone().unwrap();
    let names = [HOST, "haulout-direct.haulout-system.svc"].map(str::to_owned);
    assert!(first.identity.verify(&roots, &names, start()).is_ok());
    assert_eq!(first.ends(), start() + LIFE);

    // A third of its life before its end.
    clock.advance(LIFE * 2 / 3 - Duration::from_secs(1));
    keeper.looks().await;
    assert!(keeper.served.as_ref().unwrap().is_same(&first));
    clock.advance(Duration::from_secs(1));
    assert_eq!(keeper.looks().await, told);
    assert!(!keeper.served.as_ref().unwrap().is_same(&first));
    assert_eq!(keeper.links.store.not_after(), Some(start() + LIFE * 5 / 3));
}

#[tokio::test]
async fn an_address_is_a_host_too() {
    let ca = Ca::new("Haulout serving CA");
    let (mut keeper, _) = of_own_ca("2001:db8::1");
    keeper.sees(Some(ca.secret())).await;
    let identity: &ServingIdentity = &keeper.served.as_ref().unwrap().identity;
    for name in ["2001:db8::1", "haulout-direct.haulout-system.svc"] {
        assert!(identity.verify_leaf(name, start()).is_ok(), "{name}");
    }
}

#[tokio::test]
async fn a_new_ca_of_ours_signs_at_once_and_both_are_told() {
    let (old, new) = (Ca::new("old"), Ca::new("new"));
    let (mut keeper, _) = of_own_ca(HOST);
    keeper.sees(Some(old.secret())).await;
    let first = keeper.served.clone().unwrap();
    let both = [new.certificate.as_str(), &old.certificate].concat();
    let rotated = secret([("ca.crt", both.clone()), ("ca.key", new.key.clone())]);
    let told = Standing::Listening(Some(BASE64_STANDARD.encode(&both)));
    assert_eq!(keeper.sees(Some(rotated)).await, told);
    assert!(!keeper.served.as_ref().unwrap().is_same(&first));

    let broken = secret([("ca.crt", both), ("ca.key", String::new())]);
    let standing = keeper.sees(Some(broken)).await;
    assert!(
        matches!(&standing, Standing::Unusable(text) if text.contains("haulout-system/haulout-serving")),
        "{standing:?}"
    );
    assert!(keeper.serves());
}
