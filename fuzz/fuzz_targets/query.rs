//! Feeds the query decoder.
#![no_main]

mod feed;

use gureum_schema::Protocol;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    feed::feed::<gureum_model_iam::types::CreateUserRequest>(Protocol::AwsQuery, body);
    feed::feed::<gureum_model_iam::types::CreateUserRequest>(Protocol::Ec2Query, body);
});
