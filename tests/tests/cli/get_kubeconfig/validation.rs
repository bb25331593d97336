//! The call of the cluster, before anything is printed.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;

use super::*;
use crate::plain::called;
use crate::server::{Server, with_headers};

fn run(server: &Server, more: &[&str]) -> Outcome {
    let ca = server.ca_base64();
    let admin = Admin::new(&json!({"server": server.url(), "certificate-authority-data": ca}));
    let flags = ["--no-concierge", "--static-token-env=T"];
    admin.run(&[&flags[..], more].concat())
}

#[test]
fn any_answer_but_that_of_a_server_in_trouble_will_do() {
    for status in [200, 302, 401, 403, 404] {
        let server = Server::start([with_headers(status, [], "")]);
        let outcome = run(&server, &[]);
        made(&outcome);
        assert_eq!(outcome.stderr, "validated connection to the cluster\n");
    }
}

#[test]
fn it_is_called_again_until_it_answers_and_nothing_secret_is_sent() {
    let server = Server::start([503, 200].map(|status| with_headers(status, [], "")));
    let outcome = run(&server, &[]);
    made(&outcome);
    let told = format!(
        "{} does not answer yet, trying for another 600 s: it answered 503",
        server.url()
    );
    assert!(outcome.stderr.starts_with(&told), "{}", outcome.stderr);
    for request in server.received().iter() {
        assert_eq!(request.uri.path(), "/");
        assert_eq!(request.headers.get("authorization"), None);
    }
}

#[test]
fn where_it_does_not_answer_in_time_nothing_is_printed() {
    let server = Server::start([503, 503, 503].map(|status| with_headers(status, [], "")));
    let outcome = run(&server, &["--timeout=0"]);
    let expected = format!(
        "Error: could not validate the kubeconfig: the cluster does not answer at {}",
        server.url()
    );
    assert!(
        outcome.error(1).starts_with(&expected),
        "{}",
        outcome.stderr
    );
    let outcome = run(&server, &["--skip-validation"]);
    made(&outcome);
    assert_eq!(server.received().len(), 1);
}

#[test]
fn the_kubeconfigs_proxy_is_gone_through() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let caller = called(&proxy);
        BufReader::new(caller).lines().next().unwrap().unwrap()
    });
    let server = Server::start([with_headers(200, [], "")]);
    let ca = server.ca_base64();
    let cluster = json!({"server": SERVER, "certificate-authority-data": ca, "proxy-url": url});
    let flags = ["--no-concierge", "--static-token-env=T", "--timeout=0"];
    Admin::new(&cluster).run(&flags).error(1);
    let line = asked.join().unwrap();
    assert!(line.starts_with("CONNECT k.example.com:6443 "), "{line}");
}

#[test]
fn another_ca_is_no_answer() {
    let [server, other] = [(); 2].map(|()| Server::start([with_headers(200, [], "")]));
    let ca = other.ca_base64();
    let admin = Admin::new(&json!({"server": server.url(), "certificate-authority-data": ca}));
    let flags = ["--no-concierge", "--static-token-env=T", "--timeout=0"];
    let outcome = admin.run(&flags);
    assert!(
        outcome.error(1).contains("certificate"),
        "{}",
        outcome.stderr
    );
    assert_eq!(server.received().len(), 0);
}

#[test]
fn no_try_is_longer_than_the_time_that_there_is() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let flags = ["--no-concierge", "--static-token-env=T", "--timeout=300ms"];
    let outcome = Admin::new(&json!({ "server": url })).run(&flags);
    assert!(
        outcome.error(1).ends_with(": no answer within 0.3 s\n"),
        "{}",
        outcome.stderr
    );
}
