//! Generated from the AWS API model of IAM.
