//! A region as it begins, for tests of what is planned for its networks.

use std::net::Ipv4Addr;

use gureum_kit::reconcile::Driver;
use gureum_kit::{Clock, Store};

use crate::errors::Result;
use crate::model::interface::{Attachment, InterfaceRow};
use crate::model::subnet::SubnetRow;
use crate::resource::Here;
use crate::state::{Change, Ec2};
use crate::{defaults, ops};

/// What is made in a region that has its default VPC and nothing else yet.
pub(super) async fn in_a_region<T>(
    make: impl Fn(&mut Change<'_>, &Ec2, &SubnetRow) -> Result<T> + Send + Sync,
) -> T {
    let store = Store::memory();
    let driver = Driver::new(Clock::system());
    let pool = (Ipv4Addr::new(198, 18, 0, 0), 15);
    let ec2 = Ec2::open(store.clone(), Clock::system(), &driver, "test", pool, None);
    let ec2 = ec2.await.expect("service");
    let here = Here {
        region: "eu-west-1".parse().expect("region"),
        account: "123456789012".parse().expect("account"),
        now: 0,
    };
    let made = store.transact(|tx| {
        let mut w = Change {
            tx,
            here: &here,
            names: &ec2.names,
        };
        defaults::make_region(&mut w)?;
        let subnet = w.all::<SubnetRow>()?.remove(0);
        make(&mut w, &ec2, &subnet)
    });
    made.await.expect("rows")
}

/// The `eth0` of an instance that is not there itself.
pub(super) fn eth0(w: &mut Change<'_>, subnet: &SubnetRow, instance: &str) -> Result<InterfaceRow> {
    let mut row = ops::interfaces::make(w, subnet, &Default::default())?;
    row.attachment = Some(Attachment {
        id: format!("eni-attach-{instance}"),
        instance: instance.to_owned(),
        device_index: 0,
        delete_on_termination: true,
        at: 0,
    });
    Ok(row)
}
