//! Instances and their states.

use bytes::Bytes;
use gureum_kit::Reader;
use gureum_model_ec2::types as t;
use gureum_schema::Timestamp;
use serde::{Deserialize, Serialize};

use crate::errors::Result;
use crate::filter::Paths;
use crate::model::interface::InterfaceRow;
use crate::model::volume::VolumeRow;
use crate::names::{self, Names};
use crate::reconcile::volumes::attached;
use crate::resource::{Described, Find, Kind, Meta, resource};
use crate::{instance_types, tags, zones};

pub(crate) const KIND: Kind = Kind {
    prefix: "i",
    name: "instance",
    label: "instance",
    not_found: "InvalidInstanceID.NotFound",
    malformed: "InvalidInstanceID.Malformed",
    ownerless: false,
};

/// How long a terminated instance is still shown, in milliseconds.
pub(crate) const SHOWN: i64 = 3_600_000;

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct InstanceRow {
    pub(crate) meta: Meta,
    /// `r-…`
    pub(crate) reservation: String,
    pub(crate) launch_index: i32,
    pub(crate) image: String,
    pub(crate) instance_type: String,
    pub(crate) key_name: Option<String>,
    /// The public key as it was at launch: `ssh-…`.
    pub(crate) public_key: Option<String>,
    pub(crate) vpc: String,
    pub(crate) subnet: String,
    pub(crate) zone: String,
    pub(crate) state: State,
    /// Why it came into its state: code and sentence.
    pub(crate) reason: Option<(String, String)>,
    pub(crate) transition: String,
    /// When it was last started.
    pub(crate) launched: i64,
    /// When it came into its state.
    pub(crate) since: i64,
    pub(crate) user_data: Option<Bytes>,
    /// Where its instance store is found, unless it is the usual place.
    #[serde(default)]
    pub(crate) store_device: Option<String>,
    pub(crate) keep_from_termination: bool,
    pub(crate) keep_from_stop: bool,
    /// What its own shutdown leads to.
    pub(crate) terminate_on_shutdown: bool,
    pub(crate) metadata: MetadataOptions,
    /// A point a minute is kept of what it does, instead of one in five.
    #[serde(default)]
    pub(crate) detailed: bool,
    pub(crate) profile: Option<Profile>,
    pub(crate) client_token: Option<String>,
    /// It has a public address from the pool whenever it is up.
    pub(crate) auto_public: bool,
    /// A reboot that was asked for and is still to be done.
    pub(crate) reboot: bool,
    /// Whether its machine reacts.
    pub(crate) responsive: bool,
}

/// What is wanted of an instance, and how far that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Pending,
    Running,
    ShuttingDown,
    Terminated,
    Stopping,
    Stopped,
}

impl State {
    #[cfg(test)]
    pub(crate) const ALL: [State; 6] = [
        State::Pending,
        State::Running,
        State::ShuttingDown,
        State::Terminated,
        State::Stopping,
        State::Stopped,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Running => "running",
            State::ShuttingDown => "shutting-down",
            State::Terminated => "terminated",
            State::Stopping => "stopping",
            State::Stopped => "stopped",
        }
    }

    fn code(self) -> i32 {
        match self {
            State::Pending => 0,
            State::Running => 16,
            State::ShuttingDown => 32,
            State::Terminated => 48,
            State::Stopping => 64,
            State::Stopped => 80,
        }
    }

    /// Whether it takes memory of the host.
    pub(crate) fn is_up(self) -> bool {
        !matches!(self, State::Terminated | State::Stopped)
    }

    pub(crate) fn shape(self) -> t::InstanceState {
        t::InstanceState {
            code: Some(self.code()),
            name: Some(self.name().into()),
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct MetadataOptions {
    pub(crate) tokens_required: bool,
    pub(crate) hop_limit: i32,
    pub(crate) enabled: bool,
    pub(crate) tags: bool,
}

impl MetadataOptions {
    pub(crate) fn shape(&self) -> t::InstanceMetadataOptionsResponse {
        let switch = |on| Some(if on { "enabled" } else { "disabled" }.to_owned());
        t::InstanceMetadataOptionsResponse {
            state: Some("applied".into()),
            http_tokens: Some(
                if self.tokens_required {
                    "required"
                } else {
                    "optional"
                }
                .into(),
            ),
            http_put_response_hop_limit: Some(self.hop_limit),
            http_endpoint: switch(self.enabled),
            http_protocol_ipv6: switch(false),
            instance_metadata_tags: switch(self.tags),
        }
    }
}

/// The instance profile, and the association that binds it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// `iip-assoc-…`
    pub(crate) association: String,
    pub(crate) arn: String,
    pub(crate) id: String,
    pub(crate) since: i64,
}

impl Profile {
    pub(crate) fn shape(&self) -> t::IamInstanceProfile {
        t::IamInstanceProfile {
            arn: Some(self.arn.clone()),
            id: Some(self.id.clone()),
        }
    }
}

resource!(InstanceRow, "ec2.instance", KIND, vpc: vpc);

impl InstanceRow {
    /// How often its figures are kept.
    pub(crate) fn monitoring(&self) -> t::Monitoring {
        let state = if self.detailed { "enabled" } else { "disabled" };
        t::Monitoring {
            state: Some(state.into()),
        }
    }

    /// Its interfaces, `eth0` first.
    pub(crate) fn interfaces(&self, reader: &impl Reader) -> Result<Vec<InterfaceRow>> {
        let mut rows = reader.all::<InterfaceRow>(&self.meta.here())?;
        let index = |row: &InterfaceRow| row.attachment.as_ref().map(|at| at.device_index);
        rows.retain(|row| {
            row.attachment
                .as_ref()
                .is_some_and(|at| at.instance == self.meta.id)
        });
        rows.sort_by_key(index);
        Ok(rows)
    }

    pub(crate) fn goes(&mut self, state: State, now: i64) {
        self.state = state;
        self.since = now;
    }

    fn cpu_options(&self) -> Option<t::CpuOptions> {
        let kind = instance_types::known(&self.instance_type)?;
        Some(t::CpuOptions {
            core_count: Some(kind.processors()),
            threads_per_core: Some(1),
            ..Default::default()
        })
    }
}

/// An interface as its instance shows it.
fn interface(shape: t::NetworkInterface) -> t::InstanceNetworkInterface {
    let attachment = shape.attachment.unwrap_or_default();
    let addresses = shape.private_ip_addresses.unwrap_or_default().into_iter();
    t::InstanceNetworkInterface {
        association: shape.association.map(association),
        attachment: Some(t::InstanceNetworkInterfaceAttachment {
            attach_time: attachment.attach_time,
            attachment_id: attachment.attachment_id,
            delete_on_termination: attachment.delete_on_termination,
            device_index: attachment.device_index,
            status: attachment.status,
            network_card_index: attachment.network_card_index,
            ..Default::default()
        }),
        description: shape.description,
        groups: shape.groups,
        ipv6_addresses: Some(Vec::new()),
        mac_address: shape.mac_address,
        network_interface_id: shape.network_interface_id,
        owner_id: shape.owner_id,
        private_dns_name: shape.private_dns_name,
        private_ip_address: shape.private_ip_address,
        private_ip_addresses: Some(
            addresses
                .map(|address| t::InstancePrivateIpAddress {
                    association: address.association.map(association),
                    primary: address.primary,
                    private_dns_name: address.private_dns_name,
                    private_ip_address: address.private_ip_address,
                })
                .collect(),
        ),
        source_dest_check: shape.source_dest_check,
        status: shape.status,
        subnet_id: shape.subnet_id,
        vpc_id: shape.vpc_id,
        interface_type: shape.interface_type,
        ..Default::default()
    }
}

fn association(shape: t::NetworkInterfaceAssociation) -> t::InstanceNetworkInterfaceAssociation {
    t::InstanceNetworkInterfaceAssociation {
        ip_owner_id: shape.ip_owner_id,
        public_dns_name: shape.public_dns_name,
        public_ip: shape.public_ip,
        ..Default::default()
    }
}

impl Described for InstanceRow {
    type Shape = t::Instance;
    const FILTERS: Paths = &[
        ("architecture", "Architecture"),
        (
            "block-device-mapping.device-name",
            "BlockDeviceMappings.DeviceName",
        ),
        (
            "block-device-mapping.status",
            "BlockDeviceMappings.Ebs.Status",
        ),
        (
            "block-device-mapping.volume-id",
            "BlockDeviceMappings.Ebs.VolumeId",
        ),
        ("availability-zone", "Placement.AvailabilityZone"),
        ("availability-zone-id", "Placement.AvailabilityZoneId"),
        ("client-token", "ClientToken"),
        ("dns-name", "PublicDnsName"),
        ("hypervisor", "Hypervisor"),
        ("iam-instance-profile.arn", "IamInstanceProfile.Arn"),
        ("iam-instance-profile.id", "IamInstanceProfile.Id"),
        ("image-id", "ImageId"),
        ("instance-id", "InstanceId"),
        ("instance-state-code", "State.Code"),
        ("instance-state-name", "State.Name"),
        ("instance-type", "InstanceType"),
        ("instance.group-id", "SecurityGroups.GroupId"),
        ("instance.group-name", "SecurityGroups.GroupName"),
        ("ip-address", "PublicIpAddress"),
        ("key-name", "KeyName"),
        ("launch-index", "AmiLaunchIndex"),
        ("launch-time", "LaunchTime"),
        ("metadata-options.http-tokens", "MetadataOptions.HttpTokens"),
        ("monitoring-state", "Monitoring.State"),
        (
            "network-interface.addresses.private-ip-address",
            "NetworkInterfaces.PrivateIpAddresses.PrivateIpAddress",
        ),
        (
            "network-interface.association.public-ip",
            "NetworkInterfaces.Association.PublicIp",
        ),
        (
            "network-interface.group-id",
            "NetworkInterfaces.Groups.GroupId",
        ),
        (
            "network-interface.network-interface-id",
            "NetworkInterfaces.NetworkInterfaceId",
        ),
        ("network-interface.subnet-id", "NetworkInterfaces.SubnetId"),
        ("network-interface.vpc-id", "NetworkInterfaces.VpcId"),
        ("private-dns-name", "PrivateDnsName"),
        ("private-ip-address", "PrivateIpAddress"),
        ("root-device-type", "RootDeviceType"),
        ("source-dest-check", "SourceDestCheck"),
        ("state-reason-code", "StateReason.Code"),
        ("subnet-id", "SubnetId"),
        ("tenancy", "Placement.Tenancy"),
        ("virtualization-type", "VirtualizationType"),
        ("vpc-id", "VpcId"),
    ];

    fn shape(&self, reader: &impl Reader, names: &Names) -> Result<t::Instance> {
        let interfaces = self.interfaces(reader)?;
        let volumes = attached(reader, &self.meta.here(), &self.meta.id)?;
        self.shown(reader, names, &interfaces, &volumes)
    }
}

impl InstanceRow {
    /// Its shape, with what is attached to it: `eth0` first.
    pub(crate) fn shown(
        &self,
        reader: &impl Reader,
        names: &Names,
        interfaces: &[InterfaceRow],
        volumes: &[VolumeRow],
    ) -> Result<t::Instance> {
        let region = &self.meta.region;
        let interfaces = interfaces.iter().map(|row| row.shape(reader, names));
        let interfaces = interfaces.collect::<Result<Vec<_>>>()?;
        let mappings = volumes.iter().filter_map(VolumeRow::mapping).collect();
        let first = interfaces.first().cloned().unwrap_or_default();
        let public = first.association.as_ref();
        let private = first
            .private_ip_address
            .as_ref()
            .and_then(|text| text.parse().ok());
        let gone = self.state == State::Terminated;
        Ok(t::Instance {
            architecture: Some(crate::images::ARCHITECTURE.into()),
            block_device_mappings: Some(mappings),
            client_token: Some(self.client_token.clone().unwrap_or_default()),
            ebs_optimized: Some(false),
            ena_support: Some(true),
            hypervisor: Some("xen".into()),
            iam_instance_profile: self.profile.as_ref().map(Profile::shape),
            public_dns_name: Some(
                public
                    .and_then(|it| it.public_dns_name.clone())
                    .unwrap_or_default(),
            ),
            public_ip_address: public.and_then(|it| it.public_ip.clone()),
            private_dns_name: Some(
                private.map_or_else(String::new, |it| names::private(region, it)),
            ),
            private_ip_address: first.private_ip_address,
            security_groups: Some(first.groups.unwrap_or_default()),
            source_dest_check: first.source_dest_check,
            network_interfaces: Some(interfaces.into_iter().map(interface).collect()),
            root_device_name: Some(crate::images::ROOT_DEVICE.into()),
            root_device_type: Some("instance-store".into()),
            state_reason: self.reason.as_ref().map(|(code, message)| t::StateReason {
                code: Some(code.clone()),
                message: Some(message.clone()),
            }),
            tags: tags::shapes(&self.meta.tags),
            virtualization_type: Some("hvm".into()),
            cpu_options: self.cpu_options(),
            metadata_options: Some(self.metadata.shape()),
            platform_details: Some("Linux/UNIX".into()),
            usage_operation: Some("RunInstances".into()),
            instance_id: Some(self.meta.id.clone()),
            image_id: Some(self.image.clone()),
            state: Some(self.state.shape()),
            state_transition_reason: Some(self.transition.clone()),
            key_name: self.key_name.clone(),
            ami_launch_index: Some(self.launch_index),
            product_codes: Some(Vec::new()),
            instance_type: Some(self.instance_type.clone()),
            launch_time: Some(Timestamp(self.launched)),
            placement: Some(t::Placement {
                availability_zone: Some(self.zone.clone()),
                availability_zone_id: zones::id(region, &self.zone),
                group_name: Some(String::new()),
                tenancy: Some("default".into()),
                ..Default::default()
            }),
            monitoring: Some(self.monitoring()),
            subnet_id: (!gone).then(|| self.subnet.clone()),
            vpc_id: (!gone).then(|| self.vpc.clone()),
            ..Default::default()
        })
    }
}
