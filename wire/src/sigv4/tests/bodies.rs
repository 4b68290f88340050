//! Bodies: hashed, chunked and signed, chunked with trailers; whole, cut and tampered with.

use futures_util::stream;
use gureum_schema::{Body, Bytes, Trailers};
use proptest::prelude::*;

use crate::sigv4::chunked::Chain;

use super::*;

fn with_trailers(body: Body) -> (Body, Trailers) {
    let trailers = body.trailers();
    (body, trailers)
}

/// Reads a guarded body to its end.
fn read(body: Body) -> Result<Bytes, BodyError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime
        .block_on(body.collect(usize::MAX))
        .map_err(|error| BodyError::of(&error).expect("a reason").clone())
}

/// A body that arrives in pieces of `size` bytes.
fn pieces(bytes: &[u8], size: usize) -> Body {
    let pieces: Vec<_> = bytes
        .chunks(size)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    Body::stream(stream::iter(pieces), None)
}

fn length(length: usize) -> HeaderMap {
    headers(&[("x-amz-decoded-content-length", &length.to_string())])
}

/// The request of the chunked example in the S3 API Reference: 66560 times `a` in chunks of 64 KiB.
fn example() -> (Verified, HeaderMap) {
    let headers = headers(&[
        ("host", "s3.amazonaws.com"),
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        ),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "66560"),
        ("content-length", "66824"),
    ]);
    let request = Request {
        method: "PUT",
        ..get("/examplebucket/chunkObject.txt", "", &headers)
    };
    let now = moment("2013-05-24T00:00:00Z");
    let verified = claim(request)
        .verify(SECRET, &KeyCache::default(), now, Policy::of("s3"))
        .expect("verified");
    (verified, headers)
}

fn example_body() -> Vec<u8> {
    let mut body = Vec::new();
    for (size, signature) in [
        (
            65536,
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        ),
        (
            1024,
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        ),
        (
            0,
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ),
    ] {
        body.extend(format!("{size:x};chunk-signature={signature}\r\n").bytes());
        body.extend(std::iter::repeat_n(b'a', size));
        body.extend(b"\r\n");
    }
    body
}

#[test]
fn chunked_example_is_decoded_however_it_arrives() {
    let whole = example_body();
    assert_eq!(whole.len(), 66824);
    for size in [1, 7, 4096, whole.len()] {
        let (verified, headers) = example();
        let (body, trailers) = verified
            .payload
            .guard(pieces(&whole, size), &headers)
            .map(with_trailers)
            .expect("guarded");
        assert_eq!(body.length(), Some(66560));
        assert_eq!(read(body).expect("verified"), vec![b'a'; 66560]);
        assert_eq!(trailers.get("x-amz-checksum-crc32c"), None);
        assert_eq!(trailers.get("x-amz-checksum-crc32"), None);
    }
}

#[test]
fn a_signed_chunk_is_not_released_before_it_is_verified() {
    let mut whole = example_body();
    whole[65_000] = b'b';
    let (verified, headers) = example();
    let (mut body, _) = verified
        .payload
        .guard(pieces(&whole, 100), &headers)
        .map(with_trailers)
        .expect("guarded");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let first = runtime.block_on(body.chunk()).expect("a result");
    let error = first.expect_err("no byte of it");
    assert_eq!(BodyError::of(&error), Some(&BodyError::ChunkSignature));
    assert!(runtime.block_on(body.chunk()).is_none());
}

#[test]
fn every_cut_of_a_chunked_body_fails() {
    let whole = example_body();
    let ends = (0..200).chain(65_500..65_720).chain(66_600..whole.len());
    for end in ends {
        let (verified, headers) = example();
        let (body, _) = verified
            .payload
            .guard(pieces(&whole[..end], 512), &headers)
            .map(with_trailers)
            .expect("guarded");
        assert_eq!(read(body), Err(BodyError::Incomplete), "cut at {end}");
    }
}

fn chain() -> Chain {
    let (verified, _) = example();
    let Payload::Chunked(chunked) = verified.payload else {
        panic!("not chunked");
    };
    chunked.into_chain().expect("signed")
}

/// `content` as a signed body with a trailer, by our own sender.
fn signed_with_trailer(content: &[u8], size: usize) -> Vec<u8> {
    let mut chain = chain();
    let mut body = Vec::new();
    for chunk in content.chunks(size).chain([&[][..]]) {
        let signature = chain.sign_chunk(chunk);
        body.extend(format!("{:x};chunk-signature={signature}\r\n", chunk.len()).bytes());
        body.extend(chunk);
        if !chunk.is_empty() {
            body.extend(b"\r\n");
        }
    }
    let trailers = [("x-amz-checksum-crc32c".to_owned(), "sOO8/Q==".to_owned())];
    let signature = chain.sign_trailer(&trailers);
    let text = format!(
        "x-amz-checksum-crc32c:sOO8/Q==\r\n{}:{signature}\r\n\r\n",
        "x-amz-trailer-signature"
    );
    body.extend(text.bytes());
    body
}

fn guard_trailer(bytes: &[u8], size: usize, content: usize) -> (Body, Trailers) {
    let mut headers = length(content);
    headers.extend(super::headers(&[(
        "x-amz-trailer",
        "x-amz-checksum-crc32c",
    )]));
    let payload = Payload::Chunked(Chunked::from_chain(chain(), true));
    payload
        .guard(pieces(bytes, size), &headers)
        .map(with_trailers)
        .expect("guarded")
}

/// The trailer example of the S3 API Reference, whose request has another seed.
#[test]
fn trailer_example_has_the_published_signatures() {
    let key = SigningKey::narrowed(SECRET, ["20130524", "us-east-1", "s3"]);
    let seed = parse_digest("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e");
    let chunked = Chunked::signed(
        key,
        crate::sigv4::date::AmzDate::parse("20130524T000000Z").expect("a date"),
        "20130524/us-east-1/s3/aws4_request".to_owned(),
        seed.expect("a digest"),
        true,
    );
    let mut body = Vec::new();
    for (size, signature) in [
        (
            65536,
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        ),
        (
            1024,
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        ),
    ] {
        body.extend(format!("{size:x};chunk-signature={signature}\r\n").bytes());
        body.extend(std::iter::repeat_n(b'a', size));
        body.extend(b"\r\n");
    }
    body.extend(
        b"0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n\
        x-amz-checksum-crc32c:sOO8/Q==\r\n\
        x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
    );
    let mut headers = length(66560);
    headers.extend(super::headers(&[(
        "x-amz-trailer",
        "x-amz-checksum-crc32c",
    )]));
    let (body, trailers) = Payload::Chunked(chunked)
        .guard(pieces(&body, 1000), &headers)
        .map(with_trailers)
        .expect("guarded");
    assert_eq!(read(body).expect("verified").len(), 66560);
    assert_eq!(trailers.get("X-Amz-Checksum-Crc32c"), Some("sOO8/Q=="));
}

const UNSIGNED: &[u8] = b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";

fn guard_unsigned(bytes: &[u8], size: usize) -> (Body, Trailers) {
    let mut headers = length(11);
    headers.extend(super::headers(&[("x-amz-trailer", "X-Amz-Checksum-Crc32")]));
    Payload::Chunked(Chunked::unsigned())
        .guard(pieces(bytes, size), &headers)
        .map(with_trailers)
        .expect("guarded")
}

#[test]
fn unsigned_chunks_are_decoded_and_the_trailer_is_known_at_the_end() {
    for size in 1..UNSIGNED.len() + 1 {
        let (body, trailers) = guard_unsigned(UNSIGNED, size);
        assert_eq!(trailers.get("x-amz-checksum-crc32"), None);
        assert_eq!(read(body).expect("read"), "hello world");
        assert_eq!(trailers.get("x-amz-checksum-crc32"), Some("DUoRhQ=="));
    }
    for end in 0..UNSIGNED.len() {
        let (body, trailers) = guard_unsigned(&UNSIGNED[..end], 3);
        assert_eq!(read(body), Err(BodyError::Incomplete));
        assert_eq!(trailers.get("x-amz-checksum-crc32c"), None);
        assert_eq!(trailers.get("x-amz-checksum-crc32"), None);
    }
}

#[test]
fn malformed_framing_is_refused() {
    let wrong_length = |found| BodyError::Length {
        declared: 11,
        found,
    };
    for (text, error) in [
        ("5\r\nhello\r\n0\r\n\r\n", wrong_length(5)),
        ("c\r\nhello world!\r\n0\r\n\r\n", wrong_length(12)),
        ("ffffffffffffffff\r\n", wrong_length(u64::MAX)),
        (
            "+b\r\nhello world\r\n",
            BodyError::Malformed("a chunk's size is no number"),
        ),
        ("\r\n", BodyError::Malformed("a chunk's size is no number")),
        (
            "1ffffffffffffffff\r\n",
            BodyError::Malformed("a chunk's size is no number"),
        ),
        (
            "4\r\nhello\r\n",
            BodyError::Malformed("a chunk is longer than announced"),
        ),
        (
            "b\r\nhello world\r\n0\r\n\r\n",
            BodyError::Trailer("an announced field is missing"),
        ),
        (
            "b\r\nhello world\r\n0\r\nx\r\n\r\n",
            BodyError::Trailer("a field has no value"),
        ),
    ] {
        let (body, _) = guard_unsigned(text.as_bytes(), 4);
        assert_eq!(read(body), Err(error), "{text}");
    }
    let more = [UNSIGNED, b"x"].concat();
    assert_eq!(
        read(guard_unsigned(&more, 9).0),
        Err(BodyError::Malformed("bytes follow its end"))
    );
    let line = vec![b'0'; 1 << 16];
    assert_eq!(
        read(guard_unsigned(&line, 99).0),
        Err(BodyError::Malformed("a line is too long"))
    );
    let huge = format!("{:x};chunk-signature={:064}\r\n", MAX_SIGNED_CHUNK + 1, 0);
    let (body, _) = guard_trailer(huge.as_bytes(), 99, usize::MAX);
    assert_eq!(
        read(body),
        Err(BodyError::ChunkTooLarge(MAX_SIGNED_CHUNK + 1))
    );
}

#[test]
fn a_body_is_compared_with_its_hash() {
    let none = HeaderMap::new();
    let exact = |declared: &[u8]| Payload::Exact(sha256(declared));
    let mismatch = BodyError::ContentHash {
        declared: sha256(b"hello"),
        computed: sha256(b"hallo"),
    };
    let whole = |text: &'static str| Body::from(Bytes::from(text));
    let (body, _) = exact(b"hello")
        .guard(whole("hello"), &none)
        .map(with_trailers)
        .expect("guarded");
    assert_eq!(body.length(), Some(5));
    assert_eq!(read(body).expect("verified"), "hello");
    for body in [whole("hallo"), pieces(b"hallo", 2)] {
        let (body, _) = exact(b"hello")
            .guard(body, &none)
            .map(with_trailers)
            .expect("guarded");
        assert_eq!(read(body), Err(mismatch.clone()));
    }
    let (body, _) = exact(b"")
        .guard(Body::empty(), &none)
        .map(with_trailers)
        .expect("guarded");
    assert_eq!(read(body).expect("verified"), "");
    let empty = exact(b"hello").guard(Body::empty(), &none);
    assert!(matches!(empty, Err(SigError::ContentHashMismatch { .. })));
    let short = Body::stream(stream::iter([Ok(Bytes::from("he"))]), Some(5));
    let (body, _) = exact(b"hello")
        .guard(short, &none)
        .map(with_trailers)
        .expect("guarded");
    assert_eq!(read(body), Err(BodyError::Incomplete));
}

#[test]
fn anonymous_bodies_are_decoded_too() {
    let payload = |pairs: &[(&str, &str)]| Payload::anonymous(&headers(pairs));
    assert!(matches!(payload(&[]), Ok(Payload::Unsigned)));
    let encoding = ("content-encoding", "gzip, aws-chunked");
    assert!(matches!(payload(&[encoding]), Ok(Payload::Chunked(_))));
    let hash = |text| ("x-amz-content-sha256", text);
    let unsigned = hash("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    assert!(matches!(payload(&[unsigned]), Ok(Payload::Chunked(_))));
    let signed = hash("STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    assert!(matches!(payload(&[signed]), Err(SigError::Missing)));
    let exact = payload(&[hash(&hex::encode(sha256(b"x")))]);
    assert!(matches!(exact, Ok(Payload::Exact(digest)) if digest == sha256(b"x")));
}

#[test]
fn the_last_chunk_of_a_known_length_waits_for_the_hash() {
    let chunks = ["ha", "llo"].map(|chunk| Ok(Bytes::from(chunk)));
    let body = Body::stream(stream::iter(chunks), Some(5));
    let (mut body, _) = Payload::Exact(sha256(b"hello"))
        .guard(body, &HeaderMap::new())
        .map(with_trailers)
        .expect("guarded");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    assert!(matches!(runtime.block_on(body.chunk()), Some(Ok(chunk)) if chunk == "ha"));
    assert!(matches!(runtime.block_on(body.chunk()), Some(Err(_))));
    assert!(runtime.block_on(body.chunk()).is_none());
}

proptest! {
    #[test]
    fn signed_bodies_round_trip_and_no_change_survives(
        content in proptest::collection::vec(any::<u8>(), 0..300),
        chunk in 1usize..120,
        size in 1usize..200,
        at in any::<proptest::sample::Index>(),
        flip in 1u8..=255,
    ) {
        let whole = signed_with_trailer(&content, chunk);
        let (body, trailers) = guard_trailer(&whole, size, content.len());
        prop_assert_eq!(read(body), Ok(content.clone().into()));
        prop_assert_eq!(trailers.get("x-amz-checksum-crc32c"), Some("sOO8/Q=="));

        // A changed byte of the framing may be another spelling of the same; never of the content.
        let mut changed = whole;
        let at = at.index(changed.len());
        changed[at] ^= flip;
        let (body, _) = guard_trailer(&changed, size, content.len());
        if let Ok(read) = read(body) {
            prop_assert_eq!(read, Bytes::from(content));
        }
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400), size in 1usize..50) {
        let (body, _) = guard_unsigned(&bytes, size);
        prop_assert!(read(body).is_err());
        let (body, _) = guard_trailer(&bytes, size, 100);
        prop_assert!(read(body).is_err());
    }

    #[test]
    fn almost_chunked_never_panics(text in "([0-9a-f]{0,3}(;chunk-signature=[0-9a-f]{64})?\r?\n|x-amz-checksum-crc32:[a-z]*\r\n|[a-z]{1,12}|\r\n){0,12}") {
        let (body, _) = guard_unsigned(text.as_bytes(), 5);
        if let Ok(read) = read(body) {
            prop_assert_eq!(read.len(), 11);
        }
    }
}
