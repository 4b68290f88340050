//! What a reset deletes: every row. What ran for them is ended by the reconcilers, which find
//! machines and networks that no row wants.

use std::collections::BTreeSet;

use async_trait::async_trait;
use gureum_kit::reset::{Reset, Whose};
use gureum_kit::{StoreError, Tx};

use crate::defaults::RegionRow;
use crate::model::acl::AclRow;
use crate::model::address::ElasticIpRow;
use crate::model::dhcp::DhcpOptionsRow;
use crate::model::endpoint::EndpointRow;
use crate::model::flow_log::FlowLogRow;
use crate::model::gateway::InternetGatewayRow;
use crate::model::group::GroupRow;
use crate::model::image::ImageRow;
use crate::model::instance::InstanceRow;
use crate::model::interface::InterfaceRow;
use crate::model::key_pair::KeyPairRow;
use crate::model::launch_template::{LaunchTemplateRow, VersionRow};
use crate::model::nat::NatGatewayRow;
use crate::model::peering::PeeringRow;
use crate::model::pool;
use crate::model::prefix_list::PrefixListRow;
use crate::model::route::RouteTableRow;
use crate::model::snapshot::SnapshotRow;
use crate::model::subnet::{SubnetRow, TakenRow};
use crate::model::volume::VolumeRow;
use crate::model::vpc::VpcRow;
use crate::resource::Resource;
use crate::sealing::{DataKeyRow, DefaultsRow};
use crate::state::Ec2;

#[async_trait]
impl Reset for Ec2 {
    fn delete(&self, tx: &mut Tx, whose: Whose) -> Result<(), StoreError> {
        let mut gone = BTreeSet::new();
        each::<AclRow>(tx, whose, &mut gone)?;
        each::<DhcpOptionsRow>(tx, whose, &mut gone)?;
        each::<ElasticIpRow>(tx, whose, &mut gone)?;
        each::<EndpointRow>(tx, whose, &mut gone)?;
        each::<FlowLogRow>(tx, whose, &mut gone)?;
        each::<GroupRow>(tx, whose, &mut gone)?;
        each::<ImageRow>(tx, whose, &mut gone)?;
        each::<InstanceRow>(tx, whose, &mut gone)?;
        each::<InterfaceRow>(tx, whose, &mut gone)?;
        each::<InternetGatewayRow>(tx, whose, &mut gone)?;
        each::<KeyPairRow>(tx, whose, &mut gone)?;
        each::<LaunchTemplateRow>(tx, whose, &mut gone)?;
        each::<NatGatewayRow>(tx, whose, &mut gone)?;
        each::<PeeringRow>(tx, whose, &mut gone)?;
        each::<PrefixListRow>(tx, whose, &mut gone)?;
        each::<RouteTableRow>(tx, whose, &mut gone)?;
        each::<SnapshotRow>(tx, whose, &mut gone)?;
        each::<SubnetRow>(tx, whose, &mut gone)?;
        each::<VolumeRow>(tx, whose, &mut gone)?;
        each::<VpcRow>(tx, whose, &mut gone)?;
        whose.delete::<RegionRow>(tx, |row| &row.account)?;
        whose.delete::<DataKeyRow>(tx, |row| &row.account)?;
        whose.delete::<DefaultsRow>(tx, |row| &row.account)?;
        whose.delete::<VersionRow>(tx, |row| &row.account)?;
        whose.delete::<TakenRow>(tx, |row| &row.account)?;
        // Public addresses are nobody's: they follow what has them.
        pool::forget(tx, &gone)
    }

    fn deleted(&self, _: Whose) {
        self.instances.wake();
        self.networks.wake();
        self.volumes.wake();
        self.images.wake();
    }
}

/// Deletes the rows of a kind that are theirs, and notes their ids.
fn each<R: Resource>(
    tx: &mut Tx,
    whose: Whose,
    gone: &mut BTreeSet<String>,
) -> Result<(), StoreError> {
    let rows = whose.delete::<R>(tx, |row| &row.meta().account)?;
    gone.extend(rows.iter().map(|row| row.id().to_owned()));
    Ok(())
}
