//! Launch templates, and their versions in rows of their own.

use gureum_kit::{AccountId, Reader, Region, Row, Scan};
use gureum_model_ec2::types as t;
use gureum_schema::Timestamp;
use serde::{Deserialize, Serialize};

use crate::errors::{Refusal, Result};
use crate::filter::Paths;
use crate::mold::{self, Members};
use crate::names::Names;
use crate::resource::{Described, Find, Here, Kind, Meta, Resource as _, resource};
use crate::tags;

pub(crate) const KIND: Kind = Kind {
    prefix: "lt",
    name: "launch-template",
    label: "launch template",
    not_found: "InvalidLaunchTemplateId.NotFound",
    malformed: "InvalidLaunchTemplateId.Malformed",
    ownerless: false,
};

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct LaunchTemplateRow {
    pub(crate) meta: Meta,
    /// Nobody else of the account has it in the region.
    pub(crate) name: String,
    /// The creator's ARN.
    pub(crate) creator: String,
    pub(crate) default: u64,
    /// The newest version that is there.
    pub(crate) latest: u64,
    /// The newest version that ever was: no number is given twice.
    pub(crate) given: u64,
}

resource!(LaunchTemplateRow, "ec2.launch-template", KIND);

/// One version. It never changes.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct VersionRow {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    /// `lt-…`
    pub(crate) template: String,
    pub(crate) number: u64,
    pub(crate) description: Option<String>,
    pub(crate) creator: String,
    pub(crate) created: i64,
    /// The members of `RequestLaunchTemplateData`.
    pub(crate) data: Members,
}

impl Row for VersionRow {
    const TABLE: &'static str = "ec2.launch-template-version";
    type Key = (Region, AccountId, String, u64);

    fn key(&self) -> Self::Key {
        let (region, template) = (self.region.clone(), self.template.clone());
        (region, self.account, template, self.number)
    }
}

/// How a request names a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Default,
    Latest,
    Number(u64),
}

impl Which {
    pub(crate) fn read(text: &str) -> Result<Self> {
        match text {
            "$Default" => Ok(Self::Default),
            "$Latest" => Ok(Self::Latest),
            number => number.parse().map(Self::Number).map_err(|_| {
                Refusal::value(format!(
                    "Invalid launch template version: '{number}' is neither a number nor $Latest or $Default."
                ))
            }),
        }
    }
}

impl LaunchTemplateRow {
    /// The template that a request names, by its id or by its name.
    pub(crate) fn named(
        reader: &impl Find,
        here: &Here,
        id: Option<&str>,
        name: Option<&str>,
    ) -> Result<Self> {
        match (id, name) {
            (Some(_), Some(_)) => Err(Refusal::combination(
                "Specify either a launch template ID or a launch template name, not both.",
            )),
            (None, None) => Err(Refusal::missing("LaunchTemplateId or LaunchTemplateName")),
            (Some(id), None) => {
                KIND.check(id)?;
                reader.find(here, id)?.ok_or_else(|| {
                    Refusal::new(
                        KIND.not_found,
                        format!(
                            "The specified launch template, with template ID {id}, does not exist."
                        ),
                    )
                })
            }
            (None, Some(name)) => Self::with_name(reader, here, name)?.ok_or_else(|| {
                Refusal::new(
                    "InvalidLaunchTemplateName.NotFoundException",
                    format!(
                        "The specified launch template, with template name {name}, does not exist."
                    ),
                )
            }),
        }
    }

    pub(crate) fn with_name(reader: &impl Find, here: &Here, name: &str) -> Result<Option<Self>> {
        let mut rows = reader.all::<Self>(here)?.into_iter();
        Ok(rows.find(|row| row.name == name))
    }

    pub(crate) fn number(&self, which: Which) -> u64 {
        match which {
            Which::Default => self.default,
            Which::Latest => self.latest,
            Which::Number(number) => number,
        }
    }

    /// A version; refuses one that isn't there.
    pub(crate) fn version(&self, reader: &impl Reader, which: Which) -> Result<VersionRow> {
        let number = self.number(which);
        let (region, account, id) = gureum_kit::Row::key(self);
        let row = reader.get::<VersionRow>((region, account, id, number))?;
        row.ok_or_else(|| {
            Refusal::new(
                "InvalidLaunchTemplateId.VersionNotFound",
                format!(
                    "Could not find the specified version {number} for the launch template with ID {}.",
                    self.id()
                ),
            )
        })
    }

    /// All versions, oldest first.
    pub(crate) fn versions(&self, reader: &impl Reader) -> Result<Vec<VersionRow>> {
        let meta = &self.meta;
        let rows = reader.scan(Scan::<VersionRow>::of((
            &meta.region,
            &meta.account,
            &meta.id,
        )));
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }
}

impl Described for LaunchTemplateRow {
    type Shape = t::LaunchTemplate;
    const FILTERS: Paths = &[
        ("create-time", "CreateTime"),
        ("launch-template-name", "LaunchTemplateName"),
    ];

    fn shape(&self, _: &impl Reader, _: &Names) -> Result<t::LaunchTemplate> {
        Ok(t::LaunchTemplate {
            launch_template_id: Some(self.meta.id.clone()),
            launch_template_name: Some(self.name.clone()),
            create_time: Some(Timestamp(self.meta.created)),
            created_by: Some(self.creator.clone()),
            default_version_number: Some(number(self.default)),
            latest_version_number: Some(number(self.latest)),
            tags: tags::shapes(&self.meta.tags),
            operator: None,
        })
    }
}

/// As replies show it.
pub(crate) fn number(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

impl VersionRow {
    pub(crate) const FILTERS: Paths = &[
        ("create-time", "CreateTime"),
        ("ebs-optimized", "LaunchTemplateData.EbsOptimized"),
        (
            "http-endpoint",
            "LaunchTemplateData.MetadataOptions.HttpEndpoint",
        ),
        (
            "http-tokens",
            "LaunchTemplateData.MetadataOptions.HttpTokens",
        ),
        (
            "iam-instance-profile",
            "LaunchTemplateData.IamInstanceProfile.Arn",
        ),
        ("image-id", "LaunchTemplateData.ImageId"),
        ("instance-type", "LaunchTemplateData.InstanceType"),
        ("is-default-version", "DefaultVersion"),
        ("kernel-id", "LaunchTemplateData.KernelId"),
        ("ram-disk-id", "LaunchTemplateData.RamDiskId"),
    ];

    pub(crate) fn shape(&self, template: &LaunchTemplateRow) -> Result<t::LaunchTemplateVersion> {
        let mut data = t::ResponseLaunchTemplateData::default();
        mold::pour(&self.data, &mut data)
            .map_err(|name| Refusal::Broken(format!("a template's {name} cannot be shown")))?;
        Ok(t::LaunchTemplateVersion {
            launch_template_id: Some(self.template.clone()),
            launch_template_name: Some(template.name.clone()),
            version_number: Some(number(self.number)),
            version_description: self.description.clone(),
            create_time: Some(Timestamp(self.created)),
            created_by: Some(self.creator.clone()),
            default_version: Some(self.number == template.default),
            launch_template_data: Some(data),
            operator: None,
        })
    }
}
