//! Feeds the XML decoder.
#![no_main]

mod feed;

use gureum_schema::Protocol;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    type Lifecycle = gureum_model_s3::types::PutBucketLifecycleConfigurationRequest;
    feed::feed::<Lifecycle>(Protocol::RestXml, body);
});
