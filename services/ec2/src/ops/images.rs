//! Images and instance types.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use super::attachments::MAX_INTERFACES;
use crate::describe::{Query, query};
use crate::errors::Refusal;
use crate::filter::Paths;
use crate::images::{self, BASE};
use crate::instance_types::{self, InstanceType};
use crate::model::image::ImageRow;
use crate::resource::{Described as _, Find as _, Resource as _};
use crate::sharing::{FindShared as _, Shareable as _};
use crate::state::Ec2;
use crate::zones;

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeImagesRequest,
) -> Reply<t::DescribeImagesResult> {
    let wanted = input.image_ids.as_deref().unwrap_or_default();
    let (snapshot, here) = ec2.read(&cx).await?;
    for id in wanted {
        images::find(&snapshot, &here, id)?;
    }
    let owners = input.owners.as_deref().unwrap_or_default();
    let users = input.executable_users.as_deref().unwrap_or_default();
    let mut rows = snapshot.all::<ImageRow>(&here)?;
    rows.extend(snapshot.of_others::<ImageRow>(&here)?);
    rows.sort_by(|a, b| a.meta.id.cmp(&b.meta.id));
    let me = &here.account;
    rows.retain(|row| {
        let granted = users.is_empty() || users.iter().any(|user| row.shared.names(user, me));
        row.is_shown() && asked(wanted, row.id()) && row.is_of(owners, me) && granted
    });
    let shown = asked(wanted, BASE)
        && (owners.is_empty() || owners.iter().any(|owner| images::owned_by(owner)))
        && (users.is_empty() || users.iter().any(|user| user == "all"));
    // Of all ids, the base image's is the first.
    let base = shown.then(|| Ok((BASE.to_owned(), images::base(&cx.region))));
    let rows = rows
        .iter()
        .map(|row| Ok((row.meta.id.clone(), row.shape(&snapshot, &ec2.names)?)));
    let shapes = base.into_iter().chain(rows);
    let query = query!("DescribeImages", input, image_ids);
    let page = ec2.page(&cx, query, images::FILTERS, shapes)?;
    Ok(t::DescribeImagesResult {
        next_token: page.next,
        images: Some(page.items),
    })
}

fn asked(wanted: &[String], id: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|it| it == id)
}

pub(crate) const TYPE_FILTERS: Paths = &[
    ("bare-metal", "BareMetal"),
    (
        "burstable-performance-supported",
        "BurstablePerformanceSupported",
    ),
    ("current-generation", "CurrentGeneration"),
    ("hypervisor", "Hypervisor"),
    ("instance-storage-supported", "InstanceStorageSupported"),
    ("instance-type", "InstanceType"),
    ("memory-info.size-in-mib", "MemoryInfo.SizeInMiB"),
    (
        "processor-info.supported-architecture",
        "ProcessorInfo.SupportedArchitectures",
    ),
    ("vcpu-info.default-vcpus", "VCpuInfo.DefaultVCpus"),
];

fn shape(kind: &InstanceType) -> t::InstanceTypeInfo {
    t::InstanceTypeInfo {
        instance_type: Some(kind.name.into()),
        current_generation: Some(!kind.name.starts_with("t2.")),
        free_tier_eligible: Some(kind.name.ends_with(".micro")),
        supported_usage_classes: Some(vec!["on-demand".into()]),
        supported_root_device_types: Some(vec!["instance-store".into()]),
        supported_virtualization_types: Some(vec!["hvm".into()]),
        bare_metal: Some(false),
        hypervisor: Some("xen".into()),
        processor_info: Some(t::ProcessorInfo {
            supported_architectures: Some(vec![images::ARCHITECTURE.into()]),
            ..Default::default()
        }),
        v_cpu_info: Some(t::VCpuInfo {
            default_v_cpus: Some(kind.processors()),
            default_cores: Some(kind.processors()),
            default_threads_per_core: Some(1),
            ..Default::default()
        }),
        memory_info: Some(t::MemoryInfo {
            size_in_mi_b: Some(kind.memory.into()),
        }),
        instance_storage_supported: Some(kind.store.is_some()),
        instance_storage_info: kind.store.map(|gib| t::InstanceStorageInfo {
            total_size_in_gb: Some(gib.into()),
            disks: Some(vec![t::DiskInfo {
                size_in_gb: Some(gib.into()),
                count: Some(1),
                type_: Some("ssd".into()),
            }]),
            nvme_support: Some("unsupported".into()),
            encryption_support: Some("unsupported".into()),
        }),
        network_info: Some(t::NetworkInfo {
            maximum_network_interfaces: Some(MAX_INTERFACES),
            ipv4_addresses_per_interface: Some(50),
            ipv6_addresses_per_interface: Some(0),
            ipv6_supported: Some(false),
            ena_support: Some("supported".into()),
            efa_supported: Some(false),
            ..Default::default()
        }),
        hibernation_supported: Some(false),
        burstable_performance_supported: Some(kind.burstable),
        dedicated_hosts_supported: Some(false),
        auto_recovery_supported: Some(false),
        ..Default::default()
    }
}

pub(crate) async fn describe_types(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeInstanceTypesRequest,
) -> Reply<t::DescribeInstanceTypesResult> {
    let planes = ec2.planes.as_ref();
    let wanted = input.instance_types.as_deref().unwrap_or_default();
    let unknown: Vec<&str> = wanted
        .iter()
        .map(String::as_str)
        .filter(|name| instance_types::find(planes, name).is_none())
        .collect();
    if !unknown.is_empty() {
        Err(Refusal::new(
            "InvalidInstanceType",
            format!(
                "The following supplied instance types do not exist: [{}]",
                unknown.join(", ")
            ),
        ))?;
    }
    let shapes = instance_types::offered(planes)
        .filter(|kind| wanted.is_empty() || wanted.iter().any(|name| name == kind.name))
        .map(|kind| Ok((kind.name.to_owned(), shape(kind))));
    let query = query!("DescribeInstanceTypes", input, instance_types);
    let page = ec2.page(&cx, query, TYPE_FILTERS, shapes)?;
    Ok(t::DescribeInstanceTypesResult {
        instance_types: Some(page.items),
        next_token: page.next,
    })
}

pub(crate) const OFFERING_FILTERS: Paths =
    &[("instance-type", "InstanceType"), ("location", "Location")];

pub(crate) async fn describe_offerings(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeInstanceTypeOfferingsRequest,
) -> Reply<t::DescribeInstanceTypeOfferingsResult> {
    let by = input.location_type.as_deref().unwrap_or("region");
    let zones = zones::of(&cx.region).into_iter();
    let locations: Vec<String> = match by {
        "region" => vec![cx.region.to_string()],
        "availability-zone" => zones.map(|zone| zone.name).collect(),
        "availability-zone-id" => zones.map(|zone| zone.id).collect(),
        other => Err(Refusal::wrong("locationType", other))?,
    };
    let shapes = instance_types::offered(ec2.planes.as_ref()).flat_map(|kind| {
        locations.iter().map(move |location| {
            let shape = t::InstanceTypeOffering {
                instance_type: Some(kind.name.into()),
                location_type: Some(by.into()),
                location: Some(location.clone()),
            };
            Ok((format!("{} {location}", kind.name), shape))
        })
    });
    let query = Query {
        operation: "DescribeInstanceTypeOfferings",
        filters: input.filters.as_ref(),
        max: input.max_results,
        token: input.next_token.as_deref(),
        dry_run: input.dry_run,
        ids: None,
    };
    let page = ec2.page(&cx, query, OFFERING_FILTERS, shapes)?;
    Ok(t::DescribeInstanceTypeOfferingsResult {
        instance_type_offerings: Some(page.items),
        next_token: page.next,
    })
}
