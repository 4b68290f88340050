//! Shapes as data: what a member is called in each protocol, where it travels, what it may hold.

use crate::TimestampFormat;

/// One shape of an AWS model.
#[derive(Debug)]
pub struct Schema {
    /// The shape's name in the model, `SendMessageRequest`.
    pub name: &'static str,
    pub kind: Kind,
    pub limits: Limits,
    /// Values of this shape must not be printed or logged.
    pub sensitive: bool,
}

#[derive(Debug)]
pub enum Kind {
    Structure {
        members: &'static [Member],
        /// At most one member may be set.
        union: bool,
        /// Index of the member that is the whole HTTP body, in the REST protocols.
        payload: Option<usize>,
        /// Set when the structure is an error.
        error: Option<&'static ErrorInfo>,
    },
    List {
        item: &'static Member,
        flattened: bool,
    },
    Map {
        key: &'static Member,
        value: &'static Member,
        flattened: bool,
    },
    String,
    Boolean,
    Integer,
    Long,
    Float,
    Double,
    Blob,
    /// The format that the shape itself asks for; a member's own format beats it.
    Timestamp(Option<TimestampFormat>),
    /// Any JSON value.
    Document,
    /// A blob that is streamed instead of held in memory; only ever an HTTP payload.
    Stream,
}

/// A member of a structure, or the item, key or value of a collection.
#[derive(Debug)]
pub struct Member {
    /// The member's name in the model; error messages speak of it by this name.
    pub name: &'static str,
    /// Its name in JSON and CBOR bodies.
    pub json: &'static str,
    /// Its element (or attribute) name in XML bodies; also its name in `query` requests.
    pub xml: &'static str,
    /// Its name in `ec2` query requests.
    pub ec2: &'static str,
    pub location: Location,
    pub required: bool,
    /// The client fills it with a random token when the caller gives none.
    pub idempotency_token: bool,
    /// Travels as an attribute of its parent's XML element.
    pub xml_attribute: bool,
    /// The collection's items are not wrapped in an element of their own.
    pub flattened: bool,
    /// `xmlNamespace` as (prefix, uri); the prefix may be empty.
    pub namespace: Option<(&'static str, &'static str)>,
    pub timestamp: Option<TimestampFormat>,
    pub target: &'static Schema,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    Body,
    /// Header name, lower case.
    Header(&'static str),
    /// A map whose keys are header names with this lower-case prefix taken off; may be empty.
    HeaderPrefix(&'static str),
    /// Query-string parameter name.
    Query(&'static str),
    /// A map of all query-string parameters, also of those that have members of their own.
    QueryMap,
    /// Label in the URI template.
    Uri(&'static str),
    /// The HTTP status code.
    Status,
}

/// What the model says of a value. Lengths count characters for strings, bytes for blobs and
/// items for collections; the range is for numbers. The pattern is for the whole value, in the
/// dialect of `regex-lite`.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub pattern: Option<&'static str>,
    pub values: &'static [&'static str],
}

pub const NO_LIMITS: Limits = Limits {
    min: None,
    max: None,
    pattern: None,
    values: &[],
};

/// How an error shape appears on the wire.
#[derive(Debug)]
pub struct ErrorInfo {
    /// The code clients match on; often, but not always, the shape's name.
    pub code: &'static str,
    pub status: u16,
    /// Whose fault: the sender's (4xx) or ours.
    pub sender: bool,
    /// The code in the service's former query protocol (`x-amzn-query-error`), when it differs.
    pub query_code: Option<&'static str>,
}

/// The constructors below are what generated code is written in: each is `const`, names the one
/// thing it adds, and leaves everything else at its plain default.
impl Schema {
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            limits: NO_LIMITS,
            sensitive: false,
        }
    }

    pub const fn structure(name: &'static str, members: &'static [Member]) -> Self {
        Self::new(
            name,
            Kind::Structure {
                members,
                union: false,
                payload: None,
                error: None,
            },
        )
    }

    pub const fn list(name: &'static str, item: &'static Member, flattened: bool) -> Self {
        Self::new(name, Kind::List { item, flattened })
    }

    pub const fn map(
        name: &'static str,
        key: &'static Member,
        value: &'static Member,
        flattened: bool,
    ) -> Self {
        Self::new(
            name,
            Kind::Map {
                key,
                value,
                flattened,
            },
        )
    }

    /// A string that may only be one of `values`.
    pub const fn values(mut self, values: &'static [&'static str]) -> Self {
        self.limits.values = values;
        self
    }

    pub const fn min(mut self, min: f64) -> Self {
        self.limits.min = Some(min);
        self
    }

    pub const fn max(mut self, max: f64) -> Self {
        self.limits.max = Some(max);
        self
    }

    pub const fn pattern(mut self, pattern: &'static str) -> Self {
        self.limits.pattern = Some(pattern);
        self
    }

    pub const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// Makes a union of a structure.
    pub const fn union(mut self) -> Self {
        if let Kind::Structure { union, .. } = &mut self.kind {
            *union = true;
        }
        self
    }

    /// Makes member `index` of a structure the whole HTTP body.
    pub const fn payload(mut self, index: usize) -> Self {
        if let Kind::Structure { payload, .. } = &mut self.kind {
            *payload = Some(index);
        }
        self
    }

    /// Makes an error of a structure.
    pub const fn error(mut self, info: &'static ErrorInfo) -> Self {
        if let Kind::Structure { error, .. } = &mut self.kind {
            *error = Some(info);
        }
        self
    }

    /// The members of a structure; of anything else, none.
    pub const fn members(&self) -> &'static [Member] {
        match self.kind {
            Kind::Structure { members, .. } => members,
            _ => &[],
        }
    }

    pub const fn is_union(&self) -> bool {
        matches!(self.kind, Kind::Structure { union: true, .. })
    }

    /// Whether values of this shape, or the items and values inside it, must not be printed.
    pub const fn hides_values(&self) -> bool {
        self.sensitive
            || match self.kind {
                Kind::List { item, .. } => item.target.sensitive,
                Kind::Map { key, value, .. } => key.target.sensitive || value.target.sensitive,
                _ => false,
            }
    }
}

impl Member {
    /// An optional member that is called the same everywhere and travels in the body.
    pub const fn new(name: &'static str, target: &'static Schema) -> Self {
        Self {
            name,
            json: name,
            xml: name,
            ec2: name,
            location: Location::Body,
            required: false,
            idempotency_token: false,
            xml_attribute: false,
            flattened: false,
            namespace: None,
            timestamp: None,
            target,
        }
    }

    pub const fn json(mut self, name: &'static str) -> Self {
        self.json = name;
        self
    }

    pub const fn xml(mut self, name: &'static str) -> Self {
        self.xml = name;
        self
    }

    pub const fn ec2(mut self, name: &'static str) -> Self {
        self.ec2 = name;
        self
    }

    pub const fn at(mut self, location: Location) -> Self {
        self.location = location;
        self
    }

    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub const fn idempotency_token(mut self) -> Self {
        self.idempotency_token = true;
        self
    }

    pub const fn xml_attribute(mut self) -> Self {
        self.xml_attribute = true;
        self
    }

    pub const fn flattened(mut self) -> Self {
        self.flattened = true;
        self
    }

    pub const fn namespace(mut self, prefix: &'static str, uri: &'static str) -> Self {
        self.namespace = Some((prefix, uri));
        self
    }

    pub const fn timestamp(mut self, format: TimestampFormat) -> Self {
        self.timestamp = Some(format);
        self
    }
}
