//! Generated from the AWS API model of S3.
