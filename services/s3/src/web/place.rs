//! Which bucket, and which object in it, a web address stands for.

use percent_encoding::percent_decode_str;

/// Where AWS's own clients believe they are.
const AWS: &str = "amazonaws.com";

/// A bucket and a key, either of which may be in the host or the path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) bucket: String,
    pub(super) key: String,
    /// The host names the bucket.
    pub(super) by_host: bool,
}

fn under<'a>(host: &'a str, domain: &str) -> Option<&'a str> {
    host.strip_suffix(domain)?.strip_suffix('.')
}

/// Bucket and region of a website's host: `BUCKET.s3-website-REGION.…` or
/// `BUCKET.s3-website.REGION.…`; AWS uses one or the other by the age of the region.
pub(super) fn site(host: &str, domain: &str) -> Option<(String, String)> {
    let name = under(host, domain).or_else(|| under(host, AWS))?;
    let (stem, last) = name.rsplit_once('.')?;
    let (bucket, region) = match last.strip_prefix("s3-website-") {
        Some(region) => (stem, region),
        None => (stem.strip_suffix(".s3-website")?, last),
    };
    (!bucket.is_empty() && !region.is_empty()).then(|| (bucket.to_owned(), region.to_owned()))
}

/// The bucket and key that an address of the API stands for.
pub(super) fn of(host: &str, path: &str, domain: &str) -> Option<Place> {
    if let Some(bucket) = bucket_of(host, domain) {
        return Some(Place {
            bucket: bucket.to_owned(),
            key: key(path)?,
            by_host: true,
        });
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    let (bucket, rest) = path.split_once('/').unwrap_or((path, ""));
    let bucket = percent_decode_str(bucket).decode_utf8().ok()?;
    (!bucket.is_empty()).then_some(())?;
    Some(Place {
        bucket: bucket.into_owned(),
        key: key(rest)?,
        by_host: false,
    })
}

/// `BUCKET.s3.…`, `BUCKET.s3.REGION.…`, `BUCKET.localhost`
fn bucket_of<'a>(host: &'a str, domain: &str) -> Option<&'a str> {
    if host == domain {
        return None;
    }
    if let Some(name) = under(host, domain).or_else(|| under(host, AWS)) {
        let stem = name.strip_suffix(".s3").or_else(|| {
            let (stem, region) = name.rsplit_once('.')?;
            region.contains('-').then(|| stem.strip_suffix(".s3"))?
        })?;
        return Some(stem.strip_suffix(".dualstack").unwrap_or(stem));
    }
    let bucket = under(host, "localhost")?;
    Some(bucket.strip_suffix(".s3").unwrap_or(bucket))
}

/// The key that a path stands for; `None` where it is not UTF-8.
pub(super) fn key(path: &str) -> Option<String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    Some(percent_decode_str(path).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAIN: &str = "gureum.localhost";

    #[test]
    fn both_forms_of_website_hosts() {
        let some = |bucket: &str| Some((bucket.to_owned(), "eu-west-1".to_owned()));
        assert_eq!(
            site("www.s3-website-eu-west-1.gureum.localhost", DOMAIN),
            some("www")
        );
        assert_eq!(
            site("a.b.s3-website.eu-west-1.gureum.localhost", DOMAIN),
            some("a.b")
        );
        assert_eq!(
            site("www.s3-website-eu-west-1.amazonaws.com", DOMAIN),
            some("www")
        );
        for other in [
            "www.s3.eu-west-1.gureum.localhost",
            DOMAIN,
            "s3-website-x.gureum.localhost",
        ] {
            assert_eq!(site(other, DOMAIN), None, "{other}");
        }
    }

    #[test]
    fn buckets_in_hosts_and_paths() {
        let place = |host, path| of(host, path, DOMAIN).map(|p| (p.bucket, p.key));
        let some = |bucket: &str, key: &str| Some((bucket.to_owned(), key.to_owned()));
        assert_eq!(place("b.s3.gureum.localhost", "/k%20l"), some("b", "k l"));
        assert_eq!(place("b.s3.us-east-1.amazonaws.com", "/"), some("b", ""));
        assert_eq!(place("b.localhost", "/k"), some("b", "k"));
        assert_eq!(place("127.0.0.1", "/b/k/l"), some("b", "k/l"));
        assert_eq!(place(DOMAIN, "/b"), some("b", ""));
        assert_eq!(place("localhost", "/"), None);
    }
}
