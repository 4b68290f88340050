//! Further private addresses of network interfaces.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use super::addresses::forget;
use super::interfaces::read;
use crate::errors::Refusal;
use crate::model::interface::{Address, InterfaceRow};
use crate::model::subnet::SubnetRow;
use crate::state::Ec2;

/// The most addresses of one interface.
const MAX_ADDRESSES: usize = 50;

pub(crate) async fn assign(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::AssignPrivateIpAddressesRequest,
) -> Reply<t::AssignPrivateIpAddressesResult> {
    crate::errors::refuse_on(&[("AllowReassignment", input.allow_reassignment)])?;
    let named = input.private_ip_addresses.as_deref().unwrap_or_default();
    let count = input.secondary_private_ip_address_count.unwrap_or(0);
    let wanted = match (named.is_empty(), usize::try_from(count)) {
        (false, _) => {
            let read = |text: &String| read(text).map(Some);
            named.iter().map(read).collect::<Result<Vec<_>, _>>()?
        }
        (true, Ok(count @ 1..)) => vec![None; count.min(MAX_ADDRESSES)],
        _ => Err(Refusal::missing("secondaryPrivateIpAddressCount"))?,
    };
    let assigned = ec2
        .write(&cx, None, |w| {
            let mut row = w.need::<InterfaceRow>(&input.network_interface_id)?;
            let subnet = w.need::<SubnetRow>(&row.subnet)?;
            let mut assigned = Vec::new();
            for address in &wanted {
                if row.addresses.len() == MAX_ADDRESSES {
                    return Err(Refusal::limit(
                        "PrivateIpAddressLimitExceeded",
                        "private IP addresses per interface",
                    ));
                }
                let private = subnet.take(w.tx, &row.meta.id, *address)?;
                row.addresses.push(Address {
                    private,
                    public: None,
                });
                assigned.push(private.to_string());
            }
            w.put(&row)?;
            Ok(assigned)
        })
        .await?;
    let shape = |address| t::AssignedPrivateIpAddress {
        private_ip_address: Some(address),
    };
    Ok(t::AssignPrivateIpAddressesResult {
        network_interface_id: Some(input.network_interface_id),
        assigned_private_ip_addresses: Some(assigned.into_iter().map(shape).collect()),
        ..Default::default()
    })
}

pub(crate) async fn unassign(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::UnassignPrivateIpAddressesRequest,
) -> Reply<t::UnassignPrivateIpAddressesOutput> {
    ec2.write(&cx, None, |w| {
        let mut row = w.need::<InterfaceRow>(&input.network_interface_id)?;
        let subnet = w.need::<SubnetRow>(&row.subnet)?;
        for text in input.private_ip_addresses.iter().flatten() {
            let private = read(text)?;
            let at = row.addresses.iter().position(|it| it.private == private);
            match at {
                None => {
                    return Err(Refusal::value(
                        "Some of the specified addresses are not assigned to interface",
                    ));
                }
                Some(0) => {
                    return Err(Refusal::denied(
                        "The primary private IP address cannot be unassigned",
                    ));
                }
                Some(at) => {
                    let address = row.addresses.remove(at);
                    subnet.give_back(w.tx, address.private)?;
                    if let Some((allocation, _)) = address.public.and_then(|it| it.elastic) {
                        forget(w.tx, w.here, &allocation)?;
                    }
                }
            }
        }
        w.put(&row)
    })
    .await?;
    Ok(t::UnassignPrivateIpAddressesOutput {})
}
