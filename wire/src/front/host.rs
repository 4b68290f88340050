//! What a Host header says: our own address, an API's name, a bucket, or something of somebody's.

/// The meaning of a request's host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host<'a> {
    /// The front door itself: `127.0.0.1`, `localhost`, `gureum.localhost`.
    Door,
    /// One API, by its endpoint prefix: `sqs.us-east-1.amazonaws.com`, `sqs.gureum.localhost`.
    Api(&'a str),
    /// S3's virtual-host style: `BUCKET.s3.…`.
    Bucket(&'a str),
    /// Any other name: a website, a load balancer, a distribution.
    Other,
}

/// Where AWS's own clients believe they are.
const AWS: &str = "amazonaws.com";

/// Reads a host name (lower case, without port). `domain` is the one our own names end in.
pub(crate) fn read<'a>(host: &'a str, domain: &str) -> Host<'a> {
    if host == domain || host == "localhost" || host.is_empty() || is_address(host) {
        return Host::Door;
    }
    if let Some(name) = under(host, domain).or_else(|| under(host, AWS)) {
        return service(name);
    }
    // Clients that were told `http://localhost:4566` and prefer virtual-host style.
    match under(host, "localhost") {
        Some(bucket) => Host::Bucket(bucket.strip_suffix(".s3").unwrap_or(bucket)),
        None => Host::Other,
    }
}

/// What stands before the domain: `[BUCKET.]s3[.REGION]`, `SERVICE[.REGION]`.
fn service(name: &str) -> Host<'_> {
    if let Some(bucket) = bucket(name) {
        return bucket;
    }
    match name.split_once('.') {
        None => Host::Api(name),
        Some((service, rest)) if is_region(rest) => Host::Api(service),
        Some(_) => Host::Other,
    }
}

/// `BUCKET.s3`, `BUCKET.s3.REGION`, `s3`, `s3.REGION`; a bucket's name may hold dots itself.
fn bucket(name: &str) -> Option<Host<'_>> {
    let stem = match name.rsplit_once('.') {
        Some((stem, region)) if is_region(region) => stem,
        _ => name,
    };
    let stem = stem.strip_suffix(".dualstack").unwrap_or(stem);
    if stem == "s3" {
        return Some(Host::Api("s3"));
    }
    let bucket = stem.strip_suffix(".s3")?;
    (!bucket.is_empty()).then_some(Host::Bucket(bucket))
}

fn under<'a>(host: &'a str, domain: &str) -> Option<&'a str> {
    host.strip_suffix(domain)?.strip_suffix('.')
}

/// `us-east-1`, `ap-northeast-2`, `us-gov-west-1`
fn is_region(text: &str) -> bool {
    !text.starts_with("s3-website")
        && text.split('-').count() >= 3
        && text.ends_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_address(host: &str) -> bool {
    host.trim_matches(['[', ']'])
        .parse::<std::net::IpAddr>()
        .is_ok()
}

/// The host of a request without its port, lower case.
pub(crate) fn of(parts: &http::request::Parts) -> String {
    let host = parts
        .headers
        .get(http::header::HOST)
        .and_then(|value| value.to_str().ok())
        .or_else(|| parts.uri.authority().map(http::uri::Authority::as_str))
        .unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        let read = |host| read(host, "gureum.localhost");
        for door in ["127.0.0.1", "[::1]", "localhost", "gureum.localhost", ""] {
            assert_eq!(read(door), Host::Door, "{door}");
        }
        assert_eq!(read("sqs.us-east-1.amazonaws.com"), Host::Api("sqs"));
        assert_eq!(read("sqs.gureum.localhost"), Host::Api("sqs"));
        assert_eq!(read("s3.amazonaws.com"), Host::Api("s3"));
        assert_eq!(read("s3.us-gov-west-1.amazonaws.com"), Host::Api("s3"));
        assert_eq!(read("photos.s3.gureum.localhost"), Host::Bucket("photos"));
        assert_eq!(read("a.b.s3.eu-west-1.amazonaws.com"), Host::Bucket("a.b"));
        assert_eq!(read("photos.localhost"), Host::Bucket("photos"));
        assert_eq!(read("photos.s3.localhost"), Host::Bucket("photos"));
        assert_eq!(read("x.s3-website-us-east-1.gureum.localhost"), Host::Other);
        assert_eq!(read("web-1.us-east-1.elb.gureum.localhost"), Host::Other);
        assert_eq!(read("example.com"), Host::Other);
    }
}
