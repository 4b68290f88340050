//! By which gateway endpoint a request came. The ways are kept in memory as they were worked out when
//! the networks were laid out last ([`crate::reconcile`]); an endpoint's policy is that of the moment.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use gureum_dispatch::VpcEndpoint;
use gureum_kit::Reader;
use gureum_policy::{Kind, Policy};

use crate::model::endpoint::EndpointRow;
use crate::resource::Place;
use crate::state::Ec2;

/// A service that has gateway endpoints, by its name in [`crate::machines::GATEWAYS`].
pub(crate) type Gateway = &'static str;
/// The endpoint to which a service's packets from a private address are led, where one is.
pub(crate) type WaysOfVpc = BTreeMap<(Gateway, Ipv4Addr), Place>;

/// Those of every VPC that is laid out, by its id.
#[derive(Default)]
pub(crate) struct Ways(RwLock<HashMap<String, WaysOfVpc>>);

impl Ways {
    /// Notes ways that are about to be opened. Old ones that are not among them are still there:
    /// what comes by them until they are closed is to be judged as before.
    pub(crate) fn begin(&self, vpc: &str, ways: &WaysOfVpc) {
        let mut all = self.write();
        let known = all.entry(vpc.to_owned()).or_default();
        known.extend(ways.iter().map(|(from, to)| (*from, to.clone())));
    }

    /// These are all that there are now.
    pub(crate) fn settle(&self, vpc: &str, ways: WaysOfVpc) {
        self.write().insert(vpc.to_owned(), ways);
    }

    /// No other VPC is laid out any more.
    pub(crate) fn keep(&self, vpcs: &BTreeSet<&str>) {
        self.write().retain(|vpc, _| vpcs.contains(vpc.as_str()));
    }

    fn endpoint(&self, vpc: &str, gateway: Gateway, from: Ipv4Addr) -> Option<Place> {
        self.read().get(vpc)?.get(&(gateway, from)).cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, WaysOfVpc>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, WaysOfVpc>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ec2 {
    /// The gateway endpoint through which come requests to a service (`s3`) from this address of a
    /// VPC; none where they come through the internet.
    pub fn gateway_endpoint(
        &self,
        vpc: &str,
        gateway: &'static str,
        from: Ipv4Addr,
    ) -> Option<VpcEndpoint> {
        let place = self.ways.endpoint(vpc, gateway, from)?;
        let id = place.2.clone();
        let policy = match self.store.read().get::<EndpointRow>(place) {
            Ok(Some(row)) => row.policy(),
            // Deleted, and the way that led there is about to be closed.
            Ok(None) => Policy::empty(Kind::Resource),
            Err(error) => {
                tracing::error!(%error, endpoint = id, "cannot read the endpoint, which is closed");
                Policy::empty(Kind::Resource)
            }
        };
        Some(VpcEndpoint {
            id,
            vpc: vpc.to_owned(),
            policy: Arc::new(policy),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 4);

    fn ways(endpoint: &str) -> WaysOfVpc {
        let region = "us-east-1".parse().expect("region");
        let account = "123456789012".parse().expect("account");
        WaysOfVpc::from([(("s3", ADDRESS), (region, account, endpoint.to_owned()))])
    }

    #[test]
    fn old_ways_hold_until_they_are_closed() {
        let ways_here = Ways::default();
        let seen = |gateway| {
            let place = ways_here.endpoint("vpc-1", gateway, ADDRESS);
            place.map(|(_, _, id)| id)
        };
        assert_eq!(seen("s3"), None);
        ways_here.begin("vpc-1", &ways("vpce-1"));
        ways_here.settle("vpc-1", ways("vpce-1"));
        assert_eq!(
            (seen("s3").as_deref(), seen("dynamodb")),
            (Some("vpce-1"), None)
        );
        // It is about to be closed.
        ways_here.begin("vpc-1", &WaysOfVpc::new());
        assert_eq!(seen("s3").as_deref(), Some("vpce-1"));
        ways_here.begin("vpc-1", &ways("vpce-2"));
        assert_eq!(seen("s3").as_deref(), Some("vpce-2"));
        ways_here.keep(&["vpc-1"].into());
        assert!(seen("s3").is_some());
        ways_here.settle("vpc-1", WaysOfVpc::new());
        assert_eq!(seen("s3"), None);
        ways_here.settle("vpc-1", ways("vpce-2"));
        ways_here.keep(&["vpc-2"].into());
        assert_eq!(seen("s3"), None);
    }
}
