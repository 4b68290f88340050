//! Internet gateways.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use crate::describe::query;
use crate::errors::Refusal;
use crate::model::gateway::{self, InternetGatewayRow};
use crate::model::interface::InterfaceRow;
use crate::model::vpc::VpcRow;
use crate::resource::Resource as _;
use crate::state::Ec2;
use crate::tags;

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateInternetGatewayRequest,
) -> Reply<t::CreateInternetGatewayResult> {
    let tags = tags::on_create(&gateway::KIND, &input.tag_specifications)?;
    let gateway = ec2
        .write(&cx, input.dry_run, |w| {
            let gateway = InternetGatewayRow {
                meta: w.here.new_meta(&gateway::KIND, tags.clone()),
                vpc: None,
            };
            w.put(&gateway)?;
            w.show(&gateway)
        })
        .await?;
    Ok(t::CreateInternetGatewayResult {
        internet_gateway: Some(gateway),
    })
}

pub(crate) async fn attach(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::AttachInternetGatewayRequest,
) -> Reply<t::AttachInternetGatewayOutput> {
    ec2.write(&cx, input.dry_run, |w| {
        let mut gateway = w.need::<InternetGatewayRow>(&input.internet_gateway_id)?;
        let vpc = w.need::<VpcRow>(&input.vpc_id)?;
        if let Some(other) = &gateway.vpc {
            let (id, vpc) = (gateway.id(), other);
            return Err(Refusal::new(
                "Resource.AlreadyAssociated",
                format!("resource {id} is already attached to network {vpc}"),
            ));
        }
        let mut others = w.all::<InternetGatewayRow>()?.into_iter();
        if others.any(|other| other.vpc.as_deref() == Some(vpc.id())) {
            return Err(Refusal::value(format!(
                "Network {} already has an internet gateway attached",
                vpc.id()
            )));
        }
        gateway.vpc = Some(vpc.meta.id);
        w.put(&gateway)
    })
    .await?;
    Ok(t::AttachInternetGatewayOutput {})
}

pub(crate) async fn detach(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DetachInternetGatewayRequest,
) -> Reply<t::DetachInternetGatewayOutput> {
    ec2.write(&cx, input.dry_run, |w| {
        let mut gateway = w.need::<InternetGatewayRow>(&input.internet_gateway_id)?;
        let vpc = w.need::<VpcRow>(&input.vpc_id)?;
        if gateway.vpc.as_deref() != Some(vpc.id()) {
            return Err(Refusal::new(
                "Gateway.NotAttached",
                format!("resource {} is not attached to network {}", gateway.id(), vpc.id()),
            ));
        }
        let interfaces = w.of_vpc::<InterfaceRow>(vpc.id())?;
        let mut addresses = interfaces.iter().flat_map(|it| &it.addresses);
        if addresses.any(|address| address.public.is_some()) {
            return Err(Refusal::new(
                "DependencyViolation",
                format!(
                    "Network {} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.",
                    vpc.id()
                ),
            ));
        }
        gateway.vpc = None;
        w.put(&gateway)
    })
    .await?;
    Ok(t::DetachInternetGatewayOutput {})
}

pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteInternetGatewayRequest,
) -> Reply<t::DeleteInternetGatewayOutput> {
    ec2.write(&cx, input.dry_run, |w| {
        let gateway = w.need::<InternetGatewayRow>(&input.internet_gateway_id)?;
        if gateway.vpc.is_some() {
            return Err(Refusal::in_use("internetGateway", gateway.id()));
        }
        w.delete(&gateway)
    })
    .await?;
    Ok(t::DeleteInternetGatewayOutput {})
}

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeInternetGatewaysRequest,
) -> Reply<t::DescribeInternetGatewaysResult> {
    let query = query!("DescribeInternetGateways", input, internet_gateway_ids);
    let page = ec2.list::<InternetGatewayRow>(&cx, query).await?;
    Ok(t::DescribeInternetGatewaysResult {
        next_token: page.next,
        internet_gateways: Some(page.items),
    })
}
