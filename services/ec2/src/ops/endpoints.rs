//! Gateway endpoints and the services that have them.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::{Result as Reply, Struct};

use crate::cidr::Cidr;
use crate::describe::{Query, query};
use crate::errors::{Refusal, Result, refuse_on, unsuccessful};
use crate::filter::Paths;
use crate::model::endpoint::{
    self, EndpointRow, SERVICES, blocks, check_policy, prefix_list, service_name,
};
use crate::model::route::RouteTableRow;
use crate::model::vpc::VpcRow;
use crate::state::{Change, Ec2};
use crate::{tags, zones};

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateVpcEndpointRequest,
) -> Reply<t::CreateVpcEndpointResult> {
    match input.vpc_endpoint_type.as_deref() {
        None | Some("Gateway") => {}
        Some(other) => Err(Refusal::NotImplemented(format!(
            "VpcEndpointType = {other}"
        )))?,
    }
    refuse_on(&[("PrivateDnsEnabled", input.private_dns_enabled)])?;
    let name = input.service_name.as_deref();
    let name = name.ok_or_else(|| Refusal::missing("serviceName"))?;
    let mut services = SERVICES.iter();
    let service = services.find(|service| service_name(&cx.region, service) == name);
    let service = service.ok_or_else(|| {
        Refusal::new(
            "InvalidServiceName",
            format!("The Vpc Endpoint Service '{name}' does not exist"),
        )
    })?;
    input
        .policy_document
        .as_deref()
        .map_or(Ok(()), check_policy)?;
    let tables = input.route_table_ids.as_deref().unwrap_or_default();
    let tags = tags::on_create(&endpoint::KIND, &input.tag_specifications)?;
    let token = input.client_token.as_deref();
    let request = ("CreateVpcEndpoint", &input as &dyn Struct);
    let ids = ec2
        .write_once(&cx, input.dry_run, token, request, |w| {
            let vpc = w.need::<VpcRow>(&input.vpc_id)?;
            let mut row = EndpointRow {
                meta: w.here.new_meta(&endpoint::KIND, tags.clone()),
                vpc: vpc.meta.id,
                service: (*service).to_owned(),
                route_tables: Vec::new(),
                policy: input.policy_document.clone(),
            };
            add_tables(w, &mut row, tables)?;
            w.put(&row)?;
            Ok(vec![row.meta.id])
        })
        .await?;
    Ok(t::CreateVpcEndpointResult {
        vpc_endpoint: ec2.shown::<EndpointRow>(&cx, &ids).await?,
        client_token: input.client_token,
    })
}

/// A route table leads to one endpoint per service at most.
fn add_tables(w: &Change<'_>, row: &mut EndpointRow, tables: &[String]) -> Result<()> {
    for id in tables {
        let table = w.need::<RouteTableRow>(id)?;
        if table.vpc != row.vpc {
            return Err(Refusal::value(format!(
                "Route table {id} belongs to another network than the endpoint"
            )));
        }
        let mut others = w.of_vpc::<EndpointRow>(&row.vpc)?.into_iter();
        let held = |other: &EndpointRow| {
            other.meta.id != row.meta.id
                && other.service == row.service
                && other.route_tables.contains(id)
        };
        if others.any(|other| held(&other)) {
            return Err(Refusal::new(
                "RouteAlreadyExists",
                format!(
                    "route table {id} already has a route with destination-prefix-list-id {}",
                    row.prefix_list()
                ),
            ));
        }
        if !row.route_tables.contains(id) {
            row.route_tables.push(table.meta.id);
        }
    }
    Ok(())
}

pub(crate) async fn modify(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ModifyVpcEndpointRequest,
) -> Reply<t::ModifyVpcEndpointResult> {
    refuse_on(&[("PrivateDnsEnabled", input.private_dns_enabled)])?;
    let (policy, reset) = (input.policy_document, input.reset_policy == Some(true));
    if reset && policy.is_some() {
        Err(Refusal::combination(
            "A policy can be given or reset, not both at once.",
        ))?;
    }
    policy.as_deref().map_or(Ok(()), check_policy)?;
    ec2.write(&cx, input.dry_run, |w| {
        let mut row = w.need::<EndpointRow>(&input.vpc_endpoint_id)?;
        let gone = input.remove_route_table_ids.as_deref().unwrap_or_default();
        row.route_tables.retain(|id| !gone.contains(id));
        let new = input.add_route_table_ids.as_deref().unwrap_or_default();
        add_tables(w, &mut row, new)?;
        if reset || policy.is_some() {
            row.policy.clone_from(&policy);
        }
        w.put(&row)
    })
    .await?;
    Ok(t::ModifyVpcEndpointResult {
        return_: Some(true),
    })
}

/// What can be deleted is deleted; the rest is told.
pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteVpcEndpointsRequest,
) -> Reply<t::DeleteVpcEndpointsResult> {
    let failed = ec2
        .write(&cx, input.dry_run, |w| {
            let mut failed = Vec::new();
            for id in &input.vpc_endpoint_ids {
                match w.need::<EndpointRow>(id) {
                    Ok(row) => w.delete(&row)?,
                    Err(refusal) => failed.push(unsuccessful(id, refusal)?),
                }
            }
            Ok(failed)
        })
        .await?;
    Ok(t::DeleteVpcEndpointsResult {
        unsuccessful: Some(failed),
    })
}

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeVpcEndpointsRequest,
) -> Reply<t::DescribeVpcEndpointsResult> {
    let query = query!("DescribeVpcEndpoints", input, vpc_endpoint_ids);
    let page = ec2.list::<EndpointRow>(&cx, query).await?;
    Ok(t::DescribeVpcEndpointsResult {
        vpc_endpoints: Some(page.items),
        next_token: page.next,
    })
}

pub(crate) const SERVICE_FILTERS: Paths = &[
    ("owner", "Owner"),
    ("service-name", "ServiceName"),
    ("service-region", "ServiceRegion"),
    ("service-type", "ServiceType.ServiceType"),
];

pub(crate) async fn describe_services(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeVpcEndpointServicesRequest,
) -> Reply<t::DescribeVpcEndpointServicesResult> {
    let wanted = input.service_names.as_deref().unwrap_or_default();
    let known = SERVICES.map(|service| (service, service_name(&cx.region, service)));
    if let Some(name) = wanted
        .iter()
        .find(|name| known.iter().all(|(_, it)| it != *name))
    {
        Err(Refusal::new(
            "InvalidServiceName",
            format!("The Vpc Endpoint Service '{name}' does not exist"),
        ))?;
    }
    let zones: Vec<String> = zones::of(&cx.region)
        .into_iter()
        .map(|zone| zone.name)
        .collect();
    let shapes = known
        .iter()
        .filter(|(_, name)| wanted.is_empty() || wanted.contains(name))
        .map(|(service, name)| {
            let shape = t::ServiceDetail {
                service_name: Some(name.clone()),
                service_type: Some(vec![t::ServiceTypeDetail {
                    service_type: Some("Gateway".into()),
                }]),
                service_region: Some(cx.region.to_string()),
                availability_zones: Some(zones.clone()),
                owner: Some("amazon".into()),
                base_endpoint_dns_names: Some(vec![format!(
                    "{service}.{}.amazonaws.com",
                    cx.region
                )]),
                vpc_endpoint_policy_supported: Some(true),
                acceptance_required: Some(false),
                manages_vpc_endpoints: Some(false),
                tags: Some(Vec::new()),
                supported_ip_address_types: Some(vec!["ipv4".into()]),
                ..Default::default()
            };
            Ok((name.clone(), shape))
        });
    let query = Query {
        operation: "DescribeVpcEndpointServices",
        ids: input.service_names.as_ref(),
        filters: input.filters.as_ref(),
        max: input.max_results,
        token: input.next_token.as_deref(),
        dry_run: input.dry_run,
    };
    let page = ec2.page(&cx, query, SERVICE_FILTERS, shapes)?;
    let names = page
        .items
        .iter()
        .filter_map(|item| item.service_name.clone());
    Ok(t::DescribeVpcEndpointServicesResult {
        service_names: Some(names.collect()),
        service_details: Some(page.items),
        next_token: page.next,
    })
}

pub(crate) const LIST_FILTERS: Paths = &[
    ("prefix-list-id", "PrefixListId"),
    ("prefix-list-name", "PrefixListName"),
];

pub(crate) async fn describe_prefix_lists(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribePrefixListsRequest,
) -> Reply<t::DescribePrefixListsResult> {
    let wanted = input.prefix_list_ids.as_deref().unwrap_or_default();
    let lists = SERVICES.map(|service| (prefix_list(&cx.region, service), service));
    if let Some(id) = wanted
        .iter()
        .find(|id| lists.iter().all(|(it, _)| it != *id))
    {
        Err(Refusal::new(
            "InvalidPrefixListId.NotFound",
            format!("The prefix list ID '{id}' does not exist"),
        ))?;
    }
    let shapes = lists
        .iter()
        .filter(|(id, _)| wanted.is_empty() || wanted.contains(id))
        .map(|(id, service)| {
            let shape = t::PrefixList {
                cidrs: Some(blocks(&cx.region, id).iter().map(Cidr::to_string).collect()),
                prefix_list_id: Some(id.clone()),
                prefix_list_name: Some(service_name(&cx.region, service)),
            };
            Ok((id.clone(), shape))
        });
    let query = query!("DescribePrefixLists", input, prefix_list_ids);
    let page = ec2.page(&cx, query, LIST_FILTERS, shapes)?;
    Ok(t::DescribePrefixListsResult {
        next_token: page.next,
        prefix_lists: Some(page.items),
    })
}
