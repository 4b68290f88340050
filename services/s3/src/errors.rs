//! S3's error codes, with their status and wording, and how failures below become one of them.
//!
//! Source: "Error responses" in the S3 API Reference.

use gureum_kit::StoreError;
use gureum_schema::Error;

/// What went wrong, on its way to the client. Handlers return [`Error`]; `?` converts.
#[derive(Debug)]
pub(crate) struct Failure {
    reply: Box<Error>,
    /// The store itself says that nothing was written.
    unwritten: bool,
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

macro_rules! codes {
    ($($name:ident $status:literal $message:literal)*) => {
        /// AWS's code for an error; its name is what clients match on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code { $($name),* }

        impl Code {
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
            pub(crate) const fn status(self) -> u16 {
                match self { $(Self::$name => $status),* }
            }
            const fn message(self) -> &'static str {
                match self { $(Self::$name => $message),* }
            }
        }
    };
}

codes! {
    AccessControlListNotSupported 400 "The bucket does not allow ACLs"
    AccessDenied 403 "Access Denied"
    AccessForbidden 403 "Forbidden"
    BadDigest 400 "The Content-MD5 you specified did not match what we received."
    BadRequest 400 "Bad Request"
    BucketAlreadyExists 409 "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Select a different name and try again."
    BucketAlreadyOwnedByYou 409 "Your previous request to create the named bucket succeeded and you already own it."
    BucketNotEmpty 409 "The bucket you tried to delete is not empty"
    CrossLocationLoggingProhibited 403 "Cross S3 location logging not allowed."
    EntityTooLarge 400 "Your proposed upload exceeds the maximum allowed size"
    EntityTooSmall 400 "Your proposed upload is smaller than the minimum allowed size"
    IllegalLocationConstraintException 400 "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to."
    IllegalVersioningConfigurationException 400 "The versioning configuration specified in the request is invalid."
    IncompleteBody 400 "You did not provide the number of bytes specified by the Content-Length HTTP header"
    IncorrectEndpoint 400 "The specified bucket exists in another Region. Direct requests to the correct endpoint."
    InternalError 500 "We encountered an internal error. Please try again."
    InvalidArgument 400 "Invalid Argument"
    InvalidBucketAclWithObjectOwnership 400 "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
    InvalidBucketName 400 "The specified bucket is not valid."
    InvalidBucketState 409 "The request is not valid for the current state of the bucket."
    InvalidDigest 400 "The Content-MD5 you specified was invalid."
    InvalidLocationConstraint 400 "The specified location-constraint is not valid"
    InvalidObjectState 403 "The operation is not valid for the object's storage class"
    InvalidPart 400 "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
    InvalidPartNumber 416 "The requested partnumber is not satisfiable"
    InvalidPartOrder 400 "The list of parts was not in ascending order. Parts must be ordered by part number."
    InvalidPolicyDocument 400 "The content of the form does not meet the conditions specified in the policy document."
    InvalidRange 416 "The requested range is not satisfiable"
    InvalidRequest 400 "Invalid Request"
    InvalidStorageClass 400 "The storage class you specified is not valid"
    InvalidTag 400 "The tag provided was not a valid tag."
    InvalidTargetBucketForLogging 400 "The target bucket for logging does not exist, is not owned by you, or does not have the appropriate grants for the log-delivery group."
    InvalidURI 400 "Couldn't parse the specified URI."
    KeyTooLongError 400 "Your key is too long"
    MalformedACLError 400 "The XML you provided was not well-formed or did not validate against our published schema"
    MalformedPOSTRequest 400 "The body of your POST request is not well-formed multipart/form-data."
    MalformedPolicy 400 "Policies must be valid JSON and the first byte must be '{'"
    MalformedXML 400 "The XML you provided was not well-formed or did not validate against our published schema"
    MetadataTooLarge 400 "Your metadata headers exceed the maximum allowed metadata size"
    MethodNotAllowed 405 "The specified method is not allowed against this resource."
    MissingSecurityHeader 400 "Your request was missing a required header"
    NoSuchBucket 404 "The specified bucket does not exist"
    NoSuchBucketPolicy 404 "The bucket policy does not exist"
    NoSuchCORSConfiguration 404 "The CORS configuration does not exist"
    NoSuchKey 404 "The specified key does not exist."
    NoSuchLifecycleConfiguration 404 "The lifecycle configuration does not exist"
    NoSuchObjectLockConfiguration 404 "The specified object does not have a ObjectLock configuration"
    NoSuchPublicAccessBlockConfiguration 404 "The public access block configuration was not found"
    NoSuchTagSet 404 "The TagSet does not exist"
    NoSuchUpload 404 "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    NoSuchVersion 404 "The specified version does not exist."
    NoSuchWebsiteConfiguration 404 "The specified bucket does not have a website configuration"
    NotModified 304 "Not Modified"
    ObjectLockConfigurationNotFoundError 404 "Object Lock configuration does not exist for this bucket"
    OwnershipControlsNotFoundError 404 "The bucket ownership controls were not found"
    PermanentRedirect 301 "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint."
    PreconditionFailed 412 "At least one of the pre-conditions you specified did not hold"
    RequestTimeout 400 "Your socket connection to the server was not read from or written to within the timeout period."
    RestoreAlreadyInProgress 409 "Object restore is already in progress"
    SlowDown 503 "Please reduce your request rate."
    UnexpectedContent 400 "This request does not support content"
    UnresolvableGrantByEmailAddress 400 "The email address you provided does not match any account on record."
}

impl Code {
    /// With AWS's own sentence.
    pub(crate) fn error(self) -> Failure {
        self.says(self.message())
    }

    /// With a sentence for the case at hand.
    pub(crate) fn says(self, message: impl Into<String>) -> Failure {
        Error::new(self.name(), self.status(), message).into()
    }

    /// With a further member in the error's body.
    pub(crate) fn with(self, name: &'static str, value: impl ToString) -> Failure {
        self.error().with(name, value)
    }
}

impl Failure {
    pub(crate) fn with(self, name: &'static str, value: impl ToString) -> Self {
        Self {
            reply: Box::new(self.reply.with(name, value.to_string())),
            ..self
        }
    }

    pub(crate) fn header(self, name: &'static str, value: impl Into<String>) -> Self {
        Self {
            reply: Box::new(self.reply.header(name, value)),
            ..self
        }
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> &str {
        &self.reply.code
    }

    /// Whether nothing of a transaction that ended with this was written: it is our answer to the
    /// request, or the store would not begin.
    pub(crate) fn is_refusal(&self) -> bool {
        self.unwritten || self.reply.status < 500
    }

    /// A parameter whose value is not one that it may have.
    pub(crate) fn argument(
        name: impl ToString,
        value: impl ToString,
        message: impl Into<String>,
    ) -> Self {
        Code::InvalidArgument
            .says(message)
            .with("ArgumentName", name)
            .with("ArgumentValue", value)
    }

    pub(crate) fn not_implemented(what: impl std::fmt::Display) -> Self {
        Error::not_implemented(what).into()
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        *failure.reply
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            reply: Box::new(error),
            unwritten: false,
        }
    }
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        code.error()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            // Others keep writing the same rows. Clients try again by themselves on this code.
            StoreError::Conflict { .. } => Code::SlowDown.error(),
            StoreError::NoRoom(_) => Self {
                unwritten: true,
                ..full()
            },
            StoreError::Full(_) => full(),
            error => internal(&error),
        }
    }
}

impl From<gureum_blob::Error> for Failure {
    fn from(error: gureum_blob::Error) -> Self {
        match error {
            gureum_blob::Error::Full => full(),
            error => internal(&error),
        }
    }
}

fn full() -> Failure {
    Code::SlowDown.says("There is no space left to store this. Please try again later.")
}

fn internal(cause: &dyn std::error::Error) -> Failure {
    tracing::error!(%cause, "an S3 request failed");
    Code::InternalError.error()
}
