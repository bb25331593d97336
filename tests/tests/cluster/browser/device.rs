//! The device code flow, with oidc-provider: kubectl runs where no browser is.

use serde_json::json;

use super::{Chromium, Desk, NODE, Site};

#[tokio::test]
#[ignore = "run by cargo xtask test"]
async fn browser_elsewhere_confirms_a_device_code() {
    let site = Site::start(json!({})).await;
    let arguments = site.arguments(&["--flow=device_code"]);
    let desk = Desk::new(&site.running, "server", &arguments);
    let chromium = Chromium::start(&site.running).await;

    let call = desk.kubectl(&["get", "nodes"]);
    let link = call.line(&["https://"]).await;
    chromium.open(&link).await;
    chromium.sees("Confirm Device").await;
    // The page must show the code that the terminal shows: that is what the user compares.
    let told = call.told();
    let code = told
        .lines()
        .filter(|line| line.starts_with("    "))
        .nth(1)
        .unwrap();
    chromium.sees(code.trim()).await;
    chromium.click("button[autofocus]").await;
    chromium.log_in("alice").await;
    chromium.sees("you can now close this page").await;
    let outcome = call.succeed().await;
    assert!(outcome.stdout.contains(NODE), "{}", outcome.stdout);
    assert_eq!(desk.links(), [""; 0], "a browser was opened");
    assert!(desk.session()["tokens"]["refresh"]["token"].is_string());
}
