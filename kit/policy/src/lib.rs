//! The IAM policy language: documents, conditions, and the one evaluation of who may do what.
