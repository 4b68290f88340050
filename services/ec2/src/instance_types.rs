//! Instance types: what a machine of each kind gets here.
//!
//! Names are AWS's, sizes are a laptop's: quotas of the smallest types are so small that ten of
//! them fit on two cores.

use crate::machines::Planes;

/// An instance type.
#[derive(Debug)]
pub(crate) struct InstanceType {
    pub(crate) name: &'static str,
    /// Processor time per time.
    pub(crate) cores: f64,
    /// MiB.
    pub(crate) memory: u32,
    pub(crate) burstable: bool,
    /// GiB of disk that last as long as the instance runs.
    pub(crate) store: Option<u32>,
}

const fn burstable(name: &'static str, cores: f64, memory: u32) -> InstanceType {
    InstanceType {
        name,
        cores,
        memory,
        burstable: true,
        store: None,
    }
}

const fn steady(name: &'static str, cores: f64, memory: u32) -> InstanceType {
    InstanceType {
        name,
        cores,
        memory,
        burstable: false,
        store: None,
    }
}

const fn storing(store: u32, kind: InstanceType) -> InstanceType {
    InstanceType {
        store: Some(store),
        ..kind
    }
}

/// All types, by name.
pub(crate) static TYPES: [InstanceType; 24] = [
    steady("c5.large", 1.0, 2048),
    steady("c5.xlarge", 2.0, 4096),
    steady("c5.2xlarge", 4.0, 8192),
    storing(4, steady("c5d.large", 1.0, 2048)),
    storing(8, steady("c5d.xlarge", 2.0, 4096)),
    steady("m5.large", 1.0, 4096),
    steady("m5.xlarge", 2.0, 8192),
    steady("m5.2xlarge", 4.0, 16_384),
    storing(8, steady("m5d.large", 1.0, 4096)),
    storing(16, steady("m5d.xlarge", 2.0, 8192)),
    steady("r5.large", 1.0, 8192),
    steady("r5.xlarge", 2.0, 16_384),
    storing(8, steady("r5d.large", 1.0, 8192)),
    storing(16, steady("r5d.xlarge", 2.0, 16_384)),
    burstable("t2.micro", 0.2, 256),
    burstable("t2.nano", 0.1, 128),
    burstable("t2.small", 0.3, 512),
    burstable("t3.2xlarge", 4.0, 8192),
    burstable("t3.large", 1.0, 2048),
    burstable("t3.medium", 0.5, 1024),
    burstable("t3.micro", 0.2, 256),
    burstable("t3.nano", 0.1, 128),
    burstable("t3.small", 0.3, 512),
    burstable("t3.xlarge", 2.0, 4096),
];

/// What instances are when nobody says.
pub(crate) const USUAL: &str = "m5.large";

impl InstanceType {
    /// Bytes.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.memory) << 20
    }

    /// Whole processors, as far as one can count parts of them.
    pub(crate) fn processors(&self) -> i32 {
        if self.cores > 1.0 {
            self.cores as i32
        } else {
            1
        }
    }

    /// Whether this host could run one if it had nothing else to do.
    fn fits(&self, planes: &Planes) -> bool {
        self.bytes() <= planes.memory && self.cores <= planes.cores
    }
}

/// The types that the host can serve: none without planes.
pub(crate) fn offered(planes: Option<&Planes>) -> impl Iterator<Item = &'static InstanceType> {
    let fits = move |it: &&InstanceType| planes.is_some_and(|planes| it.fits(planes));
    TYPES.iter().filter(fits)
}

pub(crate) fn find(planes: Option<&Planes>, name: &str) -> Option<&'static InstanceType> {
    offered(planes).find(|it| it.name == name)
}

/// A type by name, whether it is offered or not.
pub(crate) fn known(name: &str) -> Option<&'static InstanceType> {
    TYPES.iter().find(|it| it.name == name)
}
