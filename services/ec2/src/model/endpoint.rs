//! VPC endpoints of the gateway type: a way to S3 and DynamoDB without an internet gateway.

use gureum_kit::{Reader, Region};
use gureum_model_ec2::types as t;
use gureum_policy::{self as policy, Policy, Principal, Problem};
use gureum_schema::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::errors::{Refusal, Result};
use crate::filter::Paths;
use crate::machines::GATEWAYS;
use crate::names::Names;
use crate::resource::{Described, Kind, Meta, resource};
use crate::tags;

pub(crate) const KIND: Kind = Kind {
    prefix: "vpce",
    name: "vpc-endpoint",
    label: "VpcEndpoint",
    not_found: "InvalidVpcEndpointId.NotFound",
    malformed: "InvalidVpcEndpointId.Malformed",
    ownerless: false,
};

/// The services that have gateway endpoints.
pub(crate) const SERVICES: [&str; 2] = ["dynamodb", "s3"];

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct EndpointRow {
    pub(crate) meta: Meta,
    pub(crate) vpc: String,
    /// `s3`
    pub(crate) service: String,
    pub(crate) route_tables: Vec<String>,
    /// As it was given; without one, everything is allowed.
    #[serde(default)]
    pub(crate) policy: Option<String>,
}

resource!(EndpointRow, "ec2.vpc-endpoint", KIND, vpc: vpc);

/// What an endpoint has for a policy that was given none: everything is allowed.
const OPEN: &str = r#"{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#;

pub(crate) fn service_name(region: &Region, service: &str) -> String {
    format!("com.amazonaws.{region}.{service}")
}

/// The prefix list that stands for a service's addresses in a region.
pub(crate) fn prefix_list(region: &Region, service: &str) -> String {
    let seed = format!("prefix list of {service} in {region}");
    let hash = gureum_kit::idempotency::fingerprint(seed.as_bytes());
    format!("pl-{}", &hex::encode(hash)[..8])
}

/// What the prefix lists of services hold: an address each.
pub(crate) fn blocks(region: &Region, list: &str) -> Option<Cidr> {
    let mut gateways = GATEWAYS.into_iter();
    let (_, address) = gateways.find(|(service, _)| prefix_list(region, service) == list)?;
    Some(Cidr::around(address, 32))
}

/// Characters of the longest policy.
const MAX_POLICY: usize = 20_480;

/// Refuses what is no policy of a gateway endpoint. Gateways know no principal but everybody; whom
/// it is about, conditions say (`aws:PrincipalArn`).
///
/// <https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html>
pub(crate) fn check_policy(text: &str) -> Result<()> {
    let refused = |why: &str| {
        let message = format!("The Policy Document is not valid. {why}");
        Refusal::new("InvalidPolicyDocument", message)
    };
    if text.chars().count() > MAX_POLICY {
        return Err(refused(&Problem::TooLarge.to_string()));
    }
    let parsed = Policy::parse(text, policy::Kind::Resource);
    let parsed = parsed.map_err(|error| refused(&error.to_string()))?;
    if parsed.principals().any(|it| *it != Principal::Anyone) {
        return Err(refused(
            "The principal of a gateway endpoint's policy is *.",
        ));
    }
    Ok(())
}

impl EndpointRow {
    fn policy_text(&self) -> &str {
        self.policy.as_deref().unwrap_or(OPEN)
    }

    /// What may come through.
    pub(crate) fn policy(&self) -> Policy {
        Policy::parse(self.policy_text(), policy::Kind::Resource).unwrap_or_else(|error| {
            // It was checked when it was put. Whom it keeps out must not come in by accident.
            let id = &self.meta.id;
            tracing::error!(%error, endpoint = id, "a policy cannot be read: nothing comes through");
            Policy::empty(policy::Kind::Resource)
        })
    }

    pub(crate) fn prefix_list(&self) -> String {
        prefix_list(&self.meta.region, &self.service)
    }
}

impl Described for EndpointRow {
    type Shape = t::VpcEndpoint;
    const FILTERS: Paths = &[
        ("ip-address-type", "IpAddressType"),
        ("service-name", "ServiceName"),
        ("service-region", "ServiceRegion"),
        ("vpc-id", "VpcId"),
        ("vpc-endpoint-id", "VpcEndpointId"),
        ("vpc-endpoint-state", "State"),
        ("vpc-endpoint-type", "VpcEndpointType"),
    ];

    fn shape(&self, _: &impl Reader, _: &Names) -> Result<t::VpcEndpoint> {
        Ok(t::VpcEndpoint {
            vpc_endpoint_id: Some(self.meta.id.clone()),
            vpc_endpoint_type: Some("Gateway".into()),
            vpc_id: Some(self.vpc.clone()),
            service_name: Some(service_name(&self.meta.region, &self.service)),
            state: Some("available".into()),
            policy_document: Some(self.policy_text().into()),
            route_table_ids: Some(self.route_tables.clone()),
            subnet_ids: Some(Vec::new()),
            groups: Some(Vec::new()),
            ip_address_type: Some("ipv4".into()),
            private_dns_enabled: Some(false),
            requester_managed: Some(false),
            network_interface_ids: Some(Vec::new()),
            dns_entries: Some(Vec::new()),
            creation_timestamp: Some(Timestamp(self.meta.created)),
            tags: tags::shapes(&self.meta.tags),
            owner_id: Some(self.meta.account.to_string()),
            service_region: Some(self.meta.region.to_string()),
            ..Default::default()
        })
    }
}
