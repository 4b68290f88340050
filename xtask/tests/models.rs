//! The generated crates hold together: what a schema says of a type is what the type is.

use gureum_model_iam as iam;
use gureum_model_s3 as s3;
use gureum_model_sqs as sqs;
use gureum_model_sts as sts;
use gureum_schema::{
    Field, Kind, Member, Operation, OperationSpec, Protocol, Schema, ServiceSpec, Slot, Struct,
    View,
};

type Visit<'a> = &'a mut dyn FnMut(&'static OperationSpec, &mut dyn Struct, &mut dyn Struct);
type Each = fn(Visit<'_>);

const CRATES: [(&ServiceSpec, Each); 4] = [
    (&iam::SERVICE, iam::op::each),
    (&s3::SERVICE, s3::op::each),
    (&sqs::SERVICE, sqs::op::each),
    (&sts::SERVICE, sts::op::each),
];

#[test]
fn every_allowed_operation_is_one_of_its_service() {
    for (service, each) in CRATES {
        let mut count = 0;
        each(&mut |spec, input, output| {
            count += 1;
            assert!(
                service.operations.iter().any(|o| std::ptr::eq(*o, spec)),
                "{} is not in {}",
                spec.name,
                service.name
            );
            assert!(spec.input.is_some_and(|s| std::ptr::eq(s, input.schema())));
            assert!(
                spec.output
                    .is_some_and(|s| std::ptr::eq(s, output.schema()))
            );
        });
        let typed = service.operations.iter().filter(|o| o.input.is_some());
        assert_eq!(count, typed.count(), "{}", service.name);
    }
}

#[test]
fn operation_names_are_distinct_and_sorted() {
    for (service, _) in CRATES {
        let names: Vec<_> = service.operations.iter().map(|o| o.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }
}

#[test]
fn every_field_is_what_its_schema_says() {
    for (_, each) in CRATES {
        each(&mut |spec, input, output| {
            walk(input, spec.name, &mut Vec::new());
            walk(output, spec.name, &mut Vec::new());
        });
    }
}

#[test]
fn every_error_shape_is_an_error() {
    for (service, _) in CRATES {
        for error in service.operations.iter().flat_map(|o| o.errors) {
            let Kind::Structure {
                error: Some(info), ..
            } = error.kind
            else {
                panic!("{} is no error", error.name);
            };
            assert_eq!(info.sender, info.status < 500, "{}", error.name);
        }
    }
}

/// Compares each field of `value` with its member, filling it on the way.
fn walk(value: &mut dyn Struct, path: &str, above: &mut Vec<*const Schema>) {
    let schema = value.schema();
    if above.contains(&std::ptr::from_ref(schema)) {
        return; // a recursive shape: the same again
    }
    above.push(schema);
    for (index, member) in schema.members().iter().enumerate() {
        let path = format!("{path}.{}", member.name);
        if !schema.is_union() {
            let absent = matches!(value.field(index).view(), View::None);
            let stream = matches!(member.target.kind, Kind::Stream);
            assert_eq!(absent, !member.required && !stream, "{path}");
        }
        fill(value.field_mut(index), member, &path, above);
        let present = !matches!(value.field(index).view(), View::None);
        assert!(present, "{path} was filled and is still absent");
    }
    if let Kind::Structure {
        payload: Some(index),
        ..
    } = schema.kind
    {
        assert!(index < schema.members().len(), "{path}: payload");
    }
    above.pop();
}

fn fill(field: &mut dyn Field, member: &Member, path: &str, above: &mut Vec<*const Schema>) {
    let target = member.target;
    match (field.slot(), &target.kind) {
        (Slot::Struct(inner), Kind::Structure { .. }) => {
            assert!(std::ptr::eq(inner.schema(), target), "{path}: another type");
            walk(inner, path, above);
        }
        (Slot::List(list), Kind::List { item, .. }) => fill(list.push(), item, path, above),
        (Slot::Map(map), Kind::Map { key, value, .. }) => {
            assert!(matches!(key.target.kind, Kind::String), "{path}: key");
            fill(map.insert("key".to_owned()), value, path, above);
        }
        (Slot::Str(_), Kind::String)
        | (Slot::Bool(_), Kind::Boolean)
        | (Slot::Int(_), Kind::Integer)
        | (Slot::Long(_), Kind::Long)
        | (Slot::Float(_), Kind::Float)
        | (Slot::Double(_), Kind::Double)
        | (Slot::Blob(_), Kind::Blob)
        | (Slot::Time(_), Kind::Timestamp(_))
        | (Slot::Document(_), Kind::Document)
        | (Slot::Body(_), Kind::Stream) => {}
        (_, kind) => panic!("{path}: the type is not {kind:?}"),
    }
}

#[test]
fn what_the_overlay_corrects_is_corrected() {
    assert_eq!(
        sqs::SERVICE.protocols,
        [Protocol::AwsJson10, Protocol::AwsQuery]
    );
    let send = sqs::op::SendMessage::SPEC;
    assert_eq!(send.result_wrapper, Some("SendMessageResult"));
    let attributes = member(&sqs::schemas::SEND_MESSAGE_REQUEST, "MessageAttributes");
    assert_eq!(attributes.json, "MessageAttributes");
    assert_eq!(attributes.xml, "MessageAttribute");
    let Kind::Structure {
        error: Some(info), ..
    } = sqs::schemas::QUEUE_DOES_NOT_EXIST.kind
    else {
        panic!("no error");
    };
    assert_eq!(info.code, "QueueDoesNotExist");
    assert_eq!(
        info.query_code,
        Some("AWS.SimpleQueueService.NonExistentQueue")
    );
    let list = s3::op::ListObjectsV2::SPEC;
    assert_eq!(list.output_root, Some("ListBucketResult"));
}

#[test]
fn what_the_model_says_of_the_wire_arrives() {
    use gureum_schema::Location;

    let put = &s3::schemas::PUT_OBJECT_REQUEST;
    assert_eq!(
        member(put, "ContentMD5").location,
        Location::Header("content-md5")
    );
    assert_eq!(
        member(put, "Metadata").location,
        Location::HeaderPrefix("x-amz-meta-")
    );
    assert_eq!(member(put, "Key").location, Location::Uri("Key"));
    let Kind::Structure {
        payload: Some(body),
        ..
    } = put.kind
    else {
        panic!("no payload");
    };
    assert_eq!(put.members()[body].name, "Body");
    assert_eq!(s3::op::PutObject::SPEC.http.uri, "/{Bucket}/{Key+}");
    assert_eq!(s3::op::DeleteObject::SPEC.http.status, 204);
    assert!(s3::op::DeleteObjects::SPEC.checksum_required);

    let grantee = &s3::schemas::GRANTEE;
    assert!(member(grantee, "Type").xml_attribute);
    let uri = "http://www.w3.org/2001/XMLSchema-instance";
    assert_eq!(
        member(&s3::schemas::GRANT, "Grantee").namespace,
        Some(("xsi", uri))
    );

    assert!(sts::op::AssumeRoleWithWebIdentity::SPEC.unsigned);
    assert!(!sts::op::AssumeRole::SPEC.unsigned);
    assert!(iam::SERVICE.global);
    let secret = member(&iam::schemas::ACCESS_KEY, "SecretAccessKey");
    assert!(secret.target.sensitive);
}

fn member(schema: &'static Schema, name: &str) -> &'static Member {
    match schema.members().iter().find(|m| m.name == name) {
        Some(member) => member,
        None => panic!("{} has no {name}", schema.name),
    }
}
