//! Filters of listings: which parameters a request wants to see. Pure.

use gureum_model_ssm::types as t;

use crate::errors::{Refusal, Result};
use crate::model::{ParameterRow, VersionRow};

/// A condition on a parameter. Several must all hold; of its values, one must match.
#[derive(Debug)]
pub(crate) struct Filter {
    field: Field,
    how: How,
    values: Vec<String>,
}

#[derive(Debug, PartialEq)]
enum Field {
    Name,
    Type,
    KeyId,
    Path,
    Tier,
    DataType,
    Label,
    Tag(String),
}

#[derive(Debug, PartialEq, Clone, Copy)]
enum How {
    Equals,
    BeginsWith,
    Contains,
    OneLevel,
    Recursive,
}

/// Which listing the filters belong to: they know different fields.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Listing {
    Describe,
    ByPath,
}

/// Reads `ParameterFilters`.
pub(crate) fn read(
    filters: Option<&[t::ParameterStringFilter]>,
    of: Listing,
) -> Result<Vec<Filter>> {
    let filters = filters.unwrap_or_default().iter();
    filters.map(|filter| Filter::read(filter, of)).collect()
}

/// Reads the older `Filters`, in which names are matched by their beginning.
pub(crate) fn read_old(filters: Option<&[t::ParametersFilter]>) -> Result<Vec<Filter>> {
    let filters = filters.unwrap_or_default().iter();
    filters
        .map(|filter| {
            let begins = filter.key == "Name";
            let filter = t::ParameterStringFilter {
                key: filter.key.clone(),
                option: begins.then(|| "BeginsWith".into()),
                values: Some(filter.values.clone()),
            };
            Filter::read(&filter, Listing::Describe)
        })
        .collect()
}

impl Filter {
    fn read(filter: &t::ParameterStringFilter, of: Listing) -> Result<Self> {
        let field = Field::read(&filter.key, of)?;
        let usual = match field {
            Field::Path => How::OneLevel,
            _ => How::Equals,
        };
        let how = filter.option.as_deref().map_or(Ok(usual), How::read)?;
        let fits = match field {
            Field::Path => matches!(how, How::OneLevel | How::Recursive),
            Field::Name => matches!(how, How::Equals | How::BeginsWith | How::Contains),
            Field::KeyId => matches!(how, How::Equals | How::BeginsWith),
            _ => how == How::Equals,
        };
        if !fits {
            let option = filter.option.as_deref().unwrap_or_default();
            return Err(Refusal::FilterOption(format!(
                "The filter option {option} is not valid for the key {}.",
                filter.key
            )));
        }
        let values = filter.values.clone().unwrap_or_default();
        // A tag may be asked for whatever its value.
        if values.is_empty() && !matches!(field, Field::Tag(_)) {
            return Err(Refusal::FilterValue(format!(
                "The filter {} needs a value.",
                filter.key
            )));
        }
        if field == Field::Path && values.iter().any(|path| !path.starts_with('/')) {
            return Err(Refusal::validation(
                "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash \"/\".",
            ));
        }
        Ok(Self { field, how, values })
    }

    pub(crate) fn admits(&self, parameter: &ParameterRow, version: &VersionRow) -> bool {
        let any = |text: &str| {
            self.values
                .iter()
                .any(|value| self.how.matches(text, value))
        };
        match &self.field {
            Field::Name => {
                // A slash at the beginning makes no difference to who looks for a name.
                any(&parameter.name) || any(parameter.name.trim_start_matches('/'))
            }
            Field::Path => any(&parameter.name),
            Field::Type => any(version.kind.name()),
            Field::KeyId => version.value.key().is_some_and(any),
            Field::Tier => any(version.tier.name()),
            Field::DataType => any(&version.data_type),
            Field::Label => parameter.labels_of(version.version).any(|label| any(label)),
            Field::Tag(key) => {
                let value = parameter.tags.get(key);
                value.is_some_and(|value| self.values.is_empty() || any(value))
            }
        }
    }
}

impl Field {
    fn read(key: &str, of: Listing) -> Result<Self> {
        let field = match key {
            "Name" => Self::Name,
            "Type" => Self::Type,
            "KeyId" => Self::KeyId,
            "Path" => Self::Path,
            "Tier" => Self::Tier,
            "DataType" => Self::DataType,
            "Label" => Self::Label,
            _ => match key.strip_prefix("tag:") {
                Some(tag) if !tag.is_empty() => Self::Tag(tag.to_owned()),
                _ => return Err(Self::unknown(key, of)),
            },
        };
        let by_path = matches!(field, Self::Type | Self::KeyId | Self::Label);
        let fits = match of {
            Listing::ByPath => by_path,
            Listing::Describe => field != Self::Label,
        };
        if fits {
            Ok(field)
        } else {
            Err(Self::unknown(key, of))
        }
    }

    fn unknown(key: &str, of: Listing) -> Refusal {
        let valid = match of {
            Listing::Describe => "Name, Type, KeyId, Path, Tier, DataType, tag:<key>",
            Listing::ByPath => "Type, KeyId, Label",
        };
        Refusal::FilterKey(format!(
            "The following filter key is not valid: {key}. Valid filter keys include: [{valid}]."
        ))
    }
}

impl How {
    fn read(option: &str) -> Result<Self> {
        Ok(match option {
            "Equals" => Self::Equals,
            "BeginsWith" => Self::BeginsWith,
            "Contains" => Self::Contains,
            "OneLevel" => Self::OneLevel,
            "Recursive" => Self::Recursive,
            _ => {
                return Err(Refusal::FilterOption(format!(
                    "The following filter option is not valid: {option}. Valid options include: [Equals, BeginsWith, Contains, OneLevel, Recursive]."
                )));
            }
        })
    }

    fn matches(self, text: &str, value: &str) -> bool {
        match self {
            Self::Equals => text == value,
            Self::BeginsWith => text.starts_with(value),
            Self::Contains => text.contains(value),
            Self::OneLevel => below(text, value).is_some_and(|rest| !rest.contains('/')),
            Self::Recursive => below(text, value).is_some(),
        }
    }
}

/// What of a name is below a path; a name is not below itself.
pub(crate) fn below<'a>(name: &'a str, path: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(path.trim_end_matches('/'))?;
    rest.strip_prefix('/').filter(|rest| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_a_path() {
        assert_eq!(below("/a/b/c", "/a"), Some("b/c"));
        assert_eq!(below("/a/b/c", "/a/b/"), Some("c"));
        assert_eq!(below("/a", "/"), Some("a"));
        for (name, path) in [("/a", "/a"), ("/ab", "/a"), ("a", "/"), ("/a/b", "/b")] {
            assert_eq!(below(name, path), None, "{name} below {path}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let filter = |key: &str, option: Option<&str>, values: &[&str]| t::ParameterStringFilter {
            key: key.into(),
            option: option.map(Into::into),
            values: Some(values.iter().map(|&value| value.into()).collect()),
        };
        let read = |filter, of| Filter::read(&filter, of);
        let key = read(filter("Colour", None, &["x"]), Listing::Describe);
        assert!(matches!(key, Err(Refusal::FilterKey(_))));
        let label = read(filter("Label", None, &["x"]), Listing::Describe);
        assert!(matches!(label, Err(Refusal::FilterKey(_))));
        let option = read(filter("Type", Some("Contains"), &["x"]), Listing::ByPath);
        assert!(matches!(option, Err(Refusal::FilterOption(_))));
        let none = read(filter("Name", None, &[]), Listing::Describe);
        assert!(matches!(none, Err(Refusal::FilterValue(_))));
    }
}
