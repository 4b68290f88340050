//! Feeds the JSON decoder.
#![no_main]

mod feed;

use gureum_schema::Protocol;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    feed::feed::<gureum_model_sqs::types::SendMessageBatchRequest>(Protocol::AwsJson10, body);
});
