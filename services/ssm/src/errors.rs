//! The errors of Systems Manager, with the codes and sentences that clients know.

use gureum_kit::StoreError;
use gureum_schema::Error;

/// Everything that this service refuses.
#[derive(Debug)]
pub(crate) enum Refusal {
    NotFound(String),
    VersionNotFound(String),
    Exists,
    TypeMismatch,
    TooDeep,
    Pattern(String),
    Mismatch(String),
    TooManyVersions {
        name: String,
        oldest: i64,
    },
    TooManyLabels,
    TooManyTags,
    NoSuchResource,
    ResourceType,
    FilterKey(String),
    FilterOption(String),
    FilterValue(String),
    Token,
    Validation(String),
    /// Not the document that there is.
    Document(String),
    DocumentVersion,
    DocumentSize,
    Parameters(String),
    DuplicateInstance,
    /// These are no managed instances.
    Unmanaged(Vec<String>),
    NoSuchCommand,
    NoSuchInvocation,
    PluginName,
    NotImplemented(String),
    /// What KMS said no with, in its own words.
    Key(Error),
    Broken(String),
}

pub(crate) type Result<T, E = Refusal> = std::result::Result<T, E>;

impl Refusal {
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::Validation(message.into())
    }

    pub(crate) fn parameters(message: impl Into<String>) -> Self {
        Self::Parameters(message.into())
    }

    fn parts(self) -> (&'static str, String) {
        match self {
            Self::NotFound(name) => ("ParameterNotFound", format!("Parameter {name} not found.")),
            Self::VersionNotFound(which) => (
                "ParameterVersionNotFound",
                format!(
                    "Systems Manager could not find version {which}. Verify the version and try again."
                ),
            ),
            Self::Exists => (
                "ParameterAlreadyExists",
                "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.".into(),
            ),
            Self::TypeMismatch => (
                "HierarchyTypeMismatchException",
                "The parameter's type can't be changed. Delete the parameter and create it again with the new type.".into(),
            ),
            Self::TooDeep => (
                "HierarchyLevelLimitExceededException",
                "A hierarchy can have a maximum of 15 levels.".into(),
            ),
            Self::Pattern(why) => ("InvalidAllowedPatternException", why),
            Self::Mismatch(pattern) => (
                "ParameterPatternMismatchException",
                format!("Parameter value, cannot be validated against allowedPattern: {pattern}"),
            ),
            Self::TooManyVersions { name, oldest } => (
                "ParameterMaxVersionLimitExceeded",
                format!("{name} has 100 versions, and the oldest of them, {oldest}, has a label. Move the label to another version and try again."),
            ),
            Self::TooManyLabels => (
                "ParameterVersionLabelLimitExceeded",
                "A parameter version can have a maximum of ten labels.".into(),
            ),
            Self::TooManyTags => (
                "TooManyTagsError",
                "A parameter can have at most 50 tags.".into(),
            ),
            Self::NoSuchResource => (
                "InvalidResourceId",
                "The resource ID is not valid. Verify that you entered the correct ID and try again.".into(),
            ),
            Self::ResourceType => (
                "InvalidResourceType",
                "The resource type is not valid.".into(),
            ),
            Self::FilterKey(why) => ("InvalidFilterKey", why),
            Self::FilterOption(why) => ("InvalidFilterOption", why),
            Self::FilterValue(why) => ("InvalidFilterValue", why),
            Self::Token => ("InvalidNextToken", "The specified token is not valid.".into()),
            Self::Validation(message) => ("ValidationException", message),
            Self::Document(name) => (
                "InvalidDocument",
                format!("Document with name {name} does not exist."),
            ),
            Self::DocumentVersion => (
                "InvalidDocumentVersion",
                "The document version is not valid or does not exist.".into(),
            ),
            Self::DocumentSize => (
                "MaxDocumentSizeExceeded",
                "The commands are longer than 64 KB.".into(),
            ),
            Self::Parameters(why) => ("InvalidParameters", why),
            Self::DuplicateInstance => (
                "DuplicateInstanceId",
                "An instance ID is specified more than once.".into(),
            ),
            Self::Unmanaged(ids) => (
                "InvalidInstanceId",
                format!("Instances [[{}]] not in a valid state for account.", ids.join(", ")),
            ),
            Self::NoSuchCommand => ("InvalidCommandId", "The command ID is not valid.".into()),
            Self::NoSuchInvocation => (
                "InvocationDoesNotExist",
                "The command has no invocation on that instance.".into(),
            ),
            Self::PluginName => ("InvalidPluginName", "The plugin name is not valid.".into()),
            // These two are worded elsewhere; see below.
            Self::NotImplemented(what) | Self::Broken(what) => ("InternalServerError", what),
            Self::Key(error) => ("InvalidKeyId", error.message.to_string()),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotImplemented(what) => Self::not_implemented(what),
            Refusal::Broken(cause) => {
                tracing::error!(cause, "Systems Manager failed");
                Self::new(
                    "InternalServerError",
                    500,
                    "An error occurred on the server side.",
                )
            }
            // Whether the caller may use a key is KMS's to say; that it cannot be used, ours.
            Refusal::Key(error) if error.code == "AccessDeniedException" || error.status >= 500 => {
                error
            }
            other => {
                let (code, message) = other.parts();
                Self::new(code, 400, message)
            }
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Broken(error.to_string())
    }
}
