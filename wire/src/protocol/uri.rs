//! Finds the operation of a REST request: URI templates, fixed query parameters, and the query
//! parameters and headers that an operation cannot do without.

use gureum_schema::{Location, OperationSpec, ServiceSpec};
use http::{HeaderMap, Method};

use super::{DecodeError, text};

/// Clients add `x-id=GetObject` for their own logs; it says nothing that the rest does not.
const CLIENTS_OWN: &str = "x-id";

/// The compiled URI templates of one REST service.
pub struct Router {
    rules: Vec<Rule>,
}

/// An operation and the values of its URI labels, decoded.
#[derive(Debug)]
pub struct Route {
    pub op: &'static OperationSpec,
    pub labels: Vec<(&'static str, String)>,
}

struct Rule {
    op: &'static OperationSpec,
    segments: Vec<Segment>,
    /// Segment by segment: a literal beats a label, a label a greedy one.
    ranks: Vec<u8>,
    /// Fixed query parameters, `list-type=2` or a bare `uploads`.
    constants: Vec<(&'static str, &'static str)>,
    required_query: Vec<&'static str>,
    required_headers: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    /// `{Key+}`: one segment or more, slashes and all.
    Greedy(&'static str),
    Label(&'static str),
    Literal(&'static str),
}

/// How well a rule fits; the greater the better.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Fit<'r> {
    constants: usize,
    /// None of the required query parameters and headers is missing.
    complete: bool,
    required: usize,
    path: &'r [u8],
    /// Of two operations that nothing tells apart, the one that we implement.
    implemented: bool,
}

impl Router {
    pub fn new(service: &ServiceSpec) -> Self {
        let rules = service.operations.iter().map(|op| Rule::new(op)).collect();
        Self { rules }
    }

    /// `path` and `query` are raw, in path style (a bucket in the host name has been put into the
    /// path). None when no operation of the service has such a URI.
    pub fn route(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        headers: &HeaderMap,
    ) -> Result<Option<Route>, DecodeError> {
        let query = text::form(query)
            .collect::<Result<Vec<_>, _>>()
            .map_err(DecodeError::outside_body)?;
        let mut best: Option<(Fit<'_>, &Rule, Labels<'_>)> = None;
        let rules = self.rules.iter();
        for rule in rules.filter(|rule| rule.op.http.method == method.as_str()) {
            if !rule.has_constants(&query) {
                continue;
            }
            let Some(labels) = match_path(&rule.segments, path) else {
                continue;
            };
            let fit = rule.fit(&query, headers);
            if best.as_ref().is_none_or(|(than, ..)| fit > *than) {
                best = Some((fit, rule, labels));
            }
        }
        best.map(|(_, rule, labels)| Route::new(rule.op, labels))
            .transpose()
    }
}

impl Route {
    /// Labels are decoded only now: an encoded slash inside one never was a separator.
    fn new(op: &'static OperationSpec, labels: Labels<'_>) -> Result<Self, DecodeError> {
        let labels = labels
            .into_iter()
            .map(|(name, raw)| Ok((name, text::percent(raw)?)))
            .collect::<Result<Vec<_>, DecodeError>>()
            .map_err(DecodeError::outside_body)?;
        Ok(Self { op, labels })
    }
}

impl Rule {
    fn new(op: &'static OperationSpec) -> Self {
        let (path, query) = op.http.uri.split_once('?').unwrap_or((op.http.uri, ""));
        let constants = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .filter(|(name, _)| *name != CLIENTS_OWN)
            .collect();
        let members = op.input.map_or(&[][..], |input| input.members());
        let required = members.iter().filter(|member| member.required);
        let required_query = required.clone().filter_map(|member| match member.location {
            Location::Query(name) => Some(name),
            _ => None,
        });
        let required_headers = required.clone().filter_map(|member| match member.location {
            Location::Header(name) => Some(name),
            _ => None,
        });
        let segments = segments(path);
        Self {
            op,
            ranks: segments.iter().map(|segment| segment.rank()).collect(),
            segments,
            constants,
            required_query: required_query.collect(),
            required_headers: required_headers.collect(),
        }
    }

    /// Whether all fixed query parameters are there.
    fn has_constants(&self, query: &[(String, String)]) -> bool {
        let mut constants = self.constants.iter();
        constants.all(|c| query.iter().any(|(n, v)| (n.as_str(), v.as_str()) == *c))
    }

    fn fit(&self, query: &[(String, String)], headers: &HeaderMap) -> Fit<'_> {
        let queries = self.required_query.iter();
        let found = queries
            .filter(|name| query.iter().any(|(n, _)| n == *name))
            .count()
            + self
                .required_headers
                .iter()
                .filter(|name| headers.contains_key(**name))
                .count();
        Fit {
            constants: self.constants.len(),
            complete: found == self.required_query.len() + self.required_headers.len(),
            required: found,
            path: &self.ranks,
            implemented: self.op.input.is_some(),
        }
    }
}

impl Segment {
    fn rank(self) -> u8 {
        match self {
            Segment::Greedy(_) => 0,
            Segment::Label(_) => 1,
            Segment::Literal(_) => 2,
        }
    }
}

fn segments(path: &'static str) -> Vec<Segment> {
    let path = path.trim_matches('/');
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            match part
                .strip_prefix('{')
                .and_then(|part| part.strip_suffix('}'))
            {
                Some(label) => match label.strip_suffix('+') {
                    Some(greedy) => Segment::Greedy(greedy),
                    None => Segment::Label(label),
                },
                None => Segment::Literal(part),
            }
        })
        .collect()
}

type Labels<'p> = Vec<(&'static str, &'p str)>;

/// Matches a raw path. A slash at its end is no difference, save inside a greedy label.
fn match_path<'p>(segments: &[Segment], path: &'p str) -> Option<Labels<'p>> {
    let mut labels = Labels::new();
    let mut rest = path.strip_prefix('/').unwrap_or(path);
    for (index, segment) in segments.iter().enumerate() {
        if let Segment::Greedy(name) = segment {
            let after = &segments[index + 1..];
            let (value, tail) = split_greedy(rest, after.len())?;
            labels.push((name, value));
            labels.extend(match_path(after, tail)?);
            return Some(labels);
        }
        let (part, tail) = rest.split_once('/').unwrap_or((rest, ""));
        match segment {
            Segment::Literal(literal) if !is_literal(part, literal) => return None,
            Segment::Label(_) if part.is_empty() => return None,
            Segment::Label(name) => labels.push((name, part)),
            _ => {}
        }
        rest = tail;
    }
    rest.is_empty().then_some(labels)
}

/// Leaves the last `after` segments to the rest of the template.
fn split_greedy(path: &str, after: usize) -> Option<(&str, &str)> {
    let (value, tail) = match after {
        0 => (path, ""),
        _ => {
            let trimmed = path.strip_suffix('/').unwrap_or(path);
            let (at, _) = trimmed.rmatch_indices('/').nth(after - 1)?;
            (&path[..at], &path[at + 1..])
        }
    };
    (!value.is_empty()).then_some((value, tail))
}

fn is_literal(part: &str, literal: &str) -> bool {
    part == literal || (part.contains('%') && text::percent(part).is_ok_and(|p| p == literal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(template: &'static str, path: &str) -> Option<Vec<String>> {
        let found = match_path(&segments(template), path)?;
        Some(
            found
                .into_iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        )
    }

    #[test]
    fn a_greedy_label_leaves_the_rest_of_the_template_its_segments() {
        let template = "/files/{Path+}/versions/{Id}";
        assert_eq!(
            labels(template, "/files/a/b%2Fc/versions/7"),
            Some(vec!["Path=a/b%2Fc".into(), "Id=7".into()])
        );
        assert_eq!(
            labels(template, "/files/a/versions/b/versions/7/"),
            Some(vec!["Path=a/versions/b".into(), "Id=7".into()])
        );
        assert_eq!(labels(template, "/files/versions/7"), None);
    }

    #[test]
    fn slashes_at_the_end_count_only_in_a_greedy_label() {
        assert_eq!(
            labels("/zone/{Id}/rrset/", "/zone/Z1/rrset"),
            Some(vec!["Id=Z1".into()])
        );
        assert_eq!(
            labels("/zone/{Id}", "/zone/Z1/"),
            Some(vec!["Id=Z1".into()])
        );
        assert_eq!(labels("/zone/{Id}", "/zone//"), None);
        assert_eq!(labels("/{B}/{K+}", "/b/"), None);
        assert_eq!(
            labels("/{B}/{K+}", "/b/k/"),
            Some(vec!["B=b".into(), "K=k/".into()])
        );
        assert_eq!(labels("/", ""), Some(vec![]));
        assert_eq!(labels("/zone", "/z%6Fne"), Some(vec![]));
    }

    #[test]
    fn a_fixed_parameter_keeps_a_request_from_the_wider_operation() {
        static GET: OperationSpec = OperationSpec::new("GetConfiguration", "DELETE", "/{B}?c&id=1");
        static ALL: OperationSpec = OperationSpec::new("DeleteAll", "DELETE", "/{B}");
        let router = Router {
            rules: vec![Rule::new(&ALL), Rule::new(&GET)],
        };
        let name = |query: &str| {
            let route = router.route(&Method::DELETE, "/b", query, &HeaderMap::new());
            route.ok().flatten().map(|route| route.op.name)
        };
        assert_eq!(name("c&id=1&x-id=Y"), Some("GetConfiguration"));
        assert_eq!(name("id=1&c="), Some("GetConfiguration"));
        assert_eq!(name("c&id=2"), Some("DeleteAll"));
        assert!(
            router
                .route(&Method::DELETE, "/b", "%ff", &HeaderMap::new())
                .is_err()
        );
    }
}
