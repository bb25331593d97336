use std::sync::Arc;

use secrecy::ExposeSecret as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;

use super::*;
use crate::oidc::authorization::{ExpectedIssuer, RANDOM_BYTES};

const STATE: &str = "07070707070707070707070707070707";

fn attempt() -> Attempt {
    Attempt::new(&[7; RANDOM_BYTES])
}

fn request<'a>(method: &'a Method, query: &'a str) -> Request<'a> {
    Request {
        method,
        path: PATH,
        query,
        has_origin: false,
        requested_headers: None,
        is_form: false,
        body: b"",
    }
}

fn status(verdict: Verdict) -> u16 {
    match verdict {
        Verdict::Other(reply) => reply.status.as_u16(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn c088_redirect_and_form_bring_the_code() {
    let query = format!("code=a%2Bb&state={STATE}");
    let by_query = request(&Method::GET, &query);
    let by_form = Request {
        is_form: true,
        body: query.as_bytes(),
        ..request(&Method::POST, "")
    };
    for request in [by_query, by_form] {
        match judge(&request, &attempt()) {
            Verdict::Code(code) => assert_eq!(code.expose_secret(), "a+b"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_issuers_refusal_ends_the_login() {
    for (more, description) in [("", ""), ("&error_description=not%20today", "not today")] {
        let query = format!("error=access_denied&state={STATE}{more}");
        match judge(&request(&Method::GET, &query), &attempt()) {
            Verdict::Denied(denied) => {
                assert_eq!(denied.code, "access_denied");
                assert_eq!(denied.description, description);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Whatever comes, the login waits on.
#[test]
fn c088_what_is_not_the_answer_ends_nothing() {
    let good = format!("code=c&state={STATE}");
    let no_code = format!("state={STATE}");
    let empty_code = format!("code=&state={STATE}");
    let of_others = format!("error=access_denied&state=x{STATE}");
    let elsewhere = Request {
        path: "/callback/",
        ..request(&Method::GET, &good)
    };
    let no_form = Request {
        body: good.as_bytes(),
        ..request(&Method::POST, "")
    };
    let too_long = vec![b'a'; MAX_FORM + 1];
    let too_long = Request {
        is_form: true,
        body: &too_long,
        ..request(&Method::POST, &good)
    };
    let cases = [
        (request(&Method::GET, "code=c"), 403),
        (request(&Method::GET, "code=c&state="), 403),
        (request(&Method::GET, "code=c&state=other"), 403),
        (request(&Method::GET, &of_others), 403),
        (request(&Method::GET, &no_code), 400),
        (request(&Method::GET, &empty_code), 400),
        (request(&Method::PUT, &good), 405),
        (request(&Method::HEAD, &good), 405),
        (request(&Method::POST, &good), 400),
        (no_form, 400),
        (too_long, 400),
        (elsewhere, 404),
        (request(&Method::OPTIONS, &good), 400),
    ];
    for (request, expected) in cases {
        let verdict = judge(&request, &attempt());
        assert_eq!(status(verdict), expected, "{request:?}");
    }
}

#[test]
fn c088_a_page_of_the_issuer_may_post_by_a_script() {
    let asked = HeaderValue::from_static("content-type, x-other");
    let preflight = Request {
        has_origin: true,
        requested_headers: Some(&asked),
        ..request(&Method::OPTIONS, "")
    };
    let Verdict::Other(reply) = judge(&preflight, &attempt()) else {
        panic!("ended");
    };
    assert_eq!(reply.status, 204);
    let header = |name: &str| {
        let mut headers = reply.headers.iter();
        let found = headers.find(|(key, _)| key == name);
        found.map(|(_, value)| value.to_str().unwrap())
    };
    assert_eq!(header("access-control-allow-private-network"), Some("true"));
    assert_eq!(header("access-control-allow-credentials"), Some("false"));
    assert_eq!(
        header("access-control-allow-headers"),
        Some("content-type, x-other")
    );
    assert_eq!(
        header("access-control-allow-methods"),
        Some("GET, POST, OPTIONS")
    );
}

/// Over a real socket: the login waits on through what is no answer, and takes either kind of answer.
#[tokio::test]
async fn c088_the_listener_goes_on_until_the_answer_comes() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let answer = format!("code=c&state={STATE}");
    for by_form in [false, true] {
        let listener = CallbackListener::bind(0).await.unwrap();
        let url = format!("http://{}{PATH}", listener.address());
        let issuer = Url::parse("https://login.example.com").unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let browser = async {
            let put = client.put(format!("{url}?{answer}")).send().await.unwrap();
            assert_eq!(put.status(), 405);
            let preflight = || client.request(Method::OPTIONS, &url);
            assert_eq!(preflight().send().await.unwrap().status(), 400);
            let preflight = preflight()
                .header(header::ORIGIN, "https://login.example.com")
                .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "x-asked");
            let allowed = preflight.send().await.unwrap();
            assert_eq!(allowed.status(), 204);
            for (name, value) in [
                ("access-control-allow-origin", "https://login.example.com"),
                ("access-control-allow-private-network", "true"),
                ("access-control-allow-headers", "x-asked"),
                ("vary", "*"),
            ] {
                assert_eq!(allowed.headers()[name], value);
            }
            let request = match by_form {
                true => client
                    .post(&url)
                    .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(answer.clone()),
                false => client.get(format!("{url}?{answer}")),
            };
            let told = request.send().await.unwrap().text().await.unwrap();
            assert_eq!(told, "you have been logged in and may now close this tab");
        };
        let login = listener.serve(Arc::new(attempt()), &issuer, async |mut arrivals| {
            let arrival: Arrival = arrivals.recv().await.unwrap();
            arrival.show(true);
        });
        tokio::join!(login, browser);
    }
}

/// More than there is room for, some of which have begun to send a form; the browser comes last, and is let in.
#[tokio::test]
async fn idle_connections_keep_no_browser_out() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let listener = CallbackListener::bind(0).await.unwrap();
    let address = listener.address();
    let issuer = Url::parse("https://login.example.com").unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let browser = async {
        let mut idle = Vec::new();
        for i in 0..40 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            if i % 2 == 0 {
                let begun = b"POST /callback HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n";
                stream.write_all(begun).await.unwrap();
            }
            idle.push(stream);
        }
        // The oldest has made room.
        let mut rest = Vec::new();
        let _reset = idle[1].read_to_end(&mut rest).await;
        assert_eq!(rest, b"");
        let answer = client.get(format!("http://{address}{PATH}?code=c&state={STATE}"));
        let told = answer.send().await.unwrap().text().await.unwrap();
        assert_eq!(told, "you have been logged in and may now close this tab");
        idle
    };
    let login = listener.serve(Arc::new(attempt()), &issuer, async |mut arrivals| {
        let arrival: Arrival = arrivals.recv().await.unwrap();
        // Whoever has brought the answer is not pushed out by those who come meanwhile.
        let mut later = Vec::new();
        for _ in 0..40 {
            later.push(TcpStream::connect(address).await.unwrap());
        }
        let _reset = later[0].read_to_end(&mut Vec::new()).await;
        arrival.show(true);
    });
    tokio::join!(login, browser);
}

/// All of them are there before the first is looked at.
#[tokio::test]
async fn whoever_comes_after_the_browser_pushes_it_out_no_more() {
    let listener = CallbackListener::bind(0).await.unwrap();
    let address = listener.address();
    let mut browser = TcpStream::connect(address).await.unwrap();
    let asked = format!("GET {PATH}?code=c&state={STATE} HTTP/1.1\r\nhost: x\r\n\r\n");
    browser.write_all(asked.as_bytes()).await.unwrap();
    let mut others = Vec::new();
    for _ in 0..40 {
        others.push(TcpStream::connect(address).await.unwrap());
    }
    let issuer = Url::parse("https://login.example.com").unwrap();
    let login = listener.serve(Arc::new(attempt()), &issuer, async |mut arrivals| {
        let arrival: Option<Arrival> = arrivals.recv().await;
        arrival.unwrap().show(true);
    });
    let mut told = String::new();
    tokio::select! {
        never = async { login.await; std::future::pending().await } => never,
        _read = browser.read_to_string(&mut told) => {}
    }
    assert!(told.starts_with("HTTP/1.1 200 OK"), "{told}");
}

#[test]
fn a_code_is_pasted_alone_or_in_an_address() {
    for (pasted, expected) in [
        ("a-code", "a-code"),
        (" a-code\r\n", "a-code"),
        (
            &*format!("http://127.0.0.1:1/callback?code=a%2Bb&state={STATE}"),
            "a+b",
        ),
        ("http://127.0.0.1:1/callback?code=c&state=x", "state"),
        ("http://127.0.0.1:1/callback?code=c", "state"),
        (
            &*format!("http://127.0.0.1:1/other?code=c&state={STATE}"),
            "state",
        ),
        ("http://[", "state"),
        (
            &*format!("http://127.0.0.1:1/callback?error=access_denied&state={STATE}"),
            "access_denied",
        ),
    ] {
        match judge_pasted(pasted, &attempt()) {
            Ok(code) => assert_eq!(code.expose_secret(), expected, "{pasted}"),
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains(expected), "{pasted}: {error}");
            }
        }
    }
}

/// The page of another server shows codes of its own, which the issuer that led there must not be given.
#[test]
fn a_code_of_a_foreign_page_is_taken_with_its_issuer_only() {
    let attempt = attempt().at(ExpectedIssuer {
        issuer: "https://i.example.com".to_owned(),
        is_declared: true,
        has_foreign_page: true,
    });
    let address = |issuer: &str| {
        format!("http://127.0.0.1:0/callback?code=c&state={STATE}&iss=https://{issuer}.example.com")
    };
    for (pasted, is_taken) in [
        ("a-code".to_owned(), false),
        (address("i"), true),
        (address("g"), false),
    ] {
        let judged = judge_pasted(&pasted, &attempt);
        assert_eq!(judged.is_ok(), is_taken, "{pasted}");
    }
}

/// Over a real socket: a stranger's request, then the answer.
#[tokio::test]
async fn the_browser_is_told_what_became_of_the_login() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    for is_success in [true, false] {
        let listener = CallbackListener::bind(0).await.unwrap();
        let url = format!("http://{}{PATH}", listener.address());
        let issuer = Url::parse("https://login.example.com/tenant").unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let browser = async {
            let stranger = client.get(format!("{url}?code=c&state=x")).send().await;
            assert_eq!(stranger.unwrap().status(), 403);
            let answer = client
                .get(format!("{url}?code=c&state={STATE}"))
                .header(header::ACCEPT, "text/html,*/*");
            answer.send().await.unwrap()
        };
        let login = listener.serve(Arc::new(attempt()), &issuer, async |mut arrivals| {
            let arrival: Arrival = arrivals.recv().await.unwrap();
            let code = arrival.outcome.as_ref().unwrap().expose_secret().to_owned();
            arrival.show(is_success);
            code
        });
        let (code, answer) = tokio::join!(login, browser);
        assert_eq!(code, "c");
        assert_eq!(answer.status().is_success(), is_success);
        let origin = answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(origin.unwrap(), "https://login.example.com");
        let page = answer.text().await.unwrap();
        let expected = if is_success {
            "may now close this tab"
        } else {
            "Your terminal says more"
        };
        assert!(page.contains(expected), "{page}");
        assert!(
            client.get(&url).send().await.is_err(),
            "nobody listens any more"
        );
    }
}
