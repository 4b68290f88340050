//! From a question to what is to be done about it: pure.

use crate::view::View;
use crate::zone::{Found, Records};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};

/// What every client takes by UDP, and the most that is safe from fragments (RFC 9715).
const SMALLEST: u16 = 512;
const LARGEST: u16 = 1232;
/// Aliases followed for one question.
const LONGEST_CHAIN: usize = 8;

/// What to do about a message.
#[derive(Debug)]
pub(crate) enum Step {
    /// It is no question.
    Ignore,
    Reply(Message),
    /// No zone knows: ask others the very same.
    Forward,
    /// An alias leads out of all zones: ask others for the target, and add what they say.
    Chase(Message, Query),
}

/// How much a client takes by UDP.
pub(crate) fn limit(request: &Message) -> usize {
    let asked = request.edns.as_ref().map_or(SMALLEST, Edns::max_payload);
    usize::from(asked.clamp(SMALLEST, LARGEST))
}

/// An answer to `request` with nothing in it yet.
pub(crate) fn blank(request: &Message, code: ResponseCode) -> Message {
    let mut reply = Message::response(request.metadata.id, request.metadata.op_code);
    reply.metadata.recursion_desired = request.metadata.recursion_desired;
    reply.metadata.checking_disabled = request.metadata.checking_disabled;
    reply.metadata.response_code = code;
    reply.add_queries(request.queries.iter().cloned());
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(LARGEST);
        reply.set_edns(edns);
    }
    reply
}

pub(crate) fn step(view: &View, request: &Message) -> Step {
    let refuse = |code| Step::Reply(blank(request, code));
    if request.metadata.message_type != MessageType::Query {
        return Step::Ignore;
    }
    if request.metadata.op_code != OpCode::Query {
        return refuse(ResponseCode::NotImp);
    }
    let [query] = request.queries.as_slice() else {
        return refuse(ResponseCode::FormErr);
    };
    if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        let mut reply = blank(request, ResponseCode::BADVERS);
        if let Some(edns) = &mut reply.edns {
            edns.set_rcode_high(ResponseCode::BADVERS.high());
        }
        return Step::Reply(reply);
    }
    match (query.query_class(), query.query_type()) {
        (DNSClass::IN, RecordType::AXFR | RecordType::IXFR) => refuse(ResponseCode::Refused),
        (DNSClass::IN, RecordType::ANY) => refuse(ResponseCode::NotImp),
        (DNSClass::IN, _) => look(view, request, query),
        _ => refuse(ResponseCode::Refused),
    }
}

fn look(view: &View, request: &Message, query: &Query) -> Step {
    let mut reply = blank(request, ResponseCode::NoError);
    reply.metadata.recursion_available = !view.resolvers().is_empty();
    let (mut name, kind) = (query.name().clone(), query.query_type());
    for hop in 0..=LONGEST_CHAIN {
        let Some(zone) = view.zone_of(&name) else {
            return match hop {
                0 => Step::Forward,
                _ => Step::Chase(reply, Query::query(name, kind)),
            };
        };
        reply.metadata.authoritative = true;
        match zone.find(&name, kind) {
            Found::Records(records) => {
                reply.add_answers(named(&name, records));
                return Step::Reply(reply);
            }
            Found::Alias(records, target) => {
                reply.add_answers(named(&name, records));
                name = target;
            }
            Found::Delegated(cut, servers) => {
                reply.metadata.authoritative = hop > 0;
                reply.add_authorities(named(&cut, servers));
                return Step::Reply(reply);
            }
            nothing => {
                if nothing == Found::NoName {
                    reply.metadata.response_code = ResponseCode::NXDomain;
                }
                reply.add_authorities(zone.soa());
                return Step::Reply(reply);
            }
        }
    }
    Step::Reply(blank(request, ResponseCode::ServFail))
}

fn named(name: &Name, records: &Records) -> impl Iterator<Item = Record> {
    records
        .data
        .iter()
        .map(|data| Record::from_rdata(name.clone(), records.ttl, data.clone()))
}
