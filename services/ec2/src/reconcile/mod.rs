//! What makes the rows true: networks first, then the machines in them.

mod flow_logs;
mod images;
mod instances;
#[cfg(test)]
mod lab;
mod leftovers;
mod networks;
pub(crate) mod plan;
mod reach;
mod snapshots;
mod tally;
pub(crate) mod volumes;
pub(crate) mod vpc_plan;
mod zones;

use std::sync::Arc;

use gureum_dispatch::Cloud;
use gureum_kit::Reconciler;

use crate::state::Ec2;

pub(crate) const NETWORKS: &str = "ec2.networks";
pub(crate) const INSTANCES: &str = "ec2.instances";
pub(crate) const IMAGES: &str = "ec2.images";
pub(crate) const FLOW_LOGS: &str = "ec2.flow-logs";
pub(crate) const VOLUMES: &str = "ec2.volumes";

impl Ec2 {
    /// What has to run in the background; start it with the driver that the service was opened
    /// with. Without planes only the rows are looked after.
    pub fn reconcilers(self: &Arc<Self>, cloud: &Arc<Cloud>) -> Vec<Arc<dyn Reconciler>> {
        vec![
            Arc::new(networks::Networks(Arc::clone(self))),
            Arc::new(instances::Instances(Arc::clone(self), Arc::clone(cloud))),
            Arc::new(images::Images(Arc::clone(self), Arc::clone(cloud))),
            Arc::new(flow_logs::FlowLogs::new(self, cloud)),
            Arc::new(volumes::Volumes(Arc::clone(self), Arc::clone(cloud))),
        ]
    }
}
