use haulout_pki::authority::generate_authority;
use haulout_pki::profile::Validity;
use serde_json::json;

use super::*;
use crate::controllers::test_server::start;

fn follower() -> Follower {
    Follower {
        observed: Observed::unwatched(),
        front_proxy: Arc::new(FrontProxy::new()),
        readiness: Readiness::pending("not begun"),
        is_loaded: false,
    }
}

fn config_map(ca: &str) -> ConfigMap {
    let data = json!({"requestheader-client-ca-file": ca, "requestheader-allowed-names": "[]",
        "requestheader-username-headers": r#"["X-Remote-User"]"#});
    serde_json::from_value(json!({"metadata": {}, "data": data})).unwrap()
}

fn ca() -> String {
    let dates = Validity {
        not_before: start(),
        not_after: start() + Duration::from_secs(60),
    };
    generate_authority("front-proxy-ca", dates)
        .unwrap()
        .certificate_pem
}

#[tokio::test]
async fn what_keeps_the_front_proxy_unknown_is_said() {
    let rows = [
        (None, "does not exist"),
        (Some(config_map("")), "--requestheader-client-ca-file"),
        (Some(config_map("junk")), "requestheader-client-ca-file"),
        (Some(ConfigMap::default()), "--requestheader-client-ca-file"),
    ];
    for (found, needle) in rows {
        let mut follower = follower();
        follower.observed.set(found);
        let text = chain(&follower.reconcile().await.unwrap_err());
        assert!(text.contains(needle), "{text}");
        assert_eq!(follower.readiness.check().unwrap_err(), text);
    }
    let mut unknown = follower();
    unknown.reconcile().await.unwrap();
    unknown.readiness.check().unwrap_err();
}

#[tokio::test]
async fn a_good_one_stays_in_force_whatever_comes_after() {
    let mut follower = follower();
    follower.observed.set(Some(config_map(&ca())));
    follower.reconcile().await.unwrap();
    follower.readiness.check().unwrap();
    let in_force = format!("{:?}", follower.front_proxy);
    assert_ne!(in_force, format!("{:?}", FrontProxy::new()));
    for bad in [None, Some(config_map("")), Some(config_map("junk"))] {
        follower.observed.set(bad);
        follower.reconcile().await.unwrap_err();
        follower.readiness.check().unwrap();
        assert_eq!(format!("{:?}", follower.front_proxy), in_force);
    }
    follower.observed.set(Some(config_map(&ca())));
    follower.reconcile().await.unwrap();
    assert_ne!(
        format!("{:?}", follower.front_proxy),
        in_force,
        "a swap counts"
    );
}
