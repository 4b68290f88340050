//! NAT gateways.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::{Result as Reply, Struct};

use super::addresses::bind;
use super::interfaces::{self, Wanted};
use crate::describe::Query;
use crate::errors::{Refusal, Result};
use crate::model::address::ElasticIpRow;
use crate::model::gateway::InternetGatewayRow;
use crate::model::interface::{InterfaceRow, Purpose};
use crate::model::nat::{self, NatGatewayRow, Public};
use crate::model::subnet::SubnetRow;
use crate::resource::Resource as _;
use crate::state::{Change, Ec2};
use crate::tags;

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateNatGatewayRequest,
) -> Reply<t::CreateNatGatewayResult> {
    let public = match input.connectivity_type.as_deref() {
        None | Some("public") => true,
        Some("private") => false,
        Some(other) => Err(Refusal::wrong("connectivityType", other))?,
    };
    match input.availability_mode.as_deref() {
        None | Some("zonal") => {}
        Some(other) => Err(Refusal::NotImplemented(format!(
            "AvailabilityMode = {other}"
        )))?,
    }
    let subnet = input.subnet_id.as_deref();
    let subnet = subnet.ok_or_else(|| Refusal::missing("subnetId"))?;
    let allocation = match (public, input.allocation_id.as_deref()) {
        (true, None) => Err(Refusal::missing("allocationId"))?,
        (false, Some(_)) => Err(Refusal::combination(
            "A private NAT gateway has no allocationId",
        ))?,
        (_, allocation) => allocation,
    };
    let wanted = Wanted {
        addresses: vec![
            input
                .private_ip_address
                .as_deref()
                .map(interfaces::read)
                .transpose()?,
        ],
        ..Default::default()
    };
    let tags = tags::on_create(&nat::KIND, &input.tag_specifications)?;
    let token = input.client_token.as_deref();
    let request = ("CreateNatGateway", &input as &dyn Struct);
    let ids = ec2
        .write_once(&cx, input.dry_run, token, request, |w| {
            let meta = w.here.new_meta(&nat::KIND, tags.clone());
            let subnet = w.need::<SubnetRow>(subnet)?;
            let interface = own_interface(w, &subnet, &wanted, &meta.id)?;
            let private = interface
                .primary_private()
                .ok_or_else(|| Refusal::Broken("an interface without address".into()))?;
            let public = match allocation {
                None => None,
                Some(allocation) => Some(take_address(w, &subnet, allocation, &interface)?),
            };
            let row = NatGatewayRow {
                meta,
                vpc: subnet.vpc,
                subnet: subnet.meta.id,
                interface: interface.meta.id,
                private,
                public,
                ready: false,
                deleted: None,
            };
            w.put(&row)?;
            Ok(vec![row.meta.id])
        })
        .await?;
    Ok(t::CreateNatGatewayResult {
        nat_gateway: ec2.shown::<NatGatewayRow>(&cx, &ids).await?,
        client_token: input.client_token,
    })
}

/// The interface through which a NAT gateway stands in its subnet. Its owner cannot change it.
fn own_interface(
    w: &mut Change<'_>,
    subnet: &SubnetRow,
    wanted: &Wanted,
    nat: &str,
) -> Result<InterfaceRow> {
    let mut interface = interfaces::make(w, subnet, wanted)?;
    interface.purpose = Purpose::NatGateway;
    interface.description = format!("Interface for NAT Gateway {nat}");
    interface.groups.clear();
    interface.source_dest_check = false;
    w.put(&interface)?;
    Ok(interface)
}

fn take_address(
    w: &mut Change<'_>,
    subnet: &SubnetRow,
    allocation: &str,
    interface: &InterfaceRow,
) -> Result<Public> {
    let mut gateways = w.all::<InternetGatewayRow>()?.into_iter();
    if !gateways.any(|gateway| gateway.vpc.as_deref() == Some(&subnet.vpc)) {
        return Err(Refusal::new(
            "Gateway.NotAttached",
            format!("Network {} has no Internet gateway attached", subnet.vpc),
        ));
    }
    let row = w.need::<ElasticIpRow>(allocation)?;
    let address = row.address;
    let private = interface.addresses[0].private;
    let association = bind(w, row, interface.id(), private, false)?;
    Ok(Public {
        allocation: allocation.to_owned(),
        association,
        address,
    })
}

/// Its address is given back at once; the row is shown as deleted for an hour.
pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteNatGatewayRequest,
) -> Reply<t::DeleteNatGatewayResult> {
    ec2.write(&cx, input.dry_run, |w| {
        let mut row = w.need::<NatGatewayRow>(&input.nat_gateway_id)?;
        if row.deleted.is_some() {
            return Ok(());
        }
        row.deleted = Some(w.here.now);
        if let Some(interface) = w.find::<InterfaceRow>(&row.interface)? {
            interface.release(w.tx)?;
            w.delete(&interface)?;
        }
        w.put(&row)
    })
    .await?;
    Ok(t::DeleteNatGatewayResult {
        nat_gateway_id: Some(input.nat_gateway_id),
    })
}

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeNatGatewaysRequest,
) -> Reply<t::DescribeNatGatewaysResult> {
    let query = Query {
        operation: "DescribeNatGateways",
        ids: input.nat_gateway_ids.as_ref(),
        filters: input.filter.as_ref(),
        max: input.max_results,
        token: input.next_token.as_deref(),
        dry_run: input.dry_run,
    };
    let page = ec2.list::<NatGatewayRow>(&cx, query).await?;
    Ok(t::DescribeNatGatewaysResult {
        nat_gateways: Some(page.items),
        next_token: page.next,
    })
}
