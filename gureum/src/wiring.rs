//! Wiring: which rooms there are and how they hold each other. Phase one makes the rooms and the
//! table of services; phase two, [`Rooms::start`], brings the background work to life.

use std::sync::Arc;

use gureum_blob::Blobs;
use gureum_block::Block;
use gureum_dispatch::Cloud;
use gureum_dynamodb::DynamoDb;
use gureum_ec2::Ec2;
use gureum_iam::{Iam, RootKey};
use gureum_kit::reconcile::{Driver, Reconciler, Running};
use gureum_kit::reset::Reset;
use gureum_kit::{Clock, Shutdown, Store, secret};
use gureum_kms::Kms;
use gureum_mail::Mailbox;
use gureum_metrics::Metrics;
use gureum_network::Network;
use gureum_outbound::{Outbound, certificates};
use gureum_room::Duty;
use gureum_s3::S3;
use gureum_sns::{Ground, Sns};
use gureum_sqs::Sqs;
use gureum_ssm::Ssm;
use gureum_wire::front::Porter;
use gureum_wire::front::tls::AuthorityPem;

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::failure::{Context, Failure};
use crate::figures::Gauge;
use crate::inside::Inside;
use crate::link_local::Behind;
use crate::machines::Host;
use crate::signing;

pub(crate) struct Rooms {
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) resources: Arc<Inside>,
    sns: Arc<Sns>,
    ec2: Arc<Ec2>,
    driver: Driver,
    work: Vec<Arc<dyn Reconciler>>,
    host: Arc<Host>,
}

/// The background work of a running cloud.
pub(crate) struct Work {
    shutdown: Shutdown,
    running: Running,
    host: Arc<Host>,
}

/// `authority` is the cloud's own certificate authority: what it calls may be itself.
pub(crate) async fn open(
    config: &Config,
    dir: &DataDir,
    authority: &AuthorityPem,
) -> Result<Rooms, Failure> {
    let root = dir.root_credentials(config)?;
    let clock = Clock::system();
    let store = Store::open(&dir.store()).or_fail("cannot open the store")?;
    let blobs = Blobs::open(dir.blobs()).or_fail("cannot open the content of objects")?;
    let driver = Driver::new(clock.clone());
    let own =
        certificates(&authority.certificate).or_fail("cannot read the certificate authority")?;
    let outbound = Arc::new(Outbound::new(clock.clone(), own));

    let iam = Iam::new(
        store.clone(),
        clock.clone(),
        RootKey {
            account: config.account,
            access_key_id: root.access_key_id,
            secret: root.secret_access_key,
        },
        &key(dir, "sts")?,
        Arc::clone(&outbound),
    );

    let s3 = S3::new(store.clone(), blobs, clock.clone(), &key(dir, "s3")?);
    let kms = Kms::new(store.clone(), clock.clone(), &key(dir, "kms")?, &driver);
    let sqs = Sqs::open(store.clone(), clock.clone(), &key(dir, "sqs")?, &driver)
        .await
        .or_fail("cannot open SQS")?;

    let ssm = Ssm::open(store.clone(), clock.clone(), &driver)
        .await
        .or_fail("cannot open Systems Manager")?;
    let sns = Sns::open(
        Ground {
            store: store.clone(),
            clock: clock.clone(),
            secret: key(dir, "sns")?,
            signing: signing::source(
                dir.secrets().join("sns-signing.pem"),
                authority.clone(),
                &config.domain,
            ),
            mailbox: Mailbox::open(dir.mail()).or_fail("cannot open the mailbox")?,
            relay: config.mail_relay.clone(),
            outbound,
            domain: config.domain.clone(),
        },
        &driver,
    )
    .await
    .or_fail("cannot open SNS")?;

    let host =
        Host::at(dir, config.public_pool, config.internet).or_fail("cannot open the volumes")?;
    let ec2 = Ec2::open(
        store.clone(),
        clock.clone(),
        &driver,
        &config.domain,
        (
            config.public_pool.network(),
            config.public_pool.prefix_len(),
        ),
        Some(host.planes()),
    )
    .await
    .or_fail("cannot open EC2")?;

    let secret = key(dir, "dynamodb")?;
    let dynamodb = DynamoDb::open(store.clone(), clock.clone(), &secret, &driver)
        .await
        .or_fail("cannot open DynamoDB")?;

    let cloud = Cloud::builder(iam.clone(), clock.clone(), config.region.clone())
        .service(iam.service())
        .service(iam.sts_service())
        .service(kms.service())
        .service(s3.service(&config.domain))
        .service(sns.service())
        .service(sqs.service())
        .service(ssm.service())
        .service(dynamodb.service())
        .service(dynamodb.streams_service())
        .service(ec2.service())
        .service(ec2.direct_service())
        .build();
    let metrics = Metrics::new(store.clone());
    let gauge = Gauge::new(metrics.clone(), host.clone(), ec2.clone(), clock.clone());
    let keepers: Vec<Arc<dyn Reset>> = vec![
        Arc::new(metrics),
        iam.clone(),
        kms.clone(),
        s3.clone(),
        sns.clone(),
        sqs.clone(),
        ssm.clone(),
        dynamodb.clone(),
        ec2.clone(),
    ];
    let mut work = iam.reconcilers();
    work.extend(kms.reconcilers());
    work.extend(s3.reconcilers(&cloud));
    work.extend(sns.reconcilers(&cloud));
    work.extend(sqs.reconcilers());
    work.extend(ssm.reconcilers(host.clone()));
    work.extend(dynamodb.reconcilers(&cloud));
    work.extend(ec2.reconcilers(&cloud));
    work.push(gauge.clone());
    Ok(Rooms {
        sns,
        ec2: ec2.clone(),
        resources: Arc::new(Inside::new(
            driver.clone(),
            store,
            keepers,
            ec2,
            host.clone(),
            gauge,
        )),
        cloud,
        driver,
        work,
        host,
    })
}

/// What the keeper of the machine room does, and for whom.
pub(crate) fn duties() -> Vec<Box<dyn Duty>> {
    let volume = Block::duty(vec!["volume".into()]);
    vec![Network::duty(), gureum_compute::duty(), volume]
}

/// The key that a service encrypts with what it keeps at rest.
fn key(dir: &DataDir, service: &str) -> Result<[u8; 32], Failure> {
    secret::read_or_create(&dir.secrets().join(service)).or_fail("cannot open a secret")
}

impl Rooms {
    /// `address` is where endpoints reach the front door, `https://127.0.0.1:4566`; `porter` opens
    /// it in VPCs, at `port` too.
    pub(crate) fn start(self, address: String, porter: Porter, port: u16) -> Work {
        self.sns.reachable_at(address);
        self.host.link_local.begin(Behind {
            ec2: self.ec2,
            cloud: self.cloud.clone(),
            porter,
            port,
        });
        let shutdown = Shutdown::new();
        let running = self.driver.start(self.work, &shutdown);
        Work {
            shutdown,
            running,
            host: self.host,
        }
    }
}

impl Work {
    /// Lets every run that is under way end; then nothing is left on the host. What should run
    /// runs again after the next start.
    pub(crate) async fn stop(self) {
        self.shutdown.begin();
        self.running.ended().await;
        self.host.leave().await;
    }
}
