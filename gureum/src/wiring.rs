//! Wiring: which rooms there are and how they hold each other. Phase one makes the rooms and the
//! table of services; phase two, [`Rooms::start`], brings the background work to life.

use std::sync::Arc;

use gureum_blob::Blobs;
use gureum_dispatch::Cloud;
use gureum_iam::{Iam, RootKey};
use gureum_kit::reconcile::{Driver, Reconciler, Running};
use gureum_kit::{Clock, Shutdown, Store, secret};
use gureum_s3::S3;

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::failure::{Context, Failure};
use crate::inside::Inside;

pub(crate) struct Rooms {
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) resources: Arc<Inside>,
    driver: Driver,
    work: Vec<Arc<dyn Reconciler>>,
}

/// The background work of a running cloud.
pub(crate) struct Work {
    shutdown: Shutdown,
    running: Running,
}

pub(crate) fn open(config: &Config, dir: &DataDir) -> Result<Rooms, Failure> {
    let root = dir.root_credentials(config)?;
    let clock = Clock::system();
    let store = Store::open(&dir.store()).or_fail("cannot open the store")?;
    let blobs = Blobs::open(dir.blobs()).or_fail("cannot open the content of objects")?;
    let driver = Driver::new(clock.clone());

    let iam = Iam::new(
        store.clone(),
        clock.clone(),
        RootKey {
            account: config.account,
            access_key_id: root.access_key_id,
            secret: root.secret_access_key,
        },
        None,
    );

    let key = secret::read_or_create::<32>(&dir.secrets().join("s3")).or_fail("cannot open S3's key")?;
    let s3 = S3::new(store.clone(), blobs, clock.clone(), &key);

    let cloud = Cloud::builder(iam.clone(), clock, config.region.clone())
        .service(iam.service())
        .service(iam.sts_service())
        .service(s3.service(&config.domain))
        .build();
    let work = s3.reconcilers(&cloud);
    Ok(Rooms {
        resources: Arc::new(Inside::new(store, driver.clone())),
        cloud,
        driver,
        work,
    })
}

impl Rooms {
    pub(crate) fn start(self) -> Work {
        let shutdown = Shutdown::new();
        let running = self.driver.start(self.work, &shutdown);
        Work { shutdown, running }
    }
}

impl Work {
    /// Lets every run that is under way end.
    pub(crate) async fn stop(self) {
        self.shutdown.begin();
        self.running.ended().await;
    }
}
