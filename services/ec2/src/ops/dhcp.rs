//! DHCP options.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use crate::describe::query;
use crate::errors::{Refusal, Result};
use crate::model::dhcp::{self, DhcpOptionsRow};
use crate::model::vpc::VpcRow;
use crate::resource::Resource as _;
use crate::state::Ec2;
use crate::tags;

/// The options that there are. Those about time and NetBIOS are kept and shown: instances here
/// have the host's clock, and no NetBIOS.
const KEYS: [&str; 6] = [
    "domain-name",
    "domain-name-servers",
    "ipv6-address-preferred-lease-time",
    "netbios-name-servers",
    "netbios-node-type",
    "ntp-servers",
];

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateDhcpOptionsRequest,
) -> Reply<t::CreateDhcpOptionsResult> {
    let options = options(&input.dhcp_configurations)?;
    let tags = tags::on_create(&dhcp::KIND, &input.tag_specifications)?;
    let shape = ec2
        .write(&cx, input.dry_run, |w| {
            let row = DhcpOptionsRow {
                meta: w.here.new_meta(&dhcp::KIND, tags.clone()),
                options: options.clone(),
            };
            w.put(&row)?;
            w.show(&row)
        })
        .await?;
    Ok(t::CreateDhcpOptionsResult {
        dhcp_options: Some(shape),
    })
}

fn options(given: &[t::NewDhcpConfiguration]) -> Result<BTreeMap<String, Vec<String>>> {
    let mut out = BTreeMap::new();
    for option in given {
        let key = option.key.clone().unwrap_or_default();
        let values = option.values.clone().unwrap_or_default();
        if !KEYS.contains(&key.as_str()) {
            return Err(Refusal::value(format!(
                "Value ({key}) for parameter name is invalid. Unknown DHCP option"
            )));
        }
        if values.is_empty() {
            return Err(Refusal::missing(&key));
        }
        if values.len() > 4 && key.ends_with("servers") {
            return Err(Refusal::new(
                "InvalidParameterValue",
                format!("At most four values can be given for {key}"),
            ));
        }
        out.insert(key, values);
    }
    if out.is_empty() {
        return Err(Refusal::missing("dhcpConfiguration"));
    }
    Ok(out)
}

pub(crate) async fn associate(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::AssociateDhcpOptionsRequest,
) -> Reply<t::AssociateDhcpOptionsOutput> {
    ec2.write(&cx, input.dry_run, |w| {
        let options = match input.dhcp_options_id.as_str() {
            "default" => None,
            id => Some(w.need::<DhcpOptionsRow>(id)?.meta.id),
        };
        w.change(&input.vpc_id, |vpc: &mut VpcRow| {
            vpc.dhcp_options = options;
            Ok(())
        })
    })
    .await?;
    Ok(t::AssociateDhcpOptionsOutput {})
}

pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteDhcpOptionsRequest,
) -> Reply<t::DeleteDhcpOptionsOutput> {
    ec2.write(&cx, input.dry_run, |w| {
        let row = w.need::<DhcpOptionsRow>(&input.dhcp_options_id)?;
        let vpcs = w.all::<VpcRow>()?;
        if vpcs
            .iter()
            .any(|vpc| vpc.dhcp_options.as_deref() == Some(row.id()))
        {
            return Err(Refusal::in_use("dhcpOptions", row.id()));
        }
        w.delete(&row)
    })
    .await?;
    Ok(t::DeleteDhcpOptionsOutput {})
}

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeDhcpOptionsRequest,
) -> Reply<t::DescribeDhcpOptionsResult> {
    let query = query!("DescribeDhcpOptions", input, dhcp_options_ids);
    let page = ec2.list::<DhcpOptionsRow>(&cx, query).await?;
    Ok(t::DescribeDhcpOptionsResult {
        next_token: page.next,
        dhcp_options: Some(page.items),
    })
}
