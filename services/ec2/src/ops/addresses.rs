//! Elastic IP addresses.

use std::net::Ipv4Addr;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::Tx;
use gureum_kit::names::id;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use crate::describe::{Query, chosen};
use crate::errors::{Refusal, Result};
use crate::model::address::{self, Association, ElasticIpRow};
use crate::model::gateway::InternetGatewayRow;
use crate::model::interface::{InterfaceRow, Public};
use crate::model::pool;
use crate::resource::{Described as _, Find as _, Here, Resource as _};
use crate::state::{Change, Ec2};
use crate::tags;

/// The most elastic addresses of an account in a region.
const MAX_ADDRESSES: usize = 64;

pub(crate) async fn allocate(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::AllocateAddressRequest,
) -> Reply<t::AllocateAddressResult> {
    match input.domain.as_deref() {
        None | Some("vpc") => {}
        Some(other) => Err(Refusal::wrong("domain", other))?,
    }
    if input
        .public_ipv4_pool
        .as_deref()
        .is_some_and(|pool| pool != "amazon")
    {
        Err(Refusal::NotImplemented(
            "PublicIpv4Pool other than amazon".into(),
        ))?;
    }
    if input
        .network_border_group
        .as_deref()
        .is_some_and(|group| cx.region != *group)
    {
        Err(Refusal::wrong(
            "networkBorderGroup",
            input.network_border_group.as_deref().unwrap_or_default(),
        ))?;
    }
    let tags = tags::on_create(&address::KIND, &input.tag_specifications)?;
    let row = ec2
        .write(&cx, input.dry_run, |w| {
            if w.all::<ElasticIpRow>()?.len() >= MAX_ADDRESSES {
                return Err(Refusal::limit("AddressLimitExceeded", "addresses"));
            }
            let meta = w.here.new_meta(&address::KIND, tags.clone());
            let row = ElasticIpRow {
                address: pool::take(w.tx, ec2.pool, &meta.id)?,
                meta,
                association: None,
            };
            w.put(&row)?;
            Ok(row)
        })
        .await?;
    Ok(t::AllocateAddressResult {
        public_ip: Some(row.address.to_string()),
        network_border_group: Some(row.meta.region.to_string()),
        allocation_id: Some(row.meta.id),
        public_ipv4_pool: Some("amazon".into()),
        domain: Some("vpc".into()),
        ..Default::default()
    })
}

/// The elastic address that a request names by its allocation or by itself.
fn named(w: &Change<'_>, allocation: Option<&str>, public: Option<&str>) -> Result<ElasticIpRow> {
    match (allocation, public) {
        (Some(id), None) => w.need(id),
        (None, Some(public)) => {
            let mut rows = w.all::<ElasticIpRow>()?.into_iter();
            let found = rows.find(|row| row.address.to_string() == public);
            found.ok_or_else(|| absent(public))
        }
        (Some(_), Some(_)) => Err(Refusal::combination(
            "You may specify public IP or allocation id, but not both in the same call",
        )),
        (None, None) => Err(Refusal::missing("AllocationId")),
    }
}

fn absent(public: &str) -> Refusal {
    Refusal::new(
        "InvalidAddress.NotFound",
        format!("Address '{public}' not found."),
    )
}

/// The interface that an address is to lead to: the named one, or an instance's only one.
fn target(w: &Change<'_>, interface: Option<&str>, instance: Option<&str>) -> Result<InterfaceRow> {
    let id = match (interface, instance) {
        (Some(id), _) => return w.need(id),
        (None, Some(id)) => id,
        (None, None) => {
            return Err(Refusal::missing("InstanceId or NetworkInterfaceId"));
        }
    };
    let mut interfaces = w.all::<InterfaceRow>()?;
    interfaces.retain(|it| it.attachment.as_ref().is_some_and(|at| at.instance == id));
    match interfaces.len() {
        0 => Err(Refusal::new(
            "InvalidInstanceID.NotFound",
            format!("The instance ID '{id}' does not exist"),
        )),
        1 => Ok(interfaces.remove(0)),
        _ => Err(Refusal::new(
            "InvalidInstanceID",
            format!(
                "There are multiple interfaces attached to instance '{id}'. Please specify an interface ID for the operation instead."
            ),
        )),
    }
}

pub(crate) async fn associate(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::AssociateAddressRequest,
) -> Reply<t::AssociateAddressResult> {
    let id = ec2
        .write(&cx, input.dry_run, |w| {
            let row = named(
                w,
                input.allocation_id.as_deref(),
                input.public_ip.as_deref(),
            )?;
            let interface = target(
                w,
                input.network_interface_id.as_deref(),
                input.instance_id.as_deref(),
            )?;
            let private = match &input.private_ip_address {
                Some(text) => text
                    .parse()
                    .map_err(|_| Refusal::wrong("privateIpAddress", text))?,
                None => interface
                    .primary_private()
                    .ok_or_else(|| Refusal::Broken("an interface without address".into()))?,
            };
            // Clients ask for it by default, and it is what VPCs do.
            let again = input
                .allow_reassociation
                .unwrap_or(input.public_ip.is_some());
            bind(w, row, interface.id(), private, again)
        })
        .await?;
    Ok(t::AssociateAddressResult {
        association_id: Some(id),
    })
}

/// Makes an elastic address lead to a private one; returns the association's id.
pub(crate) fn bind(
    w: &mut Change<'_>,
    mut row: ElasticIpRow,
    interface: &str,
    private: Ipv4Addr,
    again: bool,
) -> Result<String> {
    if let Some(held) = &row.association {
        if held.interface == interface && held.private == private {
            return Ok(held.id.clone());
        }
        if !again {
            return Err(Refusal::new(
                "Resource.AlreadyAssociated",
                format!(
                    "resource {} is already associated with associate-id {}",
                    row.id(),
                    held.id
                ),
            ));
        }
        unbind(w, &mut row)?;
    }
    let mut interface = w.need::<InterfaceRow>(interface)?;
    has_gateway(w, &interface)?;
    let id = interface.meta.id.clone();
    let mut addresses = interface.addresses.iter_mut();
    let Some(address) = addresses.find(|address| address.private == private) else {
        return Err(Refusal::value(format!(
            "Address {private} does not belong to interface {id}"
        )));
    };
    match address.public.take() {
        None => {}
        Some(Public {
            address: public,
            elastic: None,
        }) => pool::give_back(w.tx, public)?,
        Some(Public {
            elastic: Some((other, association)),
            ..
        }) => {
            if !again {
                return Err(Refusal::new(
                    "Resource.AlreadyAssociated",
                    format!("resource {id} is already associated with associate-id {association}"),
                ));
            }
            forget(w.tx, w.here, &other)?;
        }
    }
    let association = id::resource("eipassoc");
    address.public = Some(Public {
        address: row.address,
        elastic: Some((row.meta.id.clone(), association.clone())),
    });
    row.association = Some(Association {
        id: association.clone(),
        interface: id,
        private,
    });
    w.put(&interface)?;
    w.put(&row)?;
    Ok(association)
}

/// A public address without a way out would be of no use.
fn has_gateway(w: &Change<'_>, interface: &InterfaceRow) -> Result<()> {
    let mut gateways = w.all::<InternetGatewayRow>()?.into_iter();
    if gateways.any(|gateway| gateway.vpc.as_deref() == Some(&interface.vpc)) {
        return Ok(());
    }
    Err(Refusal::new(
        "Gateway.NotAttached",
        format!(
            "Network {} is not attached to any internet gateway",
            interface.vpc
        ),
    ))
}

/// Parts an elastic address from its interface; the row itself is the caller's to write.
pub(crate) fn unbind(w: &mut Change<'_>, row: &mut ElasticIpRow) -> Result<()> {
    let Some(association) = row.association.take() else {
        return Ok(());
    };
    if let Some(mut interface) = w.find::<InterfaceRow>(&association.interface)? {
        for address in &mut interface.addresses {
            if address
                .public
                .as_ref()
                .is_some_and(|public| public.address == row.address)
            {
                address.public = None;
            }
        }
        w.put(&interface)?;
    }
    Ok(())
}

/// An elastic address whose interface goes away stays its owner's.
pub(crate) fn forget(tx: &mut Tx, here: &Here, allocation: &str) -> Result<()> {
    if let Some(mut row) = tx.find::<ElasticIpRow>(here, allocation)? {
        row.association = None;
        tx.put(&row)?;
    }
    Ok(())
}

pub(crate) async fn disassociate(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DisassociateAddressRequest,
) -> Reply<t::DisassociateAddressOutput> {
    ec2.write(&cx, input.dry_run, |w| {
        let mut row = match (&input.association_id, &input.public_ip) {
            (Some(id), _) => {
                let mut rows = w.all::<ElasticIpRow>()?.into_iter();
                let held =
                    |row: &ElasticIpRow| row.association.as_ref().is_some_and(|it| it.id == *id);
                rows.find(held).ok_or_else(|| {
                    Refusal::new(
                        "InvalidAssociationID.NotFound",
                        format!("The association ID '{id}' does not exist"),
                    )
                })?
            }
            (None, public) => named(w, None, public.as_deref())?,
        };
        unbind(w, &mut row)?;
        w.put(&row)
    })
    .await?;
    Ok(t::DisassociateAddressOutput {})
}

pub(crate) async fn release(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ReleaseAddressRequest,
) -> Reply<t::ReleaseAddressOutput> {
    ec2.write(&cx, input.dry_run, |w| {
        let row = named(
            w,
            input.allocation_id.as_deref(),
            input.public_ip.as_deref(),
        )?;
        if row.association.is_some() {
            return Err(Refusal::new(
                "InvalidIPAddress.InUse",
                format!("Address {} is in use.", row.address),
            ));
        }
        pool::give_back(w.tx, row.address)?;
        w.delete(&row)
    })
    .await?;
    Ok(t::ReleaseAddressOutput {})
}

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeAddressesRequest,
) -> Reply<t::DescribeAddressesResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let mut rows = chosen::<ElasticIpRow>(&snapshot, &here, input.allocation_ids.as_ref())?;
    if let Some(wanted) = input
        .public_ips
        .as_ref()
        .filter(|wanted| !wanted.is_empty())
    {
        rows.retain(|row| wanted.contains(&row.address.to_string()));
        let known = |public: &&String| rows.iter().any(|row| row.address.to_string() == **public);
        if let Some(public) = wanted.iter().find(|public| !known(public)) {
            Err(absent(public))?;
        }
    }
    let shapes = rows
        .into_iter()
        .map(|row| Ok((row.meta.id.clone(), row.shape(&snapshot, &ec2.names)?)));
    let query = Query {
        operation: "DescribeAddresses",
        filters: input.filters.as_ref(),
        dry_run: input.dry_run,
        ..Default::default()
    };
    let page = ec2.page(&cx, query, ElasticIpRow::FILTERS, shapes)?;
    Ok(t::DescribeAddressesResult {
        addresses: Some(page.items),
    })
}
