//! Route tables and their associations.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_model_ec2::types as t;
use gureum_schema::{Result as Reply, Struct};

use crate::describe::query;
use crate::errors::{Refusal, Result};
use crate::model::endpoint::EndpointRow;
use crate::model::route::{self, Association, RouteTableRow, associated};
use crate::model::subnet::SubnetRow;
use crate::model::vpc::VpcRow;
use crate::resource::Resource as _;
use crate::state::{Change, Ec2};
use crate::tags;

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateRouteTableRequest,
) -> Reply<t::CreateRouteTableResult> {
    let tags = tags::on_create(&route::KIND, &input.tag_specifications)?;
    let token = input.client_token.as_deref();
    let request = ("CreateRouteTable", &input as &dyn Struct);
    let ids = ec2
        .write_once(&cx, input.dry_run, token, request, |w| {
            let vpc = w.need::<VpcRow>(&input.vpc_id)?;
            let table = RouteTableRow {
                meta: w.here.new_meta(&route::KIND, tags.clone()),
                vpc: vpc.meta.id,
                routes: Vec::new(),
                main: None,
                associations: Vec::new(),
            };
            w.put(&table)?;
            Ok(vec![table.meta.id])
        })
        .await?;
    Ok(t::CreateRouteTableResult {
        route_table: ec2.shown::<RouteTableRow>(&cx, &ids).await?,
        client_token: input.client_token,
    })
}

pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteRouteTableRequest,
) -> Reply<t::DeleteRouteTableOutput> {
    ec2.write(&cx, input.dry_run, |w| {
        let table = w.need::<RouteTableRow>(&input.route_table_id)?;
        if table.main.is_some() || !table.associations.is_empty() {
            return Err(Refusal::in_use("routeTable", table.id()));
        }
        for mut endpoint in w.of_vpc::<EndpointRow>(&table.vpc)? {
            let before = endpoint.route_tables.len();
            endpoint.route_tables.retain(|id| *id != table.meta.id);
            if endpoint.route_tables.len() < before {
                w.put(&endpoint)?;
            }
        }
        w.delete(&table)
    })
    .await?;
    Ok(t::DeleteRouteTableOutput {})
}

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeRouteTablesRequest,
) -> Reply<t::DescribeRouteTablesResult> {
    let query = query!("DescribeRouteTables", input, route_table_ids);
    let page = ec2.list::<RouteTableRow>(&cx, query).await?;
    Ok(t::DescribeRouteTablesResult {
        next_token: page.next,
        route_tables: Some(page.items),
    })
}

pub(crate) async fn associate(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::AssociateRouteTableRequest,
) -> Reply<t::AssociateRouteTableResult> {
    let subnet = input.subnet_id.as_deref();
    let subnet = subnet.ok_or_else(|| Refusal::missing("subnetId"))?;
    let association = ec2
        .write(&cx, input.dry_run, |w| {
            let mut table = w.need::<RouteTableRow>(&input.route_table_id)?;
            let subnet = w.need::<SubnetRow>(subnet)?;
            same_vpc(&table, &subnet)?;
            for other in w.of_vpc::<RouteTableRow>(&table.vpc)? {
                let held = other.associations.iter().find(|it| it.subnet == subnet.meta.id);
                match held {
                    None => {}
                    Some(held) if other.meta.id == table.meta.id => return Ok(held.id.clone()),
                    Some(held) => {
                        return Err(Refusal::new(
                            "Resource.AlreadyAssociated",
                            format!(
                                "the specified association for route table {} conflicts with an existing association, {}",
                                table.id(),
                                held.id
                            ),
                        ));
                    }
                }
            }
            let association = Association {
                id: id::resource("rtbassoc"),
                subnet: subnet.meta.id,
            };
            let id = association.id.clone();
            table.associations.push(association);
            w.put(&table)?;
            Ok(id)
        })
        .await?;
    Ok(t::AssociateRouteTableResult {
        association_id: Some(association),
        association_state: Some(associated()),
    })
}

fn same_vpc(table: &RouteTableRow, subnet: &SubnetRow) -> Result<()> {
    if table.vpc == subnet.vpc {
        return Ok(());
    }
    Err(Refusal::value(format!(
        "Route table {} and subnet {} belong to different networks",
        table.id(),
        subnet.id()
    )))
}

/// The table that holds an association.
fn holder(w: &Change<'_>, association: &str) -> Result<RouteTableRow> {
    let holds = |table: &RouteTableRow| {
        table.main.as_deref() == Some(association)
            || table.associations.iter().any(|it| it.id == association)
    };
    let mut tables = w.all::<RouteTableRow>()?.into_iter();
    tables.find(holds).ok_or_else(|| {
        Refusal::new(
            "InvalidAssociationID.NotFound",
            format!("The association ID '{association}' does not exist"),
        )
    })
}

pub(crate) async fn disassociate(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DisassociateRouteTableRequest,
) -> Reply<t::DisassociateRouteTableOutput> {
    let id = &input.association_id;
    ec2.write(&cx, input.dry_run, |w| {
        let mut table = holder(w, id)?;
        if table.main.as_deref() == Some(id) {
            return Err(Refusal::value(
                "cannot disassociate the main route table association",
            ));
        }
        table.associations.retain(|it| it.id != *id);
        w.put(&table)
    })
    .await?;
    Ok(t::DisassociateRouteTableOutput {})
}

/// Gives a subnet another table, or the VPC another main table.
pub(crate) async fn replace_association(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ReplaceRouteTableAssociationRequest,
) -> Reply<t::ReplaceRouteTableAssociationResult> {
    let old = &input.association_id;
    let new = ec2
        .write(&cx, input.dry_run, |w| {
            let mut from = holder(w, old)?;
            let target = w.need::<RouteTableRow>(&input.route_table_id)?;
            if from.vpc != target.vpc {
                return Err(Refusal::value(format!(
                    "Route table {} belongs to another network",
                    target.id()
                )));
            }
            let new = id::resource("rtbassoc");
            let subnet = from.associations.iter().position(|it| it.id == *old);
            let subnet = subnet.map(|at| from.associations.remove(at).subnet);
            if subnet.is_none() {
                from.main = None;
            }
            w.put(&from)?;
            // It may be the same table.
            let mut to = w.need::<RouteTableRow>(&input.route_table_id)?;
            match subnet {
                Some(subnet) => to.associations.push(Association {
                    id: new.clone(),
                    subnet,
                }),
                None => to.main = Some(new.clone()),
            }
            w.put(&to)?;
            Ok(new)
        })
        .await?;
    Ok(t::ReplaceRouteTableAssociationResult {
        new_association_id: Some(new),
        association_state: Some(associated()),
    })
}
