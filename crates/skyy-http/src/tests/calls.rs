//! What is sent, what comes back, and what every way of failing means.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::server::{Server, Then};
use crate::{
    Call, CallObserver, CallRecord, Class, Endpoint, HttpClient, Limits, Outcome, Problem, Secret, Sent,
    StatusCode,
};

fn endpoint(url: &str) -> Endpoint {
    Endpoint::new("test", "test/one").url(url).allow_plain_http(true)
}

fn client(server: &Server) -> HttpClient {
    endpoint(&server.url).build().unwrap()
}

fn limited(server: &Server, limits: Limits) -> HttpClient {
    endpoint(&server.url).limits(limits).build().unwrap()
}

/// An address where nothing listens.
async fn nowhere() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_bodyless_call_sends_one_accept_and_no_content_type() {
    let server = Server::start([Then::json("[1]")]).await;
    let call =
        Call::get("/a/{b}").arg("b", "x y").query("limit", 0).secret_header("x-api-key", "", &"k".into());
    let numbers: Vec<u8> = client(&server).send(call).await.unwrap().json().unwrap();
    assert_eq!(numbers, [1]);
    let seen = server.seen()[0].to_ascii_lowercase();
    assert!(seen.starts_with("get /a/x%20y?limit=0 http/1.1\r\n"), "{seen}");
    let mut names: Vec<&str> =
        seen.lines().skip(1).filter_map(|line| line.split_once(':')).map(|(n, _)| n).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "host", "user-agent", "x-api-key"]);
    assert!(
        seen.contains("accept: application/json\r\n") && seen.contains("user-agent: skyy-command\r\n"),
        "{seen}"
    );
}

#[tokio::test]
async fn bodies_carry_their_type_and_a_prefix_in_the_base_url_is_kept() {
    let server = Server::start([Then::json("{}"), Then::json("{}")]).await;
    let client = endpoint(&format!("{}/prefix/", server.url)).build().unwrap();
    client.send(Call::post("/j").json(&serde_json::json!({"a": 1}))).await.unwrap();
    client.send(Call::put("/f").form([("a", "1"), ("a", "ü &")])).await.unwrap();
    let seen = server.seen();
    assert!(seen[0].starts_with("POST /prefix/j ") && seen[0].ends_with("\r\n\r\n{\"a\":1}"), "{}", seen[0]);
    assert!(seen[0].contains("content-type: application/json\r\n"), "{}", seen[0]);
    assert!(seen[1].ends_with("\r\n\r\na=1&a=%C3%BC%20%26"), "{}", seen[1]);
    assert!(seen[1].contains("content-type: application/x-www-form-urlencoded\r\n"), "{}", seen[1]);
    let counted = client.counters().snapshot();
    assert_eq!((counted.requests, counted.writes, counted.failures), (2, 2, 0));
    assert_eq!((counted.bytes_sent, counted.bytes_received), (7 + 18, 4));
}

#[tokio::test]
async fn refused_connections_were_not_sent() {
    let client = endpoint(&nowhere().await).build().unwrap();
    let error = client.send(Call::post("/x")).await.unwrap_err();
    assert!(matches!(error.problem(), Problem::Connect(_)), "{error:?}");
    assert_eq!((error.class(), error.sent()), (Class::Transient, Sent::No));
    assert!(error.to_string().starts_with("POST /x at test/one (http://127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn what_was_not_sent_goes_to_the_next_address() {
    let server = Server::start([Then::json("1"), Then::json("2")]).await;
    let client = endpoint(&nowhere().await).url(nowhere().await).url(&server.url).build().unwrap();
    client.send(Call::post("/x")).await.unwrap();
    assert_eq!(client.base().as_str().trim_end_matches('/'), server.url);
    client.send(Call::post("/x")).await.unwrap();
    assert_eq!(
        client.counters().snapshot().requests,
        4,
        "the second call went straight to the address that works"
    );
}

#[tokio::test]
async fn every_address_is_tried_once() {
    let client = endpoint(&nowhere().await).url(nowhere().await).build().unwrap();
    let error = client.send(Call::get("/x")).await.unwrap_err();
    assert!(error.is_unreachable());
    assert_eq!(client.counters().snapshot().requests, 2);
}

#[tokio::test]
async fn addresses_are_preferred_and_learned() {
    let client = endpoint("http://127.0.0.1:1/a/").url("http://127.0.0.1:2").build().unwrap();
    let first = client.base();
    client.prefer("http://127.0.0.1:2/").unwrap();
    assert_eq!((client.base().as_str(), client.bases().len()), ("http://127.0.0.1:2/", 2));
    client.prefer_next(&first);
    assert_eq!(client.base().as_str(), "http://127.0.0.1:2/", "somebody else has already moved on");
    client.prefer("http://127.0.0.1:1/a").unwrap();
    assert_eq!((client.base().as_str(), client.bases().len()), ("http://127.0.0.1:1/a", 2));

    for port in 10..30 {
        client.prefer(&format!("http://127.0.0.1:{port}")).unwrap();
        assert_eq!(client.base().port(), Some(port));
    }
    let ports: Vec<_> = client.bases().iter().filter_map(reqwest::Url::port).collect();
    assert_eq!(
        ports,
        [1, 2, 22, 23, 24, 25, 26, 27, 28, 29],
        "the configured ones stay, of the others the newest"
    );
}

#[test]
fn addresses_that_would_weaken_the_endpoint_are_not_learned() {
    let loopback = endpoint("http://127.0.0.1:1").build().unwrap();
    let trust = crate::Trust::Pins(vec![crate::Fingerprint::of(b"x")]);
    let encrypted = Endpoint::new("test", "t").url("https://a.example").trust(trust).build().unwrap();
    for (client, url) in [
        (&loopback, "http://192.0.2.1:8080/"),
        (&encrypted, "http://127.0.0.1:1/"),
        (&encrypted, "https://user:pw@b.example/"),
        (&encrypted, "nonsense"),
    ] {
        client.prefer(url).unwrap_err();
        assert_eq!(client.bases().len(), 1, "{url}");
    }
    encrypted.prefer("https://b.example:8443/").unwrap();
    assert_eq!(encrypted.base().as_str(), "https://b.example:8443/");
}

#[tokio::test]
async fn silence_is_a_timeout_with_unknown_fate() {
    let server = Server::start([Then::Silence]).await;
    let client = limited(&server, Limits { total: Duration::from_millis(200), ..Limits::default() });
    let error = client.send(Call::post("/x")).await.unwrap_err();
    assert!(matches!(error.problem(), Problem::Timeout { .. }), "{error:?}");
    assert_eq!((error.class(), error.sent()), (Class::Transient, Sent::Maybe));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_call_without_a_turn_was_not_sent() {
    let server = Server::start([Then::Silence]).await;
    let client = limited(&server, Limits { concurrency: 1, ..Limits::default() });
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.send(Call::post("/slow")).await }
    });
    while server.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    let error = client.send(Call::post("/x").timeout(Duration::from_millis(50))).await.unwrap_err();
    assert!(matches!(error.problem(), Problem::NoTurn { .. }), "{error:?}");
    assert_eq!((error.class(), error.sent()), (Class::Transient, Sent::No));
    assert_eq!(server.seen().len(), 1);
    first.abort();
}

#[tokio::test]
async fn a_get_on_a_stale_connection_is_sent_once_more() {
    let server = Server::start([Then::json("1"), Then::HangUp, Then::json("2")]).await;
    let client = client(&server);
    client.send(Call::get("/x")).await.unwrap();
    let answer = client.send(Call::get("/x")).await.unwrap();
    assert_eq!(answer.bytes(), b"2");
    assert_eq!((server.seen().len(), server.connections()), (3, 2));
}

#[tokio::test]
async fn a_get_is_not_repeated_twice() {
    let server = Server::start([Then::HangUp, Then::HangUp, Then::json("1")]).await;
    let error = client(&server).send(Call::get("/x")).await.unwrap_err();
    assert!(matches!(error.problem(), Problem::Dropped(_)), "{error:?}");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_write_is_never_repeated() {
    for method in [http::Method::POST, http::Method::PUT, http::Method::PATCH, http::Method::DELETE] {
        let server = Server::start([Then::json("1"), Then::HangUp, Then::json("2")]).await;
        let client = client(&server);
        client.send(Call::new(method.clone(), "/x")).await.unwrap();
        let error = client.send(Call::new(method.clone(), "/x")).await.unwrap_err();
        assert!(matches!(error.problem(), Problem::Dropped(_)), "{error:?}");
        assert_eq!((error.class(), error.sent()), (Class::Transient, Sent::Maybe), "{method}");
        assert_eq!(server.seen().len(), 2, "{method}");
    }
}

#[tokio::test]
async fn an_answer_cut_short_has_unknown_fate_and_is_not_repeated() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{";
    let server = Server::start([Then::AnswerAndHangUp(cut.into()), Then::json("1")]).await;
    let error = client(&server).send(Call::get("/x")).await.unwrap_err();
    assert!(matches!(error.problem(), Problem::Dropped(_)), "{error:?}");
    assert_eq!(error.sent(), Sent::Maybe);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn answers_are_bounded_whether_announced_or_not() {
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n".to_owned();
    let body = "x".repeat(600);
    let streamed = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}{body}");
    for script in [Then::Answer(announced), Then::AnswerAndHangUp(streamed)] {
        let server = Server::start([script]).await;
        let client = limited(&server, Limits { response_bytes: 1000, ..Limits::default() });
        let error = client.send(Call::get("/x")).await.unwrap_err();
        assert_eq!(error.problem(), &Problem::AnswerTooLarge { limit: 1000 });
        assert_eq!((error.class(), error.sent()), (Class::Protocol, Sent::Maybe));
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_sent() {
    let server = Server::start([]).await;
    let client = limited(&server, Limits { request_bytes: Some(10), ..Limits::default() });
    let error = client.send(Call::post("/x").json("0123456789")).await.unwrap_err();
    assert_eq!(error.problem(), &Problem::RequestTooLarge { size: 12, limit: 10 });
    assert_eq!((error.class(), error.sent()), (Class::Refused, Sent::No));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Server::start([Then::json("1")]).await;
    let line = format!("HTTP/1.1 303 See Other\r\nLocation: {}/\r\nContent-Length: 0\r\n\r\n", elsewhere.url);
    let server = Server::start([Then::Answer(line)]).await;
    let error = client(&server).send(Call::post("/x")).await.unwrap_err();
    let location = Some(format!("{}/", elsewhere.url));
    assert_eq!(error.problem(), &Problem::Redirect { status: StatusCode::SEE_OTHER, location });
    assert_eq!((error.class(), error.sent()), (Class::Protocol, Sent::No));
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn cookies_are_not_kept() {
    let first = "HTTP/1.1 200 OK\r\nSet-Cookie: token=1; path=/\r\nContent-Length: 0\r\n\r\n".to_owned();
    let server = Server::start([Then::Answer(first), Then::json("1")]).await;
    let client = client(&server);
    client.send(Call::get("/x")).await.unwrap();
    client.send(Call::get("/x")).await.unwrap();
    assert!(!server.seen()[1].to_ascii_lowercase().contains("cookie"), "{}", server.seen()[1]);
}

#[tokio::test]
async fn statuses_say_who_must_act() {
    use {Class::*, Sent::*};
    let table = [
        ("400 Bad Request", Refused, No),
        ("401 Unauthorized", Auth, No),
        ("403 Forbidden", Auth, No),
        ("404 Not Found", Refused, No),
        ("409 Conflict", Refused, No),
        ("415 Unsupported Media Type", Refused, No),
        ("429 Too Many Requests", Transient, No),
        ("500 Internal Server Error", Transient, Maybe),
        ("503 Service Unavailable", Transient, Maybe),
        ("595 Connection refused", Transient, Maybe),
    ];
    for (line, class, sent) in table {
        let server = Server::start([Then::status(line, "text/plain; charset=x", "why")]).await;
        let error = client(&server).send(Call::post("/x")).await.unwrap_err();
        assert_eq!((error.class(), error.sent()), (class, sent), "{line}");
        let Problem::Status { reason, content_type, body, .. } = error.problem() else { panic!("{error:?}") };
        assert_eq!((reason.as_str(), body.as_str()), (line.split_once(' ').unwrap().1, "why"));
        assert_eq!(content_type.as_deref(), Some("text/plain"));
        assert!(error.to_string().ends_with(&format!("answered {line}: why")), "{error}");
    }
}

#[tokio::test]
async fn a_reason_phrase_of_the_servers_own_is_kept() {
    let line = "HTTP/1.1 500 VM 100 is locked\r\nContent-Length: 0\r\nRetry-After: 300\r\n\r\n".to_owned();
    let server = Server::start([Then::Answer(line)]).await;
    let error = client(&server).send(Call::get("/x")).await.unwrap_err();
    assert!(error.to_string().ends_with("answered 500 VM 100 is locked"), "{error}");
    assert_eq!(error.retry_after(), Some(Duration::from_mins(5)));
}

#[tokio::test]
async fn secrets_do_not_reach_errors() {
    let secrets = (Secret::new("key-1234"), Secret::new("pass word/1"));
    let echo = r#"{"message": "got key-1234 and pass%20word%2F1 and pass word/1"}"#;
    let call = || Call::post("/x").secret_header("x-api-key", "Token ", &secrets.0).secret(&secrets.1);
    let basic = || Call::post("/x").basic_auth("root", &secrets.1);
    for (call, body) in [(call(), echo), (basic(), "cm9vdDpwYXNzIHdvcmQvMQ==")] {
        let server = Server::start([
            Then::status("400 key-1234 pass word/1", "text/html", body),
            Then::status("200 OK", "text/html", body),
            Then::status("200 OK", "application/json", r#""key-1234 pass word/1""#),
        ])
        .await;
        let client = client(&server);
        let status = client.send(call.clone()).await.unwrap_err();
        let html = client.send(call.clone()).await.unwrap().json::<u8>().unwrap_err();
        let shape = client.send(call.clone()).await.unwrap().json::<u8>().unwrap_err();
        for error in [status, html, shape] {
            let shown = format!("{error} {error:?}");
            for part in ["pass word/1", "pass%20word", "cm9vdDpwYXNzIHdvcmQvMQ=="] {
                assert!(!shown.contains(part), "{shown}");
            }
        }
    }
    let server = Server::start([Then::status("400 Bad", "application/json", echo)]).await;
    let error = client(&server).send(call()).await.unwrap_err();
    assert_eq!(error.body(), Some(r#"{"message": "got *** and *** and ***"}"#));
}

#[tokio::test]
async fn what_is_not_json_and_what_is_another_shape_are_told_apart() {
    let server = Server::start([
        Then::status("200 OK", "text/html", "<html>\n<body>hello</body>"),
        Then::json("{\"data\": 3}"),
        Then::json("[1, 2"),
    ])
    .await;
    let client = client(&server);
    let html = client.send(Call::put("/x")).await.unwrap().json::<Vec<u8>>().unwrap_err();
    assert!(
        html.to_string().ends_with("answered text/html where JSON was expected: <html> <body>hello</body>"),
        "{html}"
    );
    assert_eq!((html.class(), html.sent()), (Class::Protocol, Sent::Maybe));
    let shape = client.send(Call::get("/x")).await.unwrap().json::<Vec<u8>>().unwrap_err();
    assert!(matches!(shape.problem(), Problem::WrongShape(_)), "{shape:?}");
    let cut = client.send(Call::get("/x")).await.unwrap().json::<Vec<u8>>().unwrap_err();
    assert!(matches!(cut.problem(), Problem::NotJson { .. }), "{cut:?}");
}

#[derive(Debug, Default)]
struct Records(Mutex<Vec<CallRecord>>);

impl CallObserver for Records {
    fn finished(&self, call: &CallRecord) {
        self.0.lock().unwrap().push(call.clone());
    }
}

#[tokio::test]
async fn each_call_is_observed_once_with_closed_labels() {
    let server =
        Server::start([Then::HangUp, Then::json("{}"), Then::status("401 No", "text/plain", "no")]).await;
    let records = Arc::new(Records::default());
    let client = endpoint(&server.url).observer(records.clone()).build().unwrap();
    client.send(Call::get("/vm/{name}").arg("name", "web-1")).await.unwrap();
    client.send(Call::post("/login").changes_nothing().json("x")).await.unwrap_err();
    client.send(Call::get("/vm/{name}")).await.unwrap_err();
    let seen: Vec<_> = records
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|r| (r.product, r.method.clone(), r.template, r.outcome, r.bytes_sent))
        .collect();
    assert_eq!(
        seen,
        [
            ("test", http::Method::GET, "/vm/{name}", Outcome::Ok, 0),
            ("test", http::Method::POST, "/login", Outcome::Auth, 3),
            ("test", http::Method::GET, "/vm/{name}", Outcome::Refused, 0),
        ]
    );
    let counted = client.counters().snapshot();
    assert_eq!((counted.requests, counted.writes, counted.failures), (3, 0, 2));
}
