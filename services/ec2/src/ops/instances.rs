//! Launching and showing instances.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_kit::{Reader as _, Scan};
use gureum_model_ec2::types as t;
use gureum_schema::{Result as Reply, Struct, Timestamp};

use super::groups::{default_vpc, named};
use super::interfaces;
use super::{key_pairs, profiles};
use crate::describe::{Query, chosen, query};
use crate::errors::{Refusal, Result};
use crate::filter::Paths;
use crate::images;
use crate::instance_types;
use crate::launch::Launch;
use crate::machines::Planes;
use crate::mappings::Brought;
use crate::model::attached::Attached;
use crate::model::instance::{self, InstanceRow, State};
use crate::model::interface::{Attachment, InterfaceRow, Public};
use crate::model::pool;
use crate::model::subnet::SubnetRow;
use crate::resource::{Described as _, Find as _, Resource as _};
use crate::state::{Change, Ec2};
use crate::{templated, zones};

/// Writes what is wanted, all of it or nothing; the reconciler boots the machines.
pub(crate) async fn run(
    ec2: Arc<Ec2>,
    cx: Cx,
    given: t::RunInstancesRequest,
) -> Reply<t::Reservation> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let completed = templated::complete(&snapshot, &here, &given)?;
    let input = &completed.input;
    let image = input.image_id.as_deref();
    let image = image.ok_or_else(|| Refusal::missing("ImageId"))?;
    let image = images::available(&snapshot, &here, image)?;
    let brought = image.map(Brought::by).unwrap_or_default();
    drop(snapshot);
    let mut launch = Launch::read(ec2.planes.as_ref(), input, &brought)?;
    launch.tags.extend(completed.tags());
    let planes = ec2.planes()?;
    let ready = planes.machines.ready().await;
    ready.map_err(|error| Refusal::host("Instances", error))?;
    if launch.mappings.has_volumes() || launch.kind.store.is_some() {
        ec2.disks_ready().await?;
    }
    let sealings = launch.mappings.seal(&ec2, &cx).await?;
    let profile = match &input.iam_instance_profile {
        Some(spec) => Some(profiles::find(&cx, spec).await?),
        None => None,
    };
    let token = input.client_token.clone().filter(|token| !token.is_empty());
    let request = ("RunInstances", &given as &dyn Struct);
    let ids = ec2
        .write_once(&cx, input.dry_run, token.as_deref(), request, |w| {
            // It may have been deregistered meanwhile.
            images::available(&*w.tx, w.here, &launch.image)?;
            let (subnet, interface) = place(w, &launch)?;
            let count = admit(w, planes, &launch)?;
            let (subnet, existing) = (subnet, interface);
            if existing.is_some() && count > 1 {
                return Err(Refusal::combination(
                    "Only one instance can be launched with an existing network interface",
                ));
            }
            let public_key = public_key(w, &launch)?;
            let mut ids = vec![id::resource("r")];
            for index in 0..count {
                let mut row = row(w, &launch, &subnet, &ids[0], index);
                row.public_key.clone_from(&public_key);
                row.profile.clone_from(&profile);
                row.client_token.clone_from(&token);
                attach_primary(w, &ec2, &launch, &subnet, existing.clone(), &mut row)?;
                w.put(&row)?;
                launch
                    .mappings
                    .make(w, &row, &sealings, &launch.volume_tags)?;
                ids.push(row.meta.id);
            }
            Ok(ids)
        })
        .await?;
    let (snapshot, here) = ec2.read(&cx).await?;
    let mut instances = Vec::new();
    for id in &ids[1..] {
        if let Some(row) = snapshot.find::<InstanceRow>(&here, id)? {
            instances.push(row.shape(&snapshot, &ec2.names)?);
        }
    }
    Ok(t::Reservation {
        reservation_id: ids.first().cloned(),
        owner_id: Some(cx.account().to_string()),
        groups: Some(Vec::new()),
        instances: Some(instances),
        ..Default::default()
    })
}

impl Ec2 {
    /// The planes; a host without them runs no instances.
    pub(crate) fn planes(&self) -> Result<&Planes> {
        let none = || Refusal::host("Instances", "it has no machine room");
        self.planes.as_ref().ok_or_else(none)
    }
}

/// The subnet that a launch goes to, and the interface that it brings along.
fn place(w: &Change<'_>, launch: &Launch) -> Result<(SubnetRow, Option<InterfaceRow>)> {
    if let Some(id) = &launch.primary.existing {
        let interface = w.need::<InterfaceRow>(id)?;
        if interface.in_use() {
            return Err(Refusal::new(
                "InvalidNetworkInterface.InUse",
                format!("Interface: [{id}] in use."),
            ));
        }
        let subnet = w.need::<SubnetRow>(&interface.subnet)?;
        return Ok((subnet, Some(interface)));
    }
    if let Some(id) = &launch.subnet {
        let subnet = w.need::<SubnetRow>(id)?;
        if launch
            .zone
            .as_ref()
            .is_some_and(|zone| *zone != subnet.zone)
        {
            return Err(Refusal::value(format!(
                "The subnet '{id}' is not in the requested availability zone"
            )));
        }
        return Ok((subnet, None));
    }
    if let Some(zone) = &launch.zone
        && zones::find(&w.here.region, Some(zone), None).is_none()
    {
        return Err(Refusal::value(format!(
            "Invalid availability zone: [{zone}]"
        )));
    }
    let vpc = default_vpc(w)?;
    let mut subnets = w.of_vpc::<SubnetRow>(vpc.id())?;
    subnets.retain(|subnet| subnet.default_for_zone);
    subnets.retain(|subnet| launch.zone.as_ref().is_none_or(|zone| *zone == subnet.zone));
    let subnet = subnets.into_iter().min_by(|a, b| a.zone.cmp(&b.zone));
    let subnet = subnet.ok_or_else(|| {
        Refusal::new(
            "MissingInput",
            "No subnets found for the default VPC. Please specify a subnet.",
        )
    })?;
    Ok((subnet, None))
}

/// How many instances the host has memory for; refuses fewer than asked for at least.
fn admit(w: &Change<'_>, planes: &Planes, launch: &Launch) -> Result<usize> {
    let taken = taken(w)?;
    let free = planes.memory.saturating_sub(taken);
    let fits = usize::try_from(free / launch.kind.bytes()).unwrap_or(usize::MAX);
    let (least, most) = launch.count;
    if fits < least {
        return Err(Refusal::Capacity(format!(
            "We currently do not have sufficient {} capacity: the host has {} MiB of memory left for instances.",
            launch.kind.name,
            free >> 20
        )));
    }
    Ok(most.min(fits))
}

/// The memory of all instances that are up, whoever's they are.
pub(crate) fn taken(w: &Change<'_>) -> Result<u64> {
    let mut sum = 0;
    for row in w.tx.scan(Scan::<InstanceRow>::all()) {
        let row = row?;
        if row.state.is_up() {
            sum += instance_types::known(&row.instance_type).map_or(0, |kind| kind.bytes());
        }
    }
    Ok(sum)
}

fn public_key(w: &Change<'_>, launch: &Launch) -> Result<Option<String>> {
    let Some(name) = &launch.key_name else {
        return Ok(None);
    };
    let pair = key_pairs::named(w, name)?;
    let pair = pair.ok_or_else(|| key_pairs::absent(name))?;
    Ok(Some(format!("{} {name}", pair.public)))
}

fn row(
    w: &Change<'_>,
    launch: &Launch,
    subnet: &SubnetRow,
    reservation: &str,
    index: usize,
) -> InstanceRow {
    InstanceRow {
        meta: w.here.new_meta(&instance::KIND, launch.tags.clone()),
        reservation: reservation.to_owned(),
        // At most a hundred.
        launch_index: i32::try_from(index).unwrap_or(0),
        image: launch.image.clone(),
        instance_type: launch.kind.name.to_owned(),
        key_name: launch.key_name.clone(),
        public_key: None,
        vpc: subnet.vpc.clone(),
        subnet: subnet.meta.id.clone(),
        zone: subnet.zone.clone(),
        state: State::Pending,
        reason: None,
        transition: String::new(),
        launched: w.here.now,
        since: w.here.now,
        user_data: launch.user_data.clone(),
        store_device: launch.mappings.store_device().map(str::to_owned),
        keep_from_termination: launch.keep_from_termination,
        keep_from_stop: launch.keep_from_stop,
        terminate_on_shutdown: launch.terminate_on_shutdown,
        metadata: launch.metadata.clone(),
        detailed: launch.detailed,
        profile: None,
        client_token: None,
        auto_public: false,
        reboot: false,
        responsive: true,
    }
}

/// Gives an instance its `eth0`.
fn attach_primary(
    w: &mut Change<'_>,
    ec2: &Ec2,
    launch: &Launch,
    subnet: &SubnetRow,
    existing: Option<InterfaceRow>,
    row: &mut InstanceRow,
) -> Result<()> {
    let is_new = existing.is_none();
    let mut interface = match existing {
        Some(interface) => interface,
        None => {
            let mut interface = interfaces::make(w, subnet, &launch.primary.wanted)?;
            if !launch.group_names.is_empty() {
                let mut groups = launch.primary.wanted.groups.clone();
                for name in &launch.group_names {
                    groups.push(named(w, None, Some(name))?.meta.id);
                }
                interface.groups = interfaces::groups(w, &subnet.vpc, &groups)?;
            }
            interface
        }
    };
    interface.attachment = Some(Attachment {
        id: id::resource("eni-attach"),
        instance: row.meta.id.clone(),
        device_index: 0,
        delete_on_termination: launch.primary.delete_on_termination,
        at: w.here.now,
    });
    row.auto_public = is_new && launch.primary.public.unwrap_or(subnet.map_public_ip);
    if row.auto_public {
        give_public(w, ec2, &mut interface)?;
    }
    w.put(&interface)
}

/// Gives an interface a public address from the pool, unless it has one.
pub(crate) fn give_public(
    w: &mut Change<'_>,
    ec2: &Ec2,
    interface: &mut InterfaceRow,
) -> Result<()> {
    let owner = interface.meta.id.clone();
    if let Some(primary) = interface.addresses.first_mut()
        && primary.public.is_none()
    {
        primary.public = Some(Public {
            address: pool::take(w.tx, ec2.pool, &owner)?,
            elastic: None,
        });
    }
    Ok(())
}

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeInstancesRequest,
) -> Reply<t::DescribeInstancesResult> {
    not_both(input.instance_ids.as_ref(), input.max_results)?;
    let (snapshot, here) = ec2.read(&cx).await?;
    let mut rows = chosen::<InstanceRow>(&snapshot, &here, input.instance_ids.as_ref())?;
    rows.sort_by_key(position);
    let attached = Attached::here(&snapshot, &here)?;
    let shapes = rows.iter().map(|row| {
        let shape = attached.shape(row, &snapshot, &ec2.names)?;
        Ok((position(row), shape))
    });
    let query = query!("DescribeInstances", input, instance_ids);
    let page = ec2.page(&cx, query, InstanceRow::FILTERS, shapes)?;
    let of: BTreeMap<&str, &String> = rows.iter().map(|it| (it.id(), &it.reservation)).collect();
    let reservation = |shape: &t::Instance| {
        let id = shape.instance_id.as_deref()?;
        of.get(id).map(|reservation| (*reservation).clone())
    };
    let mut reservations: Vec<t::Reservation> = Vec::new();
    for shape in page.items {
        let id = reservation(&shape);
        match reservations
            .last_mut()
            .filter(|last| last.reservation_id == id)
        {
            Some(last) => last.instances.get_or_insert_default().push(shape),
            None => reservations.push(t::Reservation {
                reservation_id: id,
                owner_id: Some(cx.account().to_string()),
                groups: Some(Vec::new()),
                instances: Some(vec![shape]),
                ..Default::default()
            }),
        }
    }
    Ok(t::DescribeInstancesResult {
        next_token: page.next,
        reservations: Some(reservations),
    })
}

/// Listings keep the instances of a reservation together.
fn position(row: &InstanceRow) -> String {
    format!("{} {:04}", row.reservation, row.launch_index)
}

fn not_both(ids: Option<&Vec<String>>, max: Option<i32>) -> Result<()> {
    if ids.is_some_and(|ids| !ids.is_empty()) && max.is_some() {
        return Err(Refusal::combination(
            "The parameter instancesSet cannot be used with the parameter maxResults",
        ));
    }
    Ok(())
}

pub(crate) const STATUS_FILTERS: Paths = &[
    ("availability-zone", "AvailabilityZone"),
    ("instance-state-code", "InstanceState.Code"),
    ("instance-state-name", "InstanceState.Name"),
    (
        "instance-status.reachability",
        "InstanceStatus.Details.Status",
    ),
    ("instance-status.status", "InstanceStatus.Status"),
    ("system-status.reachability", "SystemStatus.Details.Status"),
    ("system-status.status", "SystemStatus.Status"),
];

/// The checks of running instances: the system's is that the plane sees the machine, the
/// instance's that it reacts.
pub(crate) async fn describe_status(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeInstanceStatusRequest,
) -> Reply<t::DescribeInstanceStatusResult> {
    not_both(input.instance_ids.as_ref(), input.max_results)?;
    let (snapshot, here) = ec2.read(&cx).await?;
    let rows = chosen::<InstanceRow>(&snapshot, &here, input.instance_ids.as_ref())?;
    let all = input.include_all_instances == Some(true);
    let shapes = rows
        .into_iter()
        .filter(|row| all || row.state == State::Running)
        .map(|row| Ok((row.meta.id.clone(), status(&row))));
    let query = Query {
        operation: "DescribeInstanceStatus",
        ids: input.instance_ids.as_ref(),
        filters: input.filters.as_ref(),
        max: input.max_results,
        token: input.next_token.as_deref(),
        dry_run: input.dry_run,
    };
    let page = ec2.page(&cx, query, STATUS_FILTERS, shapes)?;
    Ok(t::DescribeInstanceStatusResult {
        instance_statuses: Some(page.items),
        next_token: page.next,
    })
}

fn status(row: &InstanceRow) -> t::InstanceStatus {
    let running = row.state == State::Running;
    let summary = |passes: bool| t::InstanceStatusSummary {
        status: Some(
            match (running, passes) {
                (false, _) => "not-applicable",
                (true, true) => "ok",
                (true, false) => "impaired",
            }
            .into(),
        ),
        details: running.then(|| {
            vec![t::InstanceStatusDetails {
                name: Some("reachability".into()),
                status: Some(if passes { "passed" } else { "failed" }.into()),
                impaired_since: None,
            }]
        }),
    };
    t::InstanceStatus {
        availability_zone: Some(row.zone.clone()),
        availability_zone_id: zones::id(&row.meta.region, &row.zone),
        events: Some(Vec::new()),
        instance_id: Some(row.meta.id.clone()),
        instance_state: Some(row.state.shape()),
        instance_status: Some(summary(row.responsive)),
        system_status: Some(summary(true)),
        ..Default::default()
    }
}

pub(crate) async fn console_output(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::GetConsoleOutputRequest,
) -> Reply<t::GetConsoleOutputResult> {
    use base64::Engine as _;
    let (snapshot, here) = ec2.read(&cx).await?;
    let row = snapshot.need::<InstanceRow>(&here, &input.instance_id)?;
    let planes = ec2.planes()?;
    let text = planes.machines.console(row.id()).await;
    let text = text.map_err(|error| Refusal::Broken(error.to_string()))?;
    Ok(t::GetConsoleOutputResult {
        instance_id: Some(input.instance_id),
        timestamp: Some(Timestamp(here.now)),
        output: Some(base64::engine::general_purpose::STANDARD.encode(text)),
    })
}
