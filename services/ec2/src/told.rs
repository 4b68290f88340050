//! What the cloud itself may know of instances: for those who look after it, not for AWS clients.

use std::net::Ipv4Addr;

use gureum_kit::{AccountId, Reader, Region, Scan};

use crate::errors::Result;
use crate::model::attached::Attached;
use crate::model::instance::{InstanceRow, State};
use crate::names;
use crate::state::Ec2;

/// An instance that has not been terminated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub id: String,
    pub account: AccountId,
    pub region: Region,
    /// As `DescribeInstances` names it.
    pub state: &'static str,
    pub instance_type: String,
    /// Private addresses and the public ones that stand for them, the primary interface's first.
    pub addresses: Vec<Ipv4Addr>,
    /// The names of these addresses.
    pub dns_names: Vec<String>,
    /// The ids of its interfaces.
    pub interfaces: Vec<String>,
    /// Its figures are kept by the minute.
    pub detailed: bool,
    /// Its machine reacts, or does not run.
    pub responsive: bool,
}

impl Ec2 {
    /// Every instance of every account and region.
    pub fn instances(&self) -> Result<Vec<Told>, gureum_schema::Error> {
        Ok(self.tell_all()?)
    }

    fn tell_all(&self) -> Result<Vec<Told>> {
        let reader = self.store.read();
        let rows = reader.scan(Scan::<InstanceRow>::all());
        let rows = rows.collect::<std::result::Result<Vec<_>, _>>()?;
        let here = rows.iter().filter(|row| row.state != State::Terminated);
        let attached = Attached::interfaces_everywhere(&reader)?;
        Ok(here.map(|row| self.tell(&attached, row)).collect())
    }

    fn tell(&self, attached: &Attached, row: &InstanceRow) -> Told {
        let region = &row.meta.region;
        let (mut addresses, mut dns_names) = (Vec::new(), Vec::new());
        let mut interfaces = Vec::new();
        for interface in attached.interfaces(&row.meta.id) {
            interfaces.push(interface.meta.id.clone());
            for address in &interface.addresses {
                addresses.push(address.private);
                dns_names.push(names::private(region, address.private));
                if let Some(public) = &address.public {
                    addresses.push(public.address);
                    dns_names.push(self.names.public(region, public.address));
                }
            }
        }
        Told {
            id: row.meta.id.clone(),
            account: row.meta.account,
            region: region.clone(),
            state: row.state.name(),
            instance_type: row.instance_type.clone(),
            addresses,
            dns_names,
            interfaces,
            detailed: row.detailed,
            responsive: row.responsive,
        }
    }
}
