//! Routes that a virtual private gateway brings by itself. There are no such gateways yet, so whichever is
//! named does not exist; nothing is propagated, and no table ever says so.

use std::convert::Infallible;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use crate::errors::Refusal;
use crate::model::route::RouteTableRow;
use crate::state::Ec2;

pub(crate) async fn enable(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::EnableVgwRoutePropagationRequest,
) -> Reply<t::EnableVgwRoutePropagationOutput> {
    let (table, gateway) = (&input.route_table_id, &input.gateway_id);
    match change(&ec2, &cx, input.dry_run, table, gateway).await? {}
}

pub(crate) async fn disable(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DisableVgwRoutePropagationRequest,
) -> Reply<t::DisableVgwRoutePropagationOutput> {
    let (table, gateway) = (&input.route_table_id, &input.gateway_id);
    match change(&ec2, &cx, input.dry_run, table, gateway).await? {}
}

async fn change(
    ec2: &Arc<Ec2>,
    cx: &Cx,
    dry_run: Option<bool>,
    table: &str,
    gateway: &str,
) -> Reply<Infallible> {
    let refused = ec2.write(cx, dry_run, |w| {
        w.need::<RouteTableRow>(table)?;
        Err(no_gateway(gateway))
    });
    Ok(refused.await?)
}

fn no_gateway(id: &str) -> Refusal {
    Refusal::new(
        "InvalidVpnGatewayID.NotFound",
        format!("The vpnGateway ID '{id}' does not exist"),
    )
}
