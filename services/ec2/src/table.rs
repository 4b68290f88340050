//! The table: operation, what it asks of the policy engine, handler.

use std::sync::Arc;

use gureum_dispatch::{Service, ServiceBuilder};
use gureum_model_ec2::{SERVICE, op};
use gureum_schema::Operation;

use crate::asks::Asks;
use crate::errors;
use crate::launch;
use crate::model::acl::{self, AclRow};
use crate::model::address::{self, ElasticIpRow};
use crate::model::dhcp::{self, DhcpOptionsRow};
use crate::model::endpoint::{self, EndpointRow};
use crate::model::flow_log::FlowLogRow;
use crate::model::gateway::{self, InternetGatewayRow};
use crate::model::group::{self, GroupRow, RULE};
use crate::model::instance::InstanceRow;
use crate::model::interface::{self, InterfaceRow};
use crate::model::key_pair::{self, KeyPairRow};
use crate::model::launch_template;
use crate::model::nat::{self, NatGatewayRow};
use crate::model::peering::{self, PeeringRow};
use crate::model::prefix_list::{self, PrefixListRow};
use crate::model::route::{self, RouteTableRow};
use crate::model::snapshot::{self, SnapshotRow};
use crate::model::subnet::{self, SubnetRow};
use crate::model::volume::{self, VolumeRow};
use crate::model::vpc::{self, VpcRow};
use crate::ops;
use crate::state::Ec2;
use crate::templated;

type Table = ServiceBuilder<Ec2>;

/// What an operation asks, beginning with nothing: without a resource it asks about `*`.
type Question<O> = for<'a> fn(Asks<'a>, &<O as Operation>::In) -> Asks<'a>;

/// `Operation [refused members] question => handler;`
macro_rules! operations {
    ($table:expr; $($op:ident $([$($refused:literal),*])? |$a:ident, $i:tt| $question:expr => $handler:path;)*) => {
        $table$(.op_refusing::<op::$op, _>(
            &[$($($refused),*)?],
            |ec2, cx, input| {
                let question: Question<op::$op> = |$a, $i| $question;
                let asks = Asks::new(ec2, cx, concat!("ec2:", stringify!($op)));
                Ok(question(asks, input).finish())
            },
            $handler,
        ))*
    };
}

impl Ec2 {
    /// The service, to be wired in.
    pub fn service(self: &Arc<Self>) -> Service {
        let table = Service::builder(&SERVICE, Arc::clone(self));
        let table = key_pairs(instances(interfaces(addresses(filters(routes(networks(
            table,
        )))))));
        let table = volumes(prefix_lists(launch_templates(table)));
        let table = tags(table).denied(errors::denied);
        table.invalid(errors::invalid).build()
    }
}

/// VPCs, subnets, DHCP options, peering.
fn networks(table: Table) -> Table {
    use ops::{account, dhcp as options, peerings, subnets, vpcs};
    operations! { table;
        DescribeRegions |a, _| a => account::describe_regions;
        DescribeAvailabilityZones |a, _| a => account::describe_zones;
        DescribeAccountAttributes |a, _| a => account::describe_attributes;

        CreateVpc [
            "Ipv6Pool", "Ipv6CidrBlock", "Ipv4IpamPoolId", "Ipv4NetmaskLength", "Ipv6IpamPoolId",
            "Ipv6NetmaskLength", "Ipv6CidrBlockNetworkBorderGroup", "VpcEncryptionControl"
        ] |a, i| a.creates(&vpc::KIND, &i.tag_specifications) => vpcs::create;
        CreateDefaultVpc |a, _| a.creates(&vpc::KIND, &None) => vpcs::create_default;
        DeleteVpc |a, i| a.on::<VpcRow>(&i.vpc_id) => vpcs::delete;
        DescribeVpcs |a, _| a => vpcs::describe;
        DescribeVpcAttribute |a, i| a.on::<VpcRow>(&i.vpc_id) => vpcs::describe_attribute;
        ModifyVpcAttribute |a, i| a.on::<VpcRow>(&i.vpc_id) => vpcs::modify_attribute;
        AssociateVpcCidrBlock [
            "Ipv6CidrBlockNetworkBorderGroup", "Ipv6Pool", "Ipv6CidrBlock", "Ipv4IpamPoolId",
            "Ipv4NetmaskLength", "Ipv6IpamPoolId", "Ipv6NetmaskLength"
        ] |a, i| a.on::<VpcRow>(&i.vpc_id) => vpcs::associate_block;
        DisassociateVpcCidrBlock |a, _| a => vpcs::disassociate_block;

        CreateSubnet [
            "Ipv6CidrBlock", "OutpostArn", "Ipv4IpamPoolId", "Ipv4NetmaskLength",
            "Ipv6IpamPoolId", "Ipv6NetmaskLength"
        ] |a, i| a.creates(&subnet::KIND, &i.tag_specifications).on::<VpcRow>(&i.vpc_id)
            => subnets::create;
        CreateDefaultSubnet |a, _| a.creates(&subnet::KIND, &None) => subnets::create_default;
        DeleteSubnet |a, i| a.on::<SubnetRow>(&i.subnet_id) => subnets::delete;
        DescribeSubnets |a, _| a => subnets::describe;
        ModifySubnetAttribute [
            "CustomerOwnedIpv4Pool", "EnableLniAtDeviceIndex", "DisableLniAtDeviceIndex"
        ] |a, i| a.on::<SubnetRow>(&i.subnet_id) => subnets::modify_attribute;

        CreateDhcpOptions |a, i| a.creates(&dhcp::KIND, &i.tag_specifications) => options::create;
        AssociateDhcpOptions |a, i| match i.dhcp_options_id.as_str() {
            "default" => a.on::<VpcRow>(&i.vpc_id),
            id => a.on::<VpcRow>(&i.vpc_id).on::<DhcpOptionsRow>(id),
        } => options::associate;
        DeleteDhcpOptions |a, i| a.on::<DhcpOptionsRow>(&i.dhcp_options_id) => options::delete;
        DescribeDhcpOptions |a, _| a => options::describe;

        CreateVpcPeeringConnection |a, i| a
            .creates(&peering::KIND, &i.tag_specifications)
            .on::<VpcRow>(&i.vpc_id)
            => peerings::create;
        AcceptVpcPeeringConnection |a, i| a.on::<PeeringRow>(&i.vpc_peering_connection_id)
            => peerings::accept;
        RejectVpcPeeringConnection |a, i| a.on::<PeeringRow>(&i.vpc_peering_connection_id)
            => peerings::reject;
        DeleteVpcPeeringConnection |a, i| a.on::<PeeringRow>(&i.vpc_peering_connection_id)
            => peerings::delete;
        DescribeVpcPeeringConnections |a, _| a => peerings::describe;
    }
}

/// Gateways of all kinds, and the tables that lead to them.
fn routes(table: Table) -> Table {
    use ops::{endpoints, gateways, nat_gateways, propagation, route_tables, routes};
    operations! { table;
        CreateInternetGateway |a, i| a.creates(&gateway::KIND, &i.tag_specifications)
            => gateways::create;
        AttachInternetGateway |a, i| a
            .on::<InternetGatewayRow>(&i.internet_gateway_id)
            .on::<VpcRow>(&i.vpc_id)
            => gateways::attach;
        DetachInternetGateway |a, i| a
            .on::<InternetGatewayRow>(&i.internet_gateway_id)
            .on::<VpcRow>(&i.vpc_id)
            => gateways::detach;
        DeleteInternetGateway |a, i| a.on::<InternetGatewayRow>(&i.internet_gateway_id)
            => gateways::delete;
        DescribeInternetGateways |a, _| a => gateways::describe;

        CreateNatGateway [
            "VpcId", "AvailabilityZoneAddresses", "SecondaryAllocationIds",
            "SecondaryPrivateIpAddresses", "SecondaryPrivateIpAddressCount"
        ] |a, i| a
            .creates(&nat::KIND, &i.tag_specifications)
            .on_opt::<SubnetRow>(&i.subnet_id)
            .on_opt::<ElasticIpRow>(&i.allocation_id)
            => nat_gateways::create;
        DeleteNatGateway |a, i| a.on::<NatGatewayRow>(&i.nat_gateway_id) => nat_gateways::delete;
        DescribeNatGateways |a, _| a => nat_gateways::describe;

        CreateRouteTable |a, i| a
            .creates(&route::KIND, &i.tag_specifications)
            .on::<VpcRow>(&i.vpc_id)
            => route_tables::create;
        DeleteRouteTable |a, i| a.on::<RouteTableRow>(&i.route_table_id) => route_tables::delete;
        DescribeRouteTables |a, _| a => route_tables::describe;
        AssociateRouteTable ["GatewayId", "PublicIpv4Pool"] |a, i| a
            .on::<RouteTableRow>(&i.route_table_id)
            .on_opt::<SubnetRow>(&i.subnet_id)
            => route_tables::associate;
        DisassociateRouteTable |a, _| a => route_tables::disassociate;
        ReplaceRouteTableAssociation |a, i| a.on::<RouteTableRow>(&i.route_table_id)
            => route_tables::replace_association;
        CreateRoute [
            "DestinationPrefixListId", "VpcEndpointId", "TransitGatewayId", "LocalGatewayId",
            "CarrierGatewayId", "CoreNetworkArn", "OdbNetworkArn", "DestinationIpv6CidrBlock",
            "EgressOnlyInternetGatewayId"
        ] |a, i| a.on::<RouteTableRow>(&i.route_table_id) => routes::create;
        ReplaceRoute [
            "DestinationPrefixListId", "VpcEndpointId", "TransitGatewayId", "LocalGatewayId",
            "CarrierGatewayId", "CoreNetworkArn", "OdbNetworkArn", "DestinationIpv6CidrBlock",
            "EgressOnlyInternetGatewayId"
        ] |a, i| a.on::<RouteTableRow>(&i.route_table_id) => routes::replace;
        DeleteRoute ["DestinationPrefixListId", "DestinationIpv6CidrBlock"]
            |a, i| a.on::<RouteTableRow>(&i.route_table_id) => routes::delete;

        EnableVgwRoutePropagation |a, i| a.on::<RouteTableRow>(&i.route_table_id)
            => propagation::enable;
        DisableVgwRoutePropagation |a, i| a.on::<RouteTableRow>(&i.route_table_id)
            => propagation::disable;

        CreateVpcEndpoint [
            "SubnetIds", "SecurityGroupIds", "DnsOptions", "SubnetConfigurations",
            "ServiceNetworkArn", "ResourceConfigurationArn",
            "ServiceRegion"
        ] |a, i| a
            .creates(&endpoint::KIND, &i.tag_specifications)
            .on::<VpcRow>(&i.vpc_id)
            .on_all::<RouteTableRow>(i.route_table_ids.as_deref().unwrap_or_default())
            => endpoints::create;
        ModifyVpcEndpoint [
            "AddSubnetIds", "RemoveSubnetIds", "AddSecurityGroupIds",
            "RemoveSecurityGroupIds", "DnsOptions", "SubnetConfigurations"
        ] |a, i| a
            .on::<EndpointRow>(&i.vpc_endpoint_id)
            .on_all::<RouteTableRow>(i.add_route_table_ids.as_deref().unwrap_or_default())
            => endpoints::modify;
        DeleteVpcEndpoints |a, i| a.on_all::<EndpointRow>(&i.vpc_endpoint_ids)
            => endpoints::delete;
        DescribeVpcEndpoints |a, _| a => endpoints::describe;
        DescribeVpcEndpointServices ["ServiceRegions"] |a, _| a => endpoints::describe_services;
        DescribePrefixLists |a, _| a => endpoints::describe_prefix_lists;

        CreateFlowLogs ["DeliverCrossAccountRole"] |a, i| ops::flow_logs::asks(a, i)
            => ops::flow_logs::create;
        DeleteFlowLogs |a, i| a.on_all::<FlowLogRow>(&i.flow_log_ids) => ops::flow_logs::delete;
        DescribeFlowLogs |a, _| a => ops::flow_logs::describe;
    }
}

/// Security groups and network ACLs.
fn filters(table: Table) -> Table {
    use ops::{acls, group_rules as rules, groups};
    operations! { table;
        CreateSecurityGroup |a, i| a
            .creates(&group::KIND, &i.tag_specifications)
            .on_opt::<VpcRow>(&i.vpc_id)
            => groups::create;
        DeleteSecurityGroup |a, i| a.on_opt::<GroupRow>(&i.group_id) => groups::delete;
        DescribeSecurityGroups |a, _| a => groups::describe;
        DescribeSecurityGroupRules |a, _| a => groups::describe_rules;
        AuthorizeSecurityGroupIngress |a, i| a
            .on_opt::<GroupRow>(&i.group_id)
            .tags_new(&RULE, &i.tag_specifications)
            => rules::authorize_ingress;
        AuthorizeSecurityGroupEgress |a, i| a
            .on::<GroupRow>(&i.group_id)
            .tags_new(&RULE, &i.tag_specifications)
            => rules::authorize_egress;
        RevokeSecurityGroupIngress |a, i| a.on_opt::<GroupRow>(&i.group_id)
            => rules::revoke_ingress;
        RevokeSecurityGroupEgress |a, i| a.on::<GroupRow>(&i.group_id) => rules::revoke_egress;
        ModifySecurityGroupRules |a, i| a.on::<GroupRow>(&i.group_id) => rules::modify;
        UpdateSecurityGroupRuleDescriptionsIngress |a, i| a.on_opt::<GroupRow>(&i.group_id)
            => rules::describe_ingress_anew;
        UpdateSecurityGroupRuleDescriptionsEgress |a, i| a.on_opt::<GroupRow>(&i.group_id)
            => rules::describe_egress_anew;

        CreateNetworkAcl |a, i| a
            .creates(&acl::KIND, &i.tag_specifications)
            .on::<VpcRow>(&i.vpc_id)
            => acls::create;
        DeleteNetworkAcl |a, i| a.on::<AclRow>(&i.network_acl_id) => acls::delete;
        DescribeNetworkAcls |a, _| a => acls::describe;
        CreateNetworkAclEntry |a, i| a.on::<AclRow>(&i.network_acl_id) => acls::create_entry;
        ReplaceNetworkAclEntry |a, i| a.on::<AclRow>(&i.network_acl_id) => acls::replace_entry;
        DeleteNetworkAclEntry |a, i| a.on::<AclRow>(&i.network_acl_id) => acls::delete_entry;
        ReplaceNetworkAclAssociation |a, i| a.on::<AclRow>(&i.network_acl_id)
            => acls::replace_association;
    }
}

/// Elastic addresses.
fn addresses(table: Table) -> Table {
    use ops::addresses;
    operations! { table;
        AllocateAddress ["Address", "CustomerOwnedIpv4Pool", "IpamPoolId"]
            |a, i| a.creates(&address::KIND, &i.tag_specifications) => addresses::allocate;
        AssociateAddress |a, i| a
            .on_opt::<ElasticIpRow>(&i.allocation_id)
            .on_opt::<InterfaceRow>(&i.network_interface_id)
            => addresses::associate;
        DisassociateAddress |a, _| a => addresses::disassociate;
        ReleaseAddress ["NetworkBorderGroup"] |a, i| a.on_opt::<ElasticIpRow>(&i.allocation_id)
            => addresses::release;
        DescribeAddresses |a, _| a => addresses::describe;
    }
}

/// Network interfaces.
fn interfaces(table: Table) -> Table {
    use ops::{attachments, interface_addresses, interfaces};
    operations! { table;
        CreateNetworkInterface [
            "Ipv4Prefixes", "Ipv4PrefixCount", "Ipv6Prefixes", "Ipv6PrefixCount",
            "ConnectionTrackingSpecification", "Operator", "Ipv6Addresses", "Ipv6AddressCount"
        ] |a, i| a
            .creates(&interface::KIND, &i.tag_specifications)
            .on::<SubnetRow>(&i.subnet_id)
            .on_all::<GroupRow>(i.groups.as_deref().unwrap_or_default())
            => interfaces::create;
        DeleteNetworkInterface |a, i| a.on::<InterfaceRow>(&i.network_interface_id)
            => interfaces::delete;
        DescribeNetworkInterfaces ["IncludeManagedResources"] |a, _| a => interfaces::describe;
        DescribeNetworkInterfaceAttribute |a, i| a.on::<InterfaceRow>(&i.network_interface_id)
            => interfaces::describe_attribute;
        ModifyNetworkInterfaceAttribute [
            "EnaSrdSpecification", "EnablePrimaryIpv6", "ConnectionTrackingSpecification",
            "AssociatePublicIpAddress", "AssociatedSubnetIds"
        ] |a, i| a
            .on::<InterfaceRow>(&i.network_interface_id)
            .on_all::<GroupRow>(i.groups.as_deref().unwrap_or_default())
            => interfaces::modify_attribute;
        AttachNetworkInterface ["EnaSrdSpecification", "EnaQueueCount"] |a, i| a
            .on::<InterfaceRow>(&i.network_interface_id)
            .on::<InstanceRow>(&i.instance_id)
            => attachments::attach;
        DetachNetworkInterface |a, _| a => attachments::detach;
        AssignPrivateIpAddresses ["Ipv4Prefixes", "Ipv4PrefixCount"]
            |a, i| a.on::<InterfaceRow>(&i.network_interface_id) => interface_addresses::assign;
        UnassignPrivateIpAddresses ["Ipv4Prefixes"]
            |a, i| a.on::<InterfaceRow>(&i.network_interface_id) => interface_addresses::unassign;
    }
}

/// Instances, and what they are made of.
fn instances(table: Table) -> Table {
    use ops::{images, instance_attributes as attributes, instance_states as states, own_images};
    use ops::{instances, monitoring, profiles, register, shares};
    operations! { table;
        DescribeInstances ["IncludeManagedResources"] |a, _| a => instances::describe;
        DescribeInstanceStatus ["IncludeManagedResources"] |a, _| a => instances::describe_status;
        GetConsoleOutput |a, i| a.on::<InstanceRow>(&i.instance_id) => instances::console_output;

        StartInstances ["AdditionalInfo"] |a, i| a.on_all::<InstanceRow>(&i.instance_ids)
            => states::start;
        StopInstances |a, i| a.on_all::<InstanceRow>(&i.instance_ids) => states::stop;
        RebootInstances |a, i| a.on_all::<InstanceRow>(&i.instance_ids) => states::reboot;
        TerminateInstances |a, i| a.on_all::<InstanceRow>(&i.instance_ids) => states::terminate;

        MonitorInstances |a, i| a.on_all::<InstanceRow>(&i.instance_ids) => monitoring::monitor;
        UnmonitorInstances |a, i| a.on_all::<InstanceRow>(&i.instance_ids) => monitoring::unmonitor;

        DescribeInstanceAttribute |a, i| a.on::<InstanceRow>(&i.instance_id)
            => attributes::describe;
        ModifyInstanceAttribute [
            "Kernel", "Ramdisk", "EbsOptimized", "SriovNetSupport",
            "EnaSupport"
        ] |a, i| a.on::<InstanceRow>(&i.instance_id) => attributes::modify;
        ModifyInstanceMetadataOptions ["HttpProtocolIpv6"]
            |a, i| a.on::<InstanceRow>(&i.instance_id) => attributes::modify_metadata;

        AssociateIamInstanceProfile |a, i| a.on::<InstanceRow>(&i.instance_id)
            => profiles::associate;
        DisassociateIamInstanceProfile |a, _| a => profiles::disassociate;
        DescribeIamInstanceProfileAssociations |a, _| a => profiles::describe;

        DescribeImages |a, _| a => images::describe;
        CreateImage ["SnapshotLocation", "BlockDeviceMappings"] |a, i| a
            .creates_image(&i.tag_specifications)
            .on::<InstanceRow>(&i.instance_id)
            => own_images::create;
        RegisterImage [
            "ImageLocation", "BillingProducts", "BootMode", "TpmSupport", "UefiData",
            "ImdsSupport", "KernelId", "RamdiskId"
        ] |a, i| a.creates_image(&i.tag_specifications) => register::register;
        CopyImage [
            "Encrypted", "KmsKeyId", "DestinationOutpostArn",
            "SnapshotCopyCompletionDurationMinutes", "DestinationAvailabilityZone",
            "DestinationAvailabilityZoneId"
        ] |a, i| a.creates_image(&i.tag_specifications) => own_images::copy;
        DeregisterImage |a, i| a.on_image(Some(&i.image_id)) => own_images::deregister;
        ModifyImageAttribute [
            "ProductCodes", "OrganizationArns", "OrganizationalUnitArns", "ImdsSupport"
        ] |a, i| a.on_image(Some(&i.image_id)) => own_images::modify_attribute;
        ResetImageAttribute |a, i| a.on_image(Some(&i.image_id)) => shares::reset_image;
        DescribeImageAttribute |a, i| a.on_image(Some(&i.image_id))
            => own_images::describe_attribute;
        DescribeInstanceTypes ["IncludeUnsupportedInRegion"] |a, _| a => images::describe_types;
        DescribeInstanceTypeOfferings |a, _| a => images::describe_offerings;
    }
    .op_refusing::<op::RunInstances, _>(&launch::REFUSED, templated::asks, instances::run)
}

/// Templates that instances are launched by.
fn launch_templates(table: Table) -> Table {
    use ops::{launch_template_versions as versions, launch_templates as templates};
    operations! { table;
        CreateLaunchTemplate ["Operator"]
            |a, i| a.creates(&launch_template::KIND, &i.tag_specifications) => templates::create;
        DescribeLaunchTemplates ["IncludeManagedResources"] |a, _| a => templates::describe;
        ModifyLaunchTemplate
            |a, i| a.on_template(&i.launch_template_id, &i.launch_template_name)
            => templates::modify;
        DeleteLaunchTemplate
            |a, i| a.on_template(&i.launch_template_id, &i.launch_template_name)
            => templates::delete;
        CreateLaunchTemplateVersion ["ResolveAlias"]
            |a, i| a.on_template(&i.launch_template_id, &i.launch_template_name)
            => versions::create;
        DescribeLaunchTemplateVersions ["ResolveAlias", "IncludeManagedResources"]
            |a, _| a => versions::describe;
        DeleteLaunchTemplateVersions
            |a, i| a.on_template(&i.launch_template_id, &i.launch_template_name)
            => versions::delete;
        GetLaunchTemplateData |a, i| a.on::<InstanceRow>(&i.instance_id) => templates::of_instance;
    }
}

/// Named sets of address blocks.
fn prefix_lists(table: Table) -> Table {
    use ops::prefix_lists as lists;
    operations! { table;
        CreateManagedPrefixList |a, i| a.creates(&prefix_list::KIND, &i.tag_specifications)
            => lists::create;
        ModifyManagedPrefixList ["IpamPrefixListResolverSyncEnabled"]
            |a, i| a.on::<PrefixListRow>(&i.prefix_list_id) => lists::modify;
        DeleteManagedPrefixList |a, i| a.on::<PrefixListRow>(&i.prefix_list_id) => lists::delete;
        DescribeManagedPrefixLists |a, _| a => lists::describe;
        GetManagedPrefixListEntries |a, i| a.on::<PrefixListRow>(&i.prefix_list_id)
            => lists::entries;
    }
}

/// Volumes and snapshots.
fn volumes(table: Table) -> Table {
    use ops::{encryption, shares, snapshots, volume_attachments as attachments, volumes};
    operations! { table;
        CreateVolume ["OutpostArn", "VolumeInitializationRate", "Operator"] |a, i| a
            .creates(&volume::KIND, &i.tag_specifications)
            .on_opt::<SnapshotRow>(&i.snapshot_id)
            => volumes::create;
        DeleteVolume |a, i| a.on::<VolumeRow>(&i.volume_id) => volumes::delete;
        DescribeVolumes ["IncludeManagedResources"] |a, _| a => volumes::describe;
        DescribeVolumeStatus ["IncludeManagedResources"] |a, _| a => volumes::describe_status;
        DescribeVolumeAttribute |a, i| a.on::<VolumeRow>(&i.volume_id)
            => volumes::describe_attribute;
        ModifyVolumeAttribute |a, i| a.on::<VolumeRow>(&i.volume_id)
            => volumes::modify_attribute;
        ModifyVolume |a, i| a.on::<VolumeRow>(&i.volume_id) => volumes::modify;
        DescribeVolumesModifications |a, _| a => volumes::describe_modifications;
        AttachVolume ["EbsCardIndex"] |a, i| a
            .on::<VolumeRow>(&i.volume_id)
            .on::<InstanceRow>(&i.instance_id)
            => attachments::attach;
        DetachVolume |a, i| a
            .on::<VolumeRow>(&i.volume_id)
            .on_opt::<InstanceRow>(&i.instance_id)
            => attachments::detach;

        CreateSnapshot ["OutpostArn", "Location"] |a, i| a
            .creates(&snapshot::KIND, &i.tag_specifications)
            .on::<VolumeRow>(&i.volume_id)
            => snapshots::create;
        CopySnapshot [
            "DestinationOutpostArn", "CompletionDurationMinutes",
            "DestinationAvailabilityZone"
        ] |a, i| a.creates(&snapshot::KIND, &i.tag_specifications) => snapshots::copy;
        CreateSnapshots ["OutpostArn", "Location"] |a, i| a
            .creates(&snapshot::KIND, &i.tag_specifications)
            .on_volumes_of(&i.instance_specification.instance_id)
            => snapshots::create_all;
        ModifySnapshotAttribute |a, i| a.on::<SnapshotRow>(&i.snapshot_id)
            => shares::modify_snapshot;
        DescribeSnapshotAttribute |a, i| a.on::<SnapshotRow>(&i.snapshot_id)
            => shares::describe_snapshot;
        ResetSnapshotAttribute |a, i| a.on::<SnapshotRow>(&i.snapshot_id)
            => shares::reset_snapshot;
        DeleteSnapshot |a, i| a.on::<SnapshotRow>(&i.snapshot_id) => snapshots::delete;
        DescribeSnapshots |a, _| a => snapshots::describe;

        GetEbsEncryptionByDefault |a, _| a => encryption::get;
        EnableEbsEncryptionByDefault |a, _| a => encryption::enable;
        DisableEbsEncryptionByDefault |a, _| a => encryption::disable;
        GetEbsDefaultKmsKeyId |a, _| a => encryption::get_key;
        ModifyEbsDefaultKmsKeyId |a, _| a => encryption::modify_key;
        ResetEbsDefaultKmsKeyId |a, _| a => encryption::reset_key;
    }
}

/// Key pairs.
fn key_pairs(table: Table) -> Table {
    use ops::key_pairs;
    operations! { table;
        CreateKeyPair |a, i| a.creates(&key_pair::KIND, &i.tag_specifications)
            => key_pairs::create;
        ImportKeyPair |a, i| a.creates(&key_pair::KIND, &i.tag_specifications)
            => key_pairs::import;
        DeleteKeyPair |a, i| a.on_opt::<KeyPairRow>(&i.key_pair_id) => key_pairs::delete;
        DescribeKeyPairs |a, _| a => key_pairs::describe;
    }
}

/// Tags of everything. What is asked depends on the resources.
fn tags(table: Table) -> Table {
    use ops::tags;
    operations! { table;
        DescribeTags |a, _| a => tags::describe;
    }
    .op::<op::CreateTags, _>(
        |ec2, cx, i| tags::asks(ec2, cx, "ec2:CreateTags", &i.resources, &i.tags),
        tags::create,
    )
    .op::<op::DeleteTags, _>(
        |ec2, cx, i| {
            let tags = i.tags.as_deref().unwrap_or_default();
            tags::asks(ec2, cx, "ec2:DeleteTags", &i.resources, tags)
        },
        tags::delete,
    )
}
