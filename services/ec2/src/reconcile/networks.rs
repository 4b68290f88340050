//! `ec2.networks`: from rows to networks that carry packets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gureum_kit::reconcile::RunError;
use gureum_kit::store::Snapshot;
use gureum_kit::{Outcome, Reader, Reconciler, Scan};
use gureum_schema::Error;

use super::NETWORKS;
use super::reach::ways;
use super::vpc_plan::{Rows, plan};
use super::zones::zones;
use crate::errors::Result;
use crate::machines::{PlaneError, Planes};
use crate::model::acl::AclRow;
use crate::model::endpoint::EndpointRow;
use crate::model::flow_log::FlowLogRow;
use crate::model::gateway::InternetGatewayRow;
use crate::model::group::{GroupRow, Peer};
use crate::model::instance::InstanceRow;
use crate::model::interface::InterfaceRow;
use crate::model::nat::{self, NatGatewayRow};
use crate::model::peering::PeeringRow;
use crate::model::prefix_list::PrefixListRow;
use crate::model::route::RouteTableRow;
use crate::model::subnet::SubnetRow;
use crate::model::vpc::VpcRow;
use crate::resource::Resource;
use crate::state::Ec2;

pub(super) struct Networks(pub(super) Arc<Ec2>);

#[async_trait]
impl Reconciler for Networks {
    fn name(&self) -> &'static str {
        NETWORKS
    }

    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn run(&self) -> std::result::Result<Outcome, RunError> {
        self.0.clear_nat_gateways().await.map_err(Error::from)?;
        if let Some(planes) = &self.0.planes {
            self.0.weave(planes).await?;
        }
        Ok(Outcome::Settled)
    }
}

/// All rows of networks, of all accounts and regions.
struct Everything {
    vpcs: Vec<VpcRow>,
    gateways: Vec<InternetGatewayRow>,
    subnets: Vec<SubnetRow>,
    tables: Vec<RouteTableRow>,
    groups: Vec<GroupRow>,
    acls: Vec<AclRow>,
    interfaces: Vec<InterfaceRow>,
    nat_gateways: Vec<NatGatewayRow>,
    peerings: Vec<PeeringRow>,
    prefix_lists: Vec<PrefixListRow>,
    flow_logs: Vec<FlowLogRow>,
    endpoints: Vec<EndpointRow>,
    /// Instances that are up.
    up: BTreeSet<String>,
}

fn rows<R: Resource>(snapshot: &Snapshot) -> Result<Vec<R>> {
    let rows = snapshot.scan(Scan::<R>::all());
    Ok(rows.collect::<std::result::Result<_, _>>()?)
}

impl Everything {
    fn read(snapshot: &Snapshot) -> Result<Self> {
        let instances = rows::<InstanceRow>(snapshot)?;
        let up = instances.into_iter().filter(|row| row.state.is_up());
        Ok(Self {
            vpcs: rows(snapshot)?,
            gateways: rows(snapshot)?,
            subnets: rows(snapshot)?,
            tables: rows(snapshot)?,
            groups: rows(snapshot)?,
            acls: rows(snapshot)?,
            interfaces: rows(snapshot)?,
            nat_gateways: rows(snapshot)?,
            peerings: rows(snapshot)?,
            prefix_lists: rows(snapshot)?,
            flow_logs: rows(snapshot)?,
            endpoints: rows(snapshot)?,
            up: up.map(|row| row.meta.id).collect(),
        })
    }

    /// A VPC is laid out as long as something in it has a network: empty ones cost nothing.
    fn is_lived_in(&self, vpc: &VpcRow) -> bool {
        let mine = |row: &InterfaceRow| row.vpc == vpc.meta.id;
        let up = |row: &InterfaceRow| {
            let attachment = row.attachment.as_ref();
            attachment.is_some_and(|attachment| self.up.contains(&attachment.instance))
        };
        self.interfaces.iter().any(|row| mine(row) && up(row))
            || self
                .nat_gateways
                .iter()
                .any(|row| row.vpc == vpc.meta.id && row.deleted.is_none())
    }

    fn of<'a>(
        &'a self,
        vpc: &'a VpcRow,
        up: &'a dyn Fn(&str) -> bool,
        elsewhere: &'a BTreeMap<String, Vec<Ipv4Addr>>,
    ) -> Rows<'a> {
        fn mine<'a, R: Resource>(rows: &'a [R], vpc: &str) -> Vec<&'a R> {
            rows.iter().filter(|row| row.vpc() == Some(vpc)).collect()
        }
        let id = vpc.meta.id.as_str();
        let mut nat_gateways = mine(&self.nat_gateways, id);
        nat_gateways.retain(|row| row.deleted.is_none());
        let peerings = self.peerings.iter();
        Rows {
            vpc,
            internet: self
                .gateways
                .iter()
                .any(|row| row.vpc.as_deref() == Some(id)),
            subnets: mine(&self.subnets, id),
            tables: mine(&self.tables, id),
            groups: mine(&self.groups, id),
            acls: mine(&self.acls, id),
            interfaces: mine(&self.interfaces, id),
            nat_gateways,
            peerings: peerings
                .filter(|row| row.is_active() && row.concerns(id))
                .collect(),
            up,
            elsewhere,
            flow_logs: &self.flow_logs,
            endpoints: mine(&self.endpoints, id),
            prefix_lists: self
                .prefix_lists
                .iter()
                .filter(|row| {
                    row.meta.region == vpc.meta.region && row.meta.account == vpc.meta.account
                })
                .collect(),
        }
    }

    /// Groups of VPCs that are peered with this one and that its rules name, with the private
    /// addresses of their members.
    fn groups_elsewhere(&self, vpc: &VpcRow) -> BTreeMap<String, Vec<Ipv4Addr>> {
        let own = self.groups.iter().filter(|row| row.vpc == vpc.meta.id);
        let named: BTreeSet<&str> = own
            .flat_map(|group| &group.rules)
            .filter_map(|rule| match &rule.what.peer {
                Peer::Group(id) => Some(id.as_str()),
                _ => None,
            })
            .collect();
        let peered = |other: &str| {
            let mut peerings = self.peerings.iter();
            peerings.any(|row| row.is_active() && row.concerns(&vpc.meta.id) && row.concerns(other))
        };
        let theirs = self.groups.iter().filter(|row| {
            row.vpc != vpc.meta.id && named.contains(row.meta.id.as_str()) && peered(&row.vpc)
        });
        theirs
            .map(|group| {
                let id = &group.meta.id;
                let members = self.interfaces.iter().filter(|row| row.groups.contains(id));
                let addresses = members.flat_map(|row| &row.addresses);
                (id.clone(), addresses.map(|it| it.private).collect())
            })
            .collect()
    }
}

impl Ec2 {
    /// Brings all networks to what the rows say. One run at a time: a later one starts from newer
    /// rows, and must not be overtaken.
    pub(crate) async fn weave(&self, planes: &Planes) -> std::result::Result<(), PlaneError> {
        let _alone = self.weaving.lock().await;
        let all = Everything::read(&self.store.read()).map_err(Error::from)?;
        let up = |id: &str| all.up.contains(id);
        let lived_in: Vec<&VpcRow> = all.vpcs.iter().filter(|vpc| all.is_lived_in(vpc)).collect();
        let mut failed = None;
        for vpc in &lived_in {
            let elsewhere = all.groups_elsewhere(vpc);
            let (plan, ways) = {
                let rows = all.of(vpc, &up, &elsewhere);
                (plan(&rows), ways(&rows))
            };
            let named = |id: &str| {
                let mut vpcs = all.vpcs.iter();
                vpcs.any(|vpc| vpc.meta.id == id && vpc.dns_hostnames)
            };
            let zones = zones(vpc, &all.interfaces, &named, &self.names)?;
            self.ways.begin(&vpc.meta.id, &ways);
            match planes.wires.apply(&plan, zones).await {
                Ok(()) => {
                    self.ways.settle(&vpc.meta.id, ways);
                    let ready = self.nat_gateways_ready(&vpc.meta.id).await;
                    ready.map_err(Error::from)?;
                }
                // The others are not to suffer for it.
                Err(error) => failed = Some(error),
            }
        }
        for vpc in planes.wires.observe().await? {
            if lived_in.iter().all(|row| row.meta.id != vpc) {
                planes.wires.remove(&vpc).await?;
            }
        }
        let laid_out = lived_in.iter().map(|vpc| vpc.meta.id.as_str());
        self.ways.keep(&laid_out.collect());
        failed.map_or(Ok(()), Err)
    }

    async fn nat_gateways_ready(&self, vpc: &str) -> Result<()> {
        let fresh = |row: &NatGatewayRow| row.vpc == vpc && !row.ready && row.deleted.is_none();
        if !rows::<NatGatewayRow>(&self.store.read())?.iter().any(fresh) {
            return Ok(());
        }
        self.store
            .transact(|tx| {
                let rows = tx.scan(Scan::<NatGatewayRow>::all());
                let rows = rows.collect::<std::result::Result<Vec<_>, _>>()?;
                for mut row in rows.into_iter().filter(fresh) {
                    row.ready = true;
                    tx.put(&row)?;
                }
                Ok(())
            })
            .await
    }

    /// Deleted NAT gateways are shown for an hour.
    async fn clear_nat_gateways(&self) -> Result<()> {
        let now = self.clock.now();
        let old = |row: &NatGatewayRow| row.deleted.is_some_and(|at| at + nat::SHOWN <= now);
        for row in rows::<NatGatewayRow>(&self.store.read())?
            .into_iter()
            .filter(old)
        {
            let key = gureum_kit::Row::key(&row);
            self.store
                .transact(|tx| Ok::<_, crate::errors::Refusal>(tx.delete::<NatGatewayRow>(&key)?))
                .await?;
        }
        Ok(())
    }
}
