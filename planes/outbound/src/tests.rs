//! Calls to servers on this machine, over TLS and without.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// 2026-01-01, in ms.
const NOW: i64 = 1_767_225_600_000;

/// A certificate with its key, and those that vouch for it.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

fn params(name: &str, last_year: i32) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".into()]).expect("params");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(last_year, 1, 1);
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(name, 2044);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.subject_alt_names.clear();
    params
}

impl Identity {
    /// A leaf, its issuer, and the root.
    fn of_three(leaf: CertificateParams) -> Self {
        let key = || KeyPair::generate().expect("key");
        let (root_key, middle_key, leaf_key) = (key(), key(), key());
        let root = authority("root").self_signed(&root_key).expect("root");
        let root_issuer = Issuer::new(authority("root"), root_key);
        let middle = authority("middle")
            .signed_by(&middle_key, &root_issuer)
            .expect("middle");
        let middle_issuer = Issuer::new(authority("middle"), middle_key);
        let leaf = leaf.signed_by(&leaf_key, &middle_issuer).expect("leaf");
        Self {
            chain: [leaf, middle, root].map(|c| c.der().clone()).to_vec(),
            key: leaf_key,
        }
    }

    fn self_signed(params: CertificateParams) -> Self {
        let key = KeyPair::generate().expect("key");
        let leaf = params.self_signed(&key).expect("leaf");
        Self {
            chain: vec![leaf.der().clone()],
            key,
        }
    }

    /// The thumbprint of the nth certificate of the chain.
    fn print(&self, nth: usize) -> Thumbprint {
        let print = digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.chain[nth]);
        print.as_ref().try_into().expect("SHA-1")
    }

    fn acceptor(&self, presented: usize) -> TlsAcceptor {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(self.chain[..presented].to_vec(), key)
            .expect("certificate");
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Answers each request by the path's table, and keeps what was asked.
#[derive(Default)]
struct Server {
    port: u16,
    connections: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

impl Server {
    async fn start(tls: Option<TlsAcceptor>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let server = Arc::new(Self {
            port: listener.local_addr().expect("address").port(),
            ..Self::default()
        });
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                let (serving, tls) = (serving.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serving.serve(tcp).await,
                        Some(tls) => match tls.accept(tcp).await {
                            Ok(stream) => serving.serve(stream).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        server
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let (mut seen, mut more) = (Vec::new(), [0; 4096]);
        loop {
            let read = stream.read(&mut more).await.ok().filter(|n| *n > 0)?;
            seen.extend_from_slice(&more[..read]);
            let text = String::from_utf8_lossy(&seen).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |n| n.parse().expect("length"));
            if body.len() < length {
                continue;
            }
            seen.clear();
            let path = head.split(' ').nth(1)?.to_owned();
            self.requests.lock().expect("lock").push(text);
            let answer = match path.as_str() {
                "/hello" => reply("200 OK", "X-A: b\r\n", "hello"),
                "/gone" => reply("410 Gone", "", "no"),
                "/long" => reply("200 OK", "", &"x".repeat(5_000)),
                "/chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n".into(),
                "/moved" => reply("302 Found", "Location: /hello\r\n", ""),
                "/kept" => reply("307 Temporary Redirect", "Location: hello\r\n", ""),
                "/round" => reply("302 Found", "Location: /round\r\n", ""),
                "/away" => reply("302 Found", &format!("Location: http://localhost:{}/hello\r\n", self.port), ""),
                "/noise" => "SSH-2.0-OpenSSH_9.9\r\n\r\n".into(),
                "/short" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello".into(),
                _ => std::future::pending().await,
            };
            stream.write_all(answer.as_bytes()).await.ok()?;
            if matches!(path.as_str(), "/short" | "/noise") {
                stream.shutdown().await.ok()?;
                return None;
            }
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn secure(&self, host: &str) -> String {
        format!("https://{host}:{}/hello", self.port)
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().expect("lock"))
    }
}

fn outbound(roots: &[CertificateDer<'static>]) -> Outbound {
    Outbound::new(Clock::manual(NOW), roots.to_vec())
}

#[tokio::test]
async fn an_answer_comes_whole_whatever_its_status() {
    let (server, out) = (Server::start(None).await, outbound(&[]));
    let mut request = Request::post(server.url("/hello").replace("127", "me:pw@127"), "body");
    request
        .headers
        .insert("x-one", HeaderValue::from_static("1"));
    let answer = out.send(request).await.expect("answer");
    assert_eq!(
        (answer.status, &answer.body[..]),
        (StatusCode::OK, &b"hello"[..])
    );
    assert_eq!(answer.headers["x-a"], "b");
    let [asked] = &server.requests()[..] else {
        panic!("one request")
    };
    assert!(asked.starts_with("POST /hello HTTP/1.1\r\n"), "{asked}");
    for line in [
        "x-one: 1",
        "authorization: Basic bWU6cHc=",
        &format!("host: 127.0.0.1:{}", server.port),
        "content-length: 4",
    ] {
        assert!(asked.contains(&format!("{line}\r\n")), "{line} in {asked}");
    }
    assert!(asked.ends_with("\r\n\r\nbody"));
    let gone = out
        .send(Request::get(server.url("/gone")))
        .await
        .expect("answer");
    assert_eq!(gone.status, StatusCode::GONE);
    let chunked = out
        .send(Request::get(server.url("/chunked")))
        .await
        .expect("answer");
    assert_eq!(&chunked.body[..], b"helloworld");
    assert_eq!(
        server.connections.load(Ordering::SeqCst),
        1,
        "connections are used again"
    );
}

#[tokio::test]
async fn what_went_wrong_is_told_apart() {
    let (server, out) = (Server::start(None).await, outbound(&[]));
    let bounded = |path: &str| Request {
        deadline: Duration::from_millis(if path == "/never" { 100 } else { 20_000 }),
        limit: 1_000,
        ..Request::get(server.url(path))
    };
    for path in ["/noise", "/short"] {
        let error = out.send(bounded(path)).await.expect_err(path);
        assert!(matches!(error, Error::Malformed(_)), "{path}: {error:?}");
    }
    let error = out.send(bounded("/long")).await.expect_err("long");
    assert_eq!(error, Error::TooLarge { limit: 1_000 });
    let error = out.send(bounded("/never")).await.expect_err("never");
    assert_eq!(error, Error::Timeout(Duration::from_millis(100)));
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let port = nobody.local_addr().expect("address").port();
    drop(nobody);
    let error = out
        .send(Request::get(format!("http://127.0.0.1:{port}")))
        .await;
    assert!(matches!(error, Err(Error::Unreachable { .. })), "{error:?}");
    // A label may have 63 characters, so nobody is asked for this name.
    let unknown = format!("http://{}/", "x".repeat(64));
    let error = out.send(Request::get(unknown)).await;
    assert!(matches!(error, Err(Error::NotResolved { .. })), "{error:?}");
    let error = out.send(Request::get("gopher://x")).await;
    assert!(matches!(error, Err(Error::Url(_))), "{error:?}");
}

#[tokio::test]
async fn redirects_are_followed_as_often_as_asked() {
    let (server, out) = (Server::start(None).await, outbound(&[]));
    let post = |path: &str, redirects| Request {
        redirects,
        ..Request::post(server.url(path).replace("127", "me:pw@127"), "body")
    };
    let answer = out.send(post("/moved", 0)).await.expect("answer");
    assert_eq!(answer.status, StatusCode::FOUND);
    server.requests();
    assert_eq!(
        out.send(post("/moved", 1)).await.expect("answer").body,
        "hello"
    );
    let last = server.requests().pop().expect("request");
    assert!(
        last.starts_with("GET /hello ") && last.contains("authorization"),
        "{last}"
    );
    assert_eq!(
        out.send(post("/kept", 1)).await.expect("answer").body,
        "hello"
    );
    let last = server.requests().pop().expect("request");
    assert!(
        last.starts_with("POST /hello ") && last.ends_with("body"),
        "{last}"
    );
    assert_eq!(
        out.send(post("/away", 1)).await.expect("answer").body,
        "hello"
    );
    let last = server.requests().pop().expect("request");
    assert!(!last.contains("authorization"), "another host: {last}");
    let round = out.send(post("/round", 3)).await.expect("answer");
    assert_eq!(
        (round.status, server.requests().len()),
        (StatusCode::FOUND, 4)
    );
}

async fn ask(
    identity: &Identity,
    presented: usize,
    host: &str,
    roots: &[CertificateDer<'static>],
    trust: Trust,
) -> Result<StatusCode, Error> {
    let server = Server::start(Some(identity.acceptor(presented))).await;
    let request = Request {
        trust,
        ..Request::get(server.secure(host))
    };
    Ok(outbound(roots).send(request).await?.status)
}

fn is_trusted(outcome: Result<StatusCode, Error>) -> bool {
    match outcome {
        Ok(status) => status == StatusCode::OK,
        Err(Error::NotTrusted { .. }) => false,
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_chain_must_lead_to_a_root() {
    let identity = Identity::of_three(params("leaf", 2044));
    let root = [identity.chain[2].clone()];
    for (host, presented, roots, trusted) in [
        ("localhost", 2, &root[..], true),
        ("localhost", 2, &[], false),
        ("localhost", 1, &root[..], false),
        ("127.0.0.1", 2, &root[..], false),
    ] {
        let outcome = ask(&identity, presented, host, roots, Trust::Roots).await;
        assert_eq!(
            is_trusted(outcome),
            trusted,
            "{host} {presented} {}",
            roots.len()
        );
    }
    let expired = Identity::of_three(params("leaf", 2025));
    let root = [expired.chain[2].clone()];
    assert!(!is_trusted(
        ask(&expired, 2, "localhost", &root, Trust::Roots).await
    ));
}

#[tokio::test]
async fn a_thumbprint_stands_for_a_root_and_for_nothing_else() {
    let identity = Identity::of_three(params("leaf", 2044));
    let other = Identity::of_three(params("leaf", 2044));
    for (print, presented, host, trusted) in [
        (identity.print(2), 3, "localhost", true),
        (identity.print(1), 3, "localhost", true),
        (identity.print(1), 2, "localhost", true),
        (identity.print(0), 1, "localhost", true),
        // Not presented, so not to be known.
        (identity.print(2), 2, "localhost", false),
        (identity.print(2), 3, "127.0.0.1", false),
        (identity.print(0), 1, "127.0.0.1", false),
        (other.print(2), 3, "localhost", false),
    ] {
        let trust = Trust::RootsOr(vec![[0; 20], print]);
        let outcome = ask(&identity, presented, host, &[], trust).await;
        assert_eq!(is_trusted(outcome), trusted, "{presented} {host}");
    }
    let root = [identity.chain[2].clone()];
    let outcome = ask(&identity, 2, "localhost", &root, Trust::RootsOr(vec![])).await;
    assert!(is_trusted(outcome), "roots do as well");
}

/// Whoever appends a certificate that we want to a chain of their own is not believed.
#[tokio::test]
async fn a_wanted_certificate_that_vouches_for_nobody_is_no_proof() {
    let (mut forged, wanted) = (
        Identity::of_three(params("leaf", 2044)),
        Identity::of_three(params("leaf", 2044)),
    );
    forged.chain[2] = wanted.chain[2].clone();
    let trust = Trust::RootsOr(vec![wanted.print(2)]);
    assert!(!is_trusted(ask(&forged, 3, "localhost", &[], trust).await));
}

#[tokio::test]
async fn a_self_signed_certificate_can_be_named_while_it_is_valid() {
    let as_openssl_makes_them = |last_year| {
        let mut params = params("self", last_year);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    for (params, trusted) in [
        (params("self", 2044), true),
        (params("self", 2025), false),
        (as_openssl_makes_them(2044), true),
        (as_openssl_makes_them(2025), false),
    ] {
        let identity = Identity::self_signed(params);
        let trust = Trust::RootsOr(vec![identity.print(0)]);
        let outcome = ask(&identity, 1, "localhost", &[], trust).await;
        assert_eq!(is_trusted(outcome), trusted);
    }
    let mut expired = Identity::of_three(params("leaf", 2025));
    expired.chain.truncate(1);
    let trust = Trust::RootsOr(vec![expired.print(0)]);
    assert!(!is_trusted(ask(&expired, 1, "localhost", &[], trust).await));
}
