//! What holds for all resources.

use gureum_schema::Struct as _;

use crate::filter::astray;
use crate::model;
use crate::resource::Described;

fn filters_lead_somewhere<R: Described>() {
    let schema = R::Shape::default().schema();
    assert_eq!(
        astray(schema, R::FILTERS),
        Vec::<&str>::new(),
        "{}",
        R::TABLE
    );
}

#[test]
fn every_filter_reads_a_member_that_exists() {
    filters_lead_somewhere::<model::acl::AclRow>();
    filters_lead_somewhere::<model::address::ElasticIpRow>();
    filters_lead_somewhere::<model::dhcp::DhcpOptionsRow>();
    filters_lead_somewhere::<model::endpoint::EndpointRow>();
    filters_lead_somewhere::<model::gateway::InternetGatewayRow>();
    filters_lead_somewhere::<model::group::GroupRow>();
    filters_lead_somewhere::<model::instance::InstanceRow>();
    filters_lead_somewhere::<model::key_pair::KeyPairRow>();
    filters_lead_somewhere::<model::interface::InterfaceRow>();
    filters_lead_somewhere::<model::launch_template::LaunchTemplateRow>();
    filters_lead_somewhere::<model::nat::NatGatewayRow>();
    filters_lead_somewhere::<model::peering::PeeringRow>();
    filters_lead_somewhere::<model::prefix_list::PrefixListRow>();
    filters_lead_somewhere::<model::route::RouteTableRow>();
    filters_lead_somewhere::<model::snapshot::SnapshotRow>();
    filters_lead_somewhere::<model::subnet::SubnetRow>();
    filters_lead_somewhere::<model::volume::VolumeRow>();
    filters_lead_somewhere::<model::vpc::VpcRow>();
}
