//! Questions by UDP and TCP, as a client asks them.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests, too.

use gureum_dns::{A, CNAME, RData, SOA, Serving, TXT, View, Zone, name, serve};
use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::RecordType;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PATIENCE: Duration = Duration::from_secs(10);

fn zone(origin: &str) -> Zone {
    let origin = name(origin).unwrap();
    let soa = SOA::new(origin.clone(), origin.clone(), 1, 7200, 900, 86_400, 60);
    Zone::new(&origin, soa, 900)
}

fn with(mut zone: Zone, at: &str, data: Vec<RData>) -> Zone {
    zone.set(&name(at).unwrap(), 300, data).unwrap();
    zone
}

fn a(last: u8) -> RData {
    RData::A(A::new(10, 0, 0, last))
}

fn start(view: &View) -> (Serving, SocketAddr) {
    // The same port for both, which somebody else may just have taken.
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = udp.local_addr().unwrap();
        if let Ok(tcp) = TcpListener::bind(at) {
            return (serve(view, udp, tcp).unwrap(), at);
        }
    }
}

fn question(text: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name(text).unwrap(), kind));
    message
}

async fn raw(at: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(bytes, at).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let received = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await;
    buffer.truncate(received.unwrap().unwrap());
    buffer
}

async fn ask(at: SocketAddr, message: &Message) -> Message {
    let answer = Message::from_vec(&raw(at, &message.to_vec().unwrap()).await).unwrap();
    assert_eq!(answer.metadata.id, message.metadata.id);
    answer
}

async fn ask_by_tcp(at: SocketAddr, message: &Message) -> Message {
    let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
    let bytes = message.to_vec().unwrap();
    stream.write_u16(bytes.len() as u16).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut answer).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

fn data(message: &Message) -> Vec<RData> {
    message
        .answers
        .iter()
        .map(|record| record.data.clone())
        .collect()
}

#[tokio::test]
async fn one_name_means_different_things_in_different_views() {
    let (inside, outside) = (View::new(vec![]), View::new(vec![]));
    inside.set(with(zone("example.com"), "www.example.com", vec![a(1)]));
    outside.set(with(zone("example.com"), "www.example.com", vec![a(2)]));
    let ((_one, inner), (_two, outer)) = (start(&inside), start(&outside));
    let asked = question("www.example.com", RecordType::A);
    assert_eq!(data(&ask(inner, &asked).await), [a(1)]);
    assert_eq!(data(&ask_by_tcp(outer, &asked).await), [a(2)]);

    // What is changed is seen by the next question.
    let origin = name("example.com").unwrap();
    let changed = inside.change(&origin, |zone| {
        zone.set(&name("www.example.com").unwrap(), 5, vec![a(3), a(4)])
    });
    assert_eq!(changed, Ok(true));
    let answer = ask(inner, &asked).await;
    assert_eq!(data(&answer), [a(3), a(4)]);
    assert_eq!(answer.answers[0].ttl, 5);
    assert!(answer.metadata.authoritative);
    // The narrower zone wins.
    inside.set(with(zone("www.example.com"), "www.example.com", vec![a(9)]));
    assert_eq!(data(&ask(inner, &asked).await), [a(9)]);
    assert!(inside.remove(&name("www.example.com").unwrap()));
    assert_eq!(data(&ask(inner, &asked).await), [a(3), a(4)]);
}

#[tokio::test]
async fn what_does_not_exist_can_be_remembered() {
    let view = View::new(vec![]);
    view.set(with(zone("example.com"), "www.example.com", vec![a(1)]));
    let (_serving, at) = start(&view);
    let missing = ask(at, &question("no.example.com", RecordType::A)).await;
    assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(missing.authorities[0].record_type(), RecordType::SOA);
    assert_eq!(missing.authorities[0].ttl, 60);
    let untyped = ask(at, &question("www.example.com", RecordType::AAAA)).await;
    assert_eq!(untyped.metadata.response_code, ResponseCode::NoError);
    assert_eq!((untyped.answers.len(), untyped.authorities.len()), (0, 1));
}

#[tokio::test]
async fn what_is_too_long_for_udp_is_fetched_by_tcp() {
    let view = View::new(vec![]);
    let long = TXT::new((0..8).map(|n| n.to_string().repeat(200)).collect());
    view.set(with(
        zone("example.com"),
        "long.example.com",
        vec![RData::TXT(long.clone())],
    ));
    let (_serving, at) = start(&view);
    let asked = question("long.example.com", RecordType::TXT);
    let cut = ask(at, &asked).await;
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    assert_eq!(data(&ask_by_tcp(at, &asked).await), [RData::TXT(long)]);
    // A client that takes more by UDP is given more, within reason.
    let addresses: Vec<_> = (0..60).map(a).collect();
    view.set(with(
        zone("example.org"),
        "many.example.org",
        addresses.clone(),
    ));
    let mut asked = question("many.example.org", RecordType::A);
    assert!(ask(at, &asked).await.metadata.truncation);
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    asked.set_edns(edns);
    let whole = ask(at, &asked).await;
    assert_eq!(data(&whole), addresses);
    assert!(whole.edns.is_some());
}

#[tokio::test]
async fn names_of_others_are_asked_of_others() {
    let world = View::new(vec![]);
    world.set(with(zone("example.net"), "www.example.net", vec![a(7)]));
    let (_world, resolver) = start(&world);
    let view = View::new(vec![resolver]);
    let alias = CNAME(name("www.example.net").unwrap());
    view.set(with(
        zone("example.com"),
        "out.example.com",
        vec![RData::CNAME(alias.clone())],
    ));
    let (_serving, at) = start(&view);
    let asked = question("www.example.net", RecordType::A);
    assert_eq!(data(&ask(at, &asked).await), [a(7)]);
    assert_eq!(data(&ask_by_tcp(at, &asked).await), [a(7)]);
    // An alias out of our zones is followed for the client.
    let followed = ask(at, &question("out.example.com", RecordType::A)).await;
    assert_eq!(data(&followed), [RData::CNAME(alias), a(7)]);
    assert!(followed.metadata.recursion_available);
}

#[tokio::test]
async fn without_resolvers_there_is_an_answer_at_once() {
    let view = View::new(vec![]);
    let (_serving, at) = start(&view);
    let answer = ask(at, &question("www.example.net", RecordType::A)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert!(!answer.metadata.recursion_available);
}

#[tokio::test]
async fn odd_messages_get_short_answers_or_none() {
    let view = View::new(vec![]);
    let alias = |to: &str| vec![RData::CNAME(CNAME(name(to).unwrap()))];
    let round = with(zone("example.com"), "a.example.com", alias("b.example.com"));
    view.set(with(round, "b.example.com", alias("a.example.com")));
    let (_serving, at) = start(&view);
    for (kind, code) in [
        (RecordType::AXFR, ResponseCode::Refused),
        (RecordType::ANY, ResponseCode::NotImp),
        (RecordType::A, ResponseCode::ServFail),
    ] {
        let answer = ask(at, &question("a.example.com", kind)).await;
        assert_eq!(answer.metadata.response_code, code, "{kind}");
    }
    let none = ask(at, &Message::query()).await;
    assert_eq!(none.metadata.response_code, ResponseCode::FormErr);
    let broken = raw(at, &[0xab, 0xcd, 1, 0, 0, 9, 0, 0, 0, 0, 0, 0, 99]).await;
    assert_eq!((&broken[..2], broken[3] & 0xf), (&[0xab, 0xcd][..], 1));
    // Neither what is too short nor an answer is answered, or two servers might talk for ever.
    let mut answer = question("a.example.com", RecordType::A).into_response();
    answer.metadata.id = 7;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&[1, 2, 3], at).await.unwrap();
    socket.send_to(&answer.to_vec().unwrap(), at).await.unwrap();
    let last = question("b.example.com", RecordType::AXFR);
    socket.send_to(&last.to_vec().unwrap(), at).await.unwrap();
    let mut buffer = [0; 512];
    let length = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        Message::from_vec(&buffer[..length]).unwrap().metadata.id,
        last.metadata.id
    );
}
