//! What `RunInstances` asks for, checked as far as the request alone can tell.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gureum_model_ec2::types as t;

use crate::errors::{Refusal, Result, refuse, refuse_on};
use crate::instance_types::{self, InstanceType};
use crate::machines::Planes;
use crate::mappings::{Brought, Mappings};
use crate::model::instance::{self, MetadataOptions};
use crate::model::interface;
use crate::model::volume;
use crate::ops::interfaces::addresses;
use crate::resource::Tags;
use crate::{images, tags};

/// The longest user data, decoded.
const MAX_USER_DATA: usize = 16_384;
/// The most instances of one request.
const MAX_COUNT: i32 = 100;

/// Members of `RunInstances` that are not honoured; launch templates must not hold them either.
pub(crate) const REFUSED: [&str; 17] = [
    "Ipv6AddressCount",
    "Ipv6Addresses",
    "KernelId",
    "RamdiskId",
    "ElasticGpuSpecification",
    "ElasticInferenceAccelerators",
    "InstanceMarketOptions",
    "CreditSpecification",
    "CpuOptions",
    "CapacityReservationSpecification",
    "LicenseSpecifications",
    "PrivateDnsNameOptions",
    "MaintenanceOptions",
    "NetworkPerformanceOptions",
    "Operator",
    "SecondaryInterfaces",
    "AdditionalInfo",
];

/// A request to launch instances.
pub(crate) struct Launch {
    pub(crate) count: (usize, usize),
    pub(crate) image: String,
    pub(crate) kind: &'static InstanceType,
    pub(crate) key_name: Option<String>,
    pub(crate) zone: Option<String>,
    pub(crate) subnet: Option<String>,
    /// Security groups by name, in the default VPC.
    pub(crate) group_names: Vec<String>,
    pub(crate) user_data: Option<Bytes>,
    pub(crate) primary: Interface,
    pub(crate) tags: Tags,
    pub(crate) mappings: Mappings,
    pub(crate) volume_tags: Tags,
    pub(crate) keep_from_termination: bool,
    pub(crate) keep_from_stop: bool,
    pub(crate) terminate_on_shutdown: bool,
    pub(crate) metadata: MetadataOptions,
    pub(crate) detailed: bool,
}

/// `eth0`.
pub(crate) struct Interface {
    /// One that is there already.
    pub(crate) existing: Option<String>,
    /// A new one.
    pub(crate) wanted: crate::ops::interfaces::Wanted,
    /// Unless said, the subnet decides.
    pub(crate) public: Option<bool>,
    pub(crate) delete_on_termination: bool,
}

impl Launch {
    /// `brought` is what comes with the image.
    pub(crate) fn read(
        planes: Option<&Planes>,
        input: &t::RunInstancesRequest,
        brought: &Brought,
    ) -> Result<Self> {
        refuse_on(&[
            ("EbsOptimized", input.ebs_optimized),
            ("EnablePrimaryIpv6", input.enable_primary_ipv6),
            (
                "HibernationOptions",
                input
                    .hibernation_options
                    .as_ref()
                    .and_then(|it| it.configured),
            ),
            (
                "EnclaveOptions",
                input.enclave_options.as_ref().and_then(|it| it.enabled),
            ),
        ])?;
        let specs = input.tag_specifications.as_deref().unwrap_or_default();
        let kinds = [instance::KIND.name, interface::KIND.name, volume::KIND.name];
        tags::of_kinds(&kinds, specs)?;
        let image = input
            .image_id
            .clone()
            .ok_or_else(|| Refusal::missing("ImageId"))?;
        images::check(&image)?;
        let placement = input.placement.as_ref();
        refuse_placement(placement)?;
        let network = Network::read(input)?;
        Ok(Self {
            count: count(input.min_count, input.max_count)?,
            image,
            kind: kind(planes, input.instance_type.as_deref())?,
            key_name: input.key_name.clone(),
            zone: placement.and_then(|it| it.availability_zone.clone()),
            subnet: network.subnet,
            group_names: input.security_groups.clone().unwrap_or_default(),
            user_data: user_data(input.user_data.as_deref())?,
            primary: network.primary,
            tags: tags::for_kind(instance::KIND.name, specs)?,
            mappings: Mappings::read(input.block_device_mappings.as_ref(), brought)?,
            volume_tags: tags::for_kind(volume::KIND.name, specs)?,
            keep_from_termination: input.disable_api_termination == Some(true),
            keep_from_stop: input.disable_api_stop == Some(true),
            detailed: input.monitoring.as_ref().is_some_and(|it| it.enabled),
            terminate_on_shutdown: shutdown(input.instance_initiated_shutdown_behavior.as_deref())?,
            metadata: metadata(input.metadata_options.as_ref())?,
        })
    }
}

fn refuse_placement(placement: Option<&t::Placement>) -> Result<()> {
    let Some(placement) = placement else {
        return Ok(());
    };
    refuse(&[
        ("Placement.Affinity", placement.affinity.is_some()),
        (
            "Placement.GroupName",
            placement
                .group_name
                .as_ref()
                .is_some_and(|it| !it.is_empty()),
        ),
        (
            "Placement.PartitionNumber",
            placement.partition_number.is_some(),
        ),
        ("Placement.HostId", placement.host_id.is_some()),
        ("Placement.SpreadDomain", placement.spread_domain.is_some()),
        (
            "Placement.HostResourceGroupArn",
            placement.host_resource_group_arn.is_some(),
        ),
        ("Placement.GroupId", placement.group_id.is_some()),
        (
            "Placement.Tenancy",
            placement
                .tenancy
                .as_deref()
                .is_some_and(|it| it != "default"),
        ),
    ])
}

fn count(min: i32, max: i32) -> Result<(usize, usize)> {
    let number = |name: &str, value: i32| {
        let number = usize::try_from(value).ok().filter(|number| *number > 0);
        number.ok_or_else(|| {
            Refusal::value(format!(
                "Value ({value}) for parameter {name} is invalid. It must be at least 1."
            ))
        })
    };
    let (least, most) = (number("minCount", min)?, number("maxCount", max)?);
    if least > most {
        return Err(Refusal::value(format!(
            "Value ({max}) for parameter maxCount is invalid. It must be at least minCount ({min})."
        )));
    }
    if min > MAX_COUNT {
        return Err(Refusal::new(
            "InstanceLimitExceeded",
            format!(
                "You have requested more instances ({min}) than one request can start ({MAX_COUNT})."
            ),
        ));
    }
    Ok((least, most.min(MAX_COUNT.unsigned_abs() as usize)))
}

fn kind(planes: Option<&Planes>, name: Option<&str>) -> Result<&'static InstanceType> {
    let name = name.unwrap_or(instance_types::USUAL);
    if instance_types::known(name).is_none() {
        return Err(Refusal::value(format!(
            "Invalid value '{name}' for InstanceType."
        )));
    }
    instance_types::find(planes, name).ok_or_else(|| {
        Refusal::new(
            "Unsupported",
            format!("The instance type '{name}' is more than this host can serve."),
        )
    })
}

/// Decoded user data.
pub(crate) fn user_data(text: Option<&str>) -> Result<Option<Bytes>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let text: String = text.split_whitespace().collect();
    let bytes = STANDARD
        .decode(text)
        .map_err(|_| Refusal::value("Invalid BASE64 encoding of user data."))?;
    limit_user_data(&bytes)?;
    Ok(Some(bytes.into()))
}

pub(crate) fn limit_user_data(bytes: &[u8]) -> Result<()> {
    if bytes.len() > MAX_USER_DATA {
        return Err(Refusal::value(format!(
            "User data is limited to {MAX_USER_DATA} bytes"
        )));
    }
    Ok(())
}

/// Whether an instance's own shutdown terminates it.
pub(crate) fn shutdown(behavior: Option<&str>) -> Result<bool> {
    match behavior {
        None | Some("stop") => Ok(false),
        Some("terminate") => Ok(true),
        Some(other) => Err(Refusal::wrong("instanceInitiatedShutdownBehavior", other)),
    }
}

fn metadata(options: Option<&t::InstanceMetadataOptionsRequest>) -> Result<MetadataOptions> {
    let mut out = MetadataOptions {
        tokens_required: false,
        hop_limit: 1,
        enabled: true,
        tags: false,
    };
    if let Some(options) = options {
        out.change(
            options.http_tokens.as_deref(),
            options.http_put_response_hop_limit,
            options.http_endpoint.as_deref(),
            options.instance_metadata_tags.as_deref(),
        )?;
    }
    Ok(out)
}

impl MetadataOptions {
    /// Takes over what a request names.
    pub(crate) fn change(
        &mut self,
        tokens: Option<&str>,
        hops: Option<i32>,
        endpoint: Option<&str>,
        tags: Option<&str>,
    ) -> Result<()> {
        let switch = |name: &str, value: &str| match value {
            "enabled" => Ok(true),
            "disabled" => Ok(false),
            other => Err(Refusal::wrong(name, other)),
        };
        match tokens {
            None => {}
            Some("required") => self.tokens_required = true,
            Some("optional") => self.tokens_required = false,
            Some(other) => return Err(Refusal::wrong("httpTokens", other)),
        }
        if let Some(hops) = hops {
            if !(1..=64).contains(&hops) {
                return Err(Refusal::wrong("httpPutResponseHopLimit", hops));
            }
            self.hop_limit = hops;
        }
        if let Some(endpoint) = endpoint {
            self.enabled = switch("httpEndpoint", endpoint)?;
        }
        if let Some(tags) = tags {
            self.tags = switch("instanceMetadataTags", tags)?;
        }
        Ok(())
    }
}

/// Where the instances go.
struct Network {
    subnet: Option<String>,
    primary: Interface,
}

impl Network {
    fn read(input: &t::RunInstancesRequest) -> Result<Self> {
        let specs = input.tag_specifications.as_deref().unwrap_or_default();
        let tags = tags::for_kind(interface::KIND.name, specs)?;
        let interfaces = input.network_interfaces.as_deref().unwrap_or_default();
        match interfaces {
            [] => Ok(Self {
                subnet: input.subnet_id.clone(),
                primary: Interface {
                    existing: None,
                    wanted: crate::ops::interfaces::Wanted {
                        groups: input.security_group_ids.clone().unwrap_or_default(),
                        addresses: addresses(input.private_ip_address.as_deref(), &None, None)?,
                        tags,
                        ..Default::default()
                    },
                    public: None,
                    delete_on_termination: true,
                },
            }),
            [only] => Self::of_interface(input, only, tags),
            _ => Err(Refusal::NotImplemented(
                "Launching with several network interfaces".into(),
            )),
        }
    }

    fn of_interface(
        input: &t::RunInstancesRequest,
        spec: &t::InstanceNetworkInterfaceSpecification,
        tags: Tags,
    ) -> Result<Self> {
        if input.subnet_id.is_some() || input.private_ip_address.is_some() {
            return Err(Refusal::combination(
                "Network interfaces and an instance-level subnet ID may not be specified on the same request",
            ));
        }
        if input.security_group_ids.is_some() || input.security_groups.is_some() {
            return Err(Refusal::combination(
                "Network interfaces and an instance-level security groups may not be specified on the same request",
            ));
        }
        if spec.device_index.unwrap_or(0) != 0 {
            return Err(Refusal::value(
                "The primary network interface has the device index 0",
            ));
        }
        refuse(&[
            (
                "Ipv6AddressCount",
                spec.ipv6_address_count.is_some_and(|count| count > 0),
            ),
            (
                "Ipv6Addresses",
                spec.ipv6_addresses
                    .as_ref()
                    .is_some_and(|it| !it.is_empty()),
            ),
            ("Ipv4PrefixCount", spec.ipv4_prefix_count.is_some()),
            ("Ipv4Prefixes", spec.ipv4_prefixes.is_some()),
            ("Ipv6PrefixCount", spec.ipv6_prefix_count.is_some()),
            ("Ipv6Prefixes", spec.ipv6_prefixes.is_some()),
            (
                "InterfaceType",
                spec.interface_type
                    .as_deref()
                    .is_some_and(|it| it != "interface"),
            ),
        ])?;
        let existing = spec.network_interface_id.clone();
        Ok(Self {
            subnet: spec.subnet_id.clone(),
            primary: Interface {
                wanted: crate::ops::interfaces::Wanted {
                    description: spec.description.clone().unwrap_or_default(),
                    groups: spec.groups.clone().unwrap_or_default(),
                    addresses: addresses(
                        spec.private_ip_address.as_deref(),
                        &spec.private_ip_addresses,
                        spec.secondary_private_ip_address_count,
                    )?,
                    tags,
                },
                public: spec.associate_public_ip_address,
                // An interface that was there before outlives the instance.
                delete_on_termination: spec.delete_on_termination.unwrap_or(existing.is_none()),
                existing,
            },
        })
    }
}
