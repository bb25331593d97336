//! The program as a process on a terminal, where it can ask.

use std::io::Write as _;

use haulout_tests::fake_browser::FakeBrowser;
use haulout_tests::supervisor::{Behaviour, IdentityProvider, NO_PASSWORDS, PASSWORD};
use haulout_tests::terminal::{Screen, Terminal};
use pty_process::Command;
use rustix::process::{Signal, kill_process};

use super::browser::Browser;
use super::sessions::claims;
use super::{LDAP, Outcome, Site, assert_fails};

const PASTE: &str = "    Optionally, paste your authorization code: ";

impl Site {
    /// Runs the program on a terminal, and checks that it leaves it as it was.
    async fn run_on_terminal(
        &self,
        flags: &[String],
        user: impl AsyncFnOnce(&mut Terminal) -> anyhow::Result<()>,
    ) -> Outcome {
        let command = Command::new(env!("CARGO_BIN_EXE_haulout-test-cli"))
            .args(flags)
            .env_clear()
            .envs(&self.machine.variables);
        let ended = Terminal::run(command, user).await.unwrap();
        assert!(ended.leaves_sane_terminal, "{}", ended.shown);
        let code = ended.status.code().unwrap();
        Outcome {
            code: u8::try_from(code).unwrap().into(),
            stdout: ended.stdout,
            stderr: ended.shown,
        }
    }
}

/// The code that the issuer gives the browser.
async fn code(site: &Site, terminal: &Terminal) -> String {
    let browser = Browser::new(&site.supervisor);
    let callback = browser.callback(&terminal.screen, "alice").await;
    let mut parameters = callback.query_pairs();
    let code = parameters.find(|(name, _)| name == "code").unwrap();
    code.1.into_owned()
}

/// Logs in as bob.
async fn type_password(terminal: &mut Terminal, password: &str) -> anyhow::Result<()> {
    terminal.answer("Username: ", "bob\n").await?;
    let keys = format!("{password}\n");
    terminal.answer_unseen("Password: ", &keys).await
}

#[tokio::test(flavor = "multi_thread")]
async fn c097_without_a_listener_the_pasted_code_works_and_later_calls_ask_nothing() {
    let site = Site::today(Behaviour::default()).await;
    let flags = site.flags(&["--skip-listen"]);
    let first = site
        .run_on_terminal(&flags, async |terminal| {
            let code = code(&site, terminal).await;
            terminal.answer(PASTE, &format!("{code}\n")).await
        })
        .await;
    first.credential();
    assert!(names_port(&first, 0), "{}", first.stderr);
    let second = site.run_on_terminal(&flags, async |_| Ok(())).await;
    assert_eq!(second.stdout, first.stdout);
    assert_eq!(second.stderr, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn c090_where_the_port_is_taken_the_code_can_be_pasted() {
    let site = Site::today(Behaviour::default()).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let flags = site.flags(&[&format!("--listen-port={port}")]);
    let outcome = site
        .run_on_terminal(&flags, async |terminal| {
            let code = code(&site, terminal).await;
            terminal.answer(PASTE, &format!("{code}\n")).await
        })
        .await;
    outcome.credential();
    let expected = format!("Port {port} of 127.0.0.1 cannot be listened on");
    assert!(outcome.stderr.contains(&expected), "{}", outcome.stderr);
    assert!(names_port(&outcome, port), "{}", outcome.stderr);
}

/// Whether the link leads back to this port: issuers may know no other.
fn names_port(outcome: &Outcome, port: u16) -> bool {
    let expected = format!("&redirect_uri=http%3A%2F%2F127.0.0.1%3A{port}%2Fcallback&");
    outcome.stderr.contains(&expected)
}

/// Ctrl-D: there will be no answer.
#[tokio::test(flavor = "multi_thread")]
async fn c090_a_question_that_cannot_be_answered_ends_the_login() {
    let site = Site::today(Behaviour::default()).await;
    let outcome = site
        .run_on_terminal(&site.flags(&["--skip-listen"]), async |terminal| {
            terminal.answer(PASTE, "\u{4}").await
        })
        .await;
    assert_fails(
        &outcome,
        1,
        "could not complete Pinniped login: could not read your answer: ",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_code_is_refused_by_the_issuer() {
    let site = Site::today(Behaviour::default()).await;
    let outcome = site
        .run_on_terminal(&site.flags(&[]), async |terminal| {
            terminal.answer(PASTE, "wrong\n").await
        })
        .await;
    assert_fails(&outcome, 1, "the code is not good");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_question_is_closed_where_the_browser_is_faster() {
    let site = Site::today(Behaviour::default()).await;
    let outcome = site
        .run_on_terminal(&site.flags(&[]), async |terminal| {
            terminal.screen.ends_with(PASTE).await?;
            let browser = Browser::new(&site.supervisor);
            browser.log_in(&terminal.screen, "alice").await;
            Ok(())
        })
        .await;
    outcome.credential();
    let expected = format!("\n{PASTE}[...]\n");
    assert!(outcome.stderr.ends_with(&expected), "{}", outcome.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn c095_name_and_password_are_asked_for_and_the_password_does_not_show() {
    let site = Site::today(Behaviour::default()).await;
    let outcome = site
        .run_on_terminal(&site.flags(LDAP), async |terminal| {
            type_password(terminal, PASSWORD).await
        })
        .await;
    outcome.credential();
    let issuer = site.supervisor.url();
    assert_eq!(
        outcome.stderr,
        format!("Log in to my-ldap at {issuer}\n\nUsername: bob\nPassword: \n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn c095_what_a_variable_holds_is_not_asked_for() {
    for (variable, value, question, keys, expected) in [
        (
            "PINNIPED_USERNAME",
            "bob",
            "Password: ",
            PASSWORD,
            "Password: \n",
        ),
        (
            "PINNIPED_PASSWORD",
            PASSWORD,
            "Username: ",
            "bob",
            "Username: bob\n",
        ),
    ] {
        let mut site = Site::today(Behaviour::default()).await;
        site.machine.set(variable, value);
        let outcome = site
            .run_on_terminal(&site.flags(LDAP), async |terminal| {
                let keys = format!("{keys}\n");
                match question {
                    "Password: " => terminal.answer_unseen(question, &keys).await,
                    _ => terminal.answer(question, &keys).await,
                }
            })
            .await;
        outcome.credential();
        let headline = format!("Log in to my-ldap at {}\n\n", site.supervisor.url());
        assert_eq!(outcome.stderr, headline + expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c098_what_the_supervisor_says_of_a_password_is_shown() {
    let site = Site::today(Behaviour::default()).await;
    let outcome = site
        .run_on_terminal(&site.flags(LDAP), async |terminal| {
            type_password(terminal, "wrong").await
        })
        .await;
    assert_fails(
        &outcome,
        1,
        "\nError: could not complete Pinniped login: \
         login failed with code \"access_denied\": Username/password not accepted.\n",
    );
    assert!(!outcome.stderr.contains("wrong"), "{}", outcome.stderr);
}

/// At each question; `run_on_terminal` sees to it that the terminal is as before.
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_login_and_leaves_the_terminal_as_it_was() {
    let site = Site::today(Behaviour::default()).await;
    let stop =
        async |terminal: &mut Terminal, question: &str| terminal.answer(question, "\u{3}").await;
    let pasting = site
        .run_on_terminal(&site.flags(&[]), async |terminal| {
            stop(terminal, PASTE).await
        })
        .await;
    let username = site
        .run_on_terminal(&site.flags(LDAP), async |terminal| {
            stop(terminal, "Username: ").await
        })
        .await;
    let password = site
        .run_on_terminal(&site.flags(LDAP), async |terminal| {
            terminal.answer("Username: ", "bob\n").await?;
            terminal.answer_unseen("Password: ", "\u{3}").await
        })
        .await;
    let terminated = site
        .run_on_terminal(&site.flags(LDAP), async |terminal| {
            terminal.answer("Username: ", "bob\n").await?;
            terminal.answer_unseen("Password: ", "").await?;
            Ok(kill_process(terminal.program(), Signal::TERM)?)
        })
        .await;
    for outcome in [pasting, username, password, terminated] {
        assert_fails(
            &outcome,
            1,
            "\nError: could not complete Pinniped login: interrupted\n",
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c098_a_password_is_enough_at_providers_of_each_type_that_takes_one() {
    let types = ["ldap", "activedirectory", "oidc"];
    let identity_providers = types.map(|type_| IdentityProvider {
        name: type_,
        type_,
        flows: vec!["browser_authcode", IdentityProvider::PASSWORD_FLOW],
    });
    let site = Site::today(Behaviour {
        identity_providers: identity_providers.into(),
        ..Behaviour::default()
    })
    .await;
    for type_ in types {
        let flags = site.flags(&[
            &format!("--upstream-identity-provider-name={type_}"),
            &format!("--upstream-identity-provider-type={type_}"),
            "--upstream-identity-provider-flow=cli_password",
        ]);
        let outcome = site
            .run_on_terminal(&flags, async |terminal| {
                type_password(terminal, PASSWORD).await
            })
            .await;
        assert_eq!(claims(&outcome.credential())["username"], "bob", "{type_}");
    }
    let calls = site.supervisor.calls();
    assert_eq!((calls.authorize, calls.codes), (3, 3));
}

/// An administrator turns the password flow of an OIDC provider off, while a user already types.
#[tokio::test(flavor = "multi_thread")]
async fn c098_an_oidc_provider_without_passwords_leads_to_the_supervisors_own_words() {
    let site = Site::today(Behaviour::default()).await;
    let with_flows = |flows| {
        site.supervisor.behaviour().identity_providers = vec![IdentityProvider {
            name: "corp",
            type_: "oidc",
            flows,
        }];
    };
    let flags = site.flags(&[
        "--upstream-identity-provider-name=corp",
        "--upstream-identity-provider-type=oidc",
        "--upstream-identity-provider-flow=cli_password",
    ]);
    with_flows(vec![IdentityProvider::PASSWORD_FLOW]);
    let outcome = site
        .run_on_terminal(&flags, async |terminal| {
            terminal.screen.ends_with("Username: ").await?;
            with_flows(vec!["browser_authcode"]);
            type_password(terminal, PASSWORD).await
        })
        .await;
    let expected = format!("login failed with code \"access_denied\": {NO_PASSWORDS}\n");
    assert_fails(&outcome, 1, &expected);
    // Once it is off, nobody has to type anything to learn of it.
    let outcome = site.run_on_terminal(&flags, async |_| Ok(())).await;
    let expected = "the identity provider \"corp\" does not offer the flow \"cli_password\"; \
                    it offers [\"browser_authcode\"]";
    assert_fails(&outcome, 1, expected);
    assert_eq!(site.supervisor.calls().authorize, 1);
}

/// A browser is whatever `BROWSER` names; it is given the link, and here leaves it in a file.
#[tokio::test(flavor = "multi_thread")]
async fn c091_the_link_is_not_printed_only_if_that_is_wanted_and_a_browser_opens() {
    for (browser, skip_print, skip_browser, is_printed) in [
        (true, true, false, false),
        (true, false, false, true),
        (false, true, false, true),
        (true, true, true, true),
    ] {
        let mut site = Site::today(Behaviour::default()).await;
        let home = site.machine.home.path().to_owned();
        let fake = FakeBrowser::install_as(&home, "browser", "echo noise").unwrap();
        if !browser {
            fake.disable().unwrap();
        }
        site.machine
            .set("BROWSER", fake.program().to_str().unwrap());
        // No other browser.
        site.machine.set("PATH", home.to_str().unwrap());
        if skip_print {
            site.machine.set("PINNIPED_SKIP_PRINT_LOGIN_URL", "true");
        }
        let mut flags = site.flags(&[]);
        flags.retain(|flag| skip_browser || flag != "--skip-browser");
        let outcome = site
            .run_on_terminal(&flags, async |terminal| {
                let mut screen = terminal.screen.clone();
                if !is_printed {
                    screen = Screen::default();
                    writeln!(screen, "{}", fake.link(0).await?)?;
                }
                let browser = Browser::new(&site.supervisor);
                browser.log_in(&screen, "alice").await;
                Ok(())
            })
            .await;
        outcome.credential();
        let case = format!("{browser} {skip_print} {skip_browser}: {}", outcome.stderr);
        assert_eq!(
            outcome.stderr.contains("visiting this link"),
            is_printed,
            "{case}"
        );
        assert_eq!(outcome.stderr.is_empty(), !is_printed, "{case}");
        let is_opened = browser && !skip_browser;
        assert_eq!(fake.links().len(), usize::from(is_opened), "{case}");
    }
}
