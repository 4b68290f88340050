//! From small made-up models to the code that comes of them.

use serde_json::{Value, json};

use super::config::Service;
use super::{document, emit, shapes};
use crate::Result;

fn service(operations: &str) -> Service {
    let text = format!(
        "model = 'toy'\napi_version = '2020-01-01'\ntitle = 'Toy'\noperations = {operations}"
    );
    toml::from_str(&text).unwrap()
}

fn model(protocols: &[&str], operations: Value, shapes: Value) -> Value {
    json!({
        "metadata": {
            "apiVersion": "2020-01-01",
            "endpointPrefix": "toy",
            "serviceId": "Toy",
            "protocols": protocols,
            "jsonVersion": "1.1",
        },
        "operations": operations,
        "shapes": shapes,
    })
}

/// The files of a toy model with white space out of the way.
fn generate(operations: &str, document: Value) -> Result<Files> {
    let service = service(operations);
    let mut model = document::read(document)?;
    shapes::complete(&service, &mut model)?;
    let crate_ = shapes::translate(&service, &model)?;
    let files = emit::files(&crate_)?;
    let files = files.into_iter();
    Ok(Files(
        files.map(|(name, text)| (name, squeeze(&text))).collect(),
    ))
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[derive(Debug)]
struct Files(Vec<(&'static str, String)>);

impl Files {
    #[track_caller]
    fn has(&self, file: &str, code: &str) {
        let text = &self.0.iter().find(|(name, _)| *name == file).unwrap().1;
        assert!(text.contains(&squeeze(code)), "no `{code}` in:\n{text}");
    }

    #[track_caller]
    fn lacks(&self, file: &str, code: &str) {
        let text = &self.0.iter().find(|(name, _)| *name == file).unwrap().1;
        assert!(!text.contains(code), "`{code}` in:\n{text}");
    }
}

/// A model with one operation, `Do`, whose input has these members.
fn taking(members: Value, required: Value, mut shapes: Value) -> Value {
    shapes["DoRequest"] = json!({"type": "structure", "members": members, "required": required});
    let operations = json!({
        "Do": {"http": {"method": "POST", "requestUri": "/"}, "input": {"shape": "DoRequest"}},
    });
    model(&["json"], operations, shapes)
}

#[test]
fn members_become_fields() {
    let files = generate(
        "'all'",
        taking(
            json!({
                "Name": {"shape": "Text"},
                "Type": {"shape": "Text"},
                "Count": {"shape": "Long"},
                "Tags": {"shape": "TagMap"},
                "Holes": {"shape": "Sparse"},
                "When": {"shape": "Time", "timestampFormat": "iso8601"},
                "Payload": {"shape": "Blob", "streaming": true},
                "Small": {"shape": "Blob"},
                "Any": {"shape": "Anything"},
            }),
            json!(["Name"]),
            json!({
                "Text": {"type": "string", "min": 1, "max": 5, "pattern": "a\"b"},
                "Long": {"type": "long"},
                "TagMap": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Text"}},
                "Sparse": {"type": "list", "member": {"shape": "Text"}, "sparse": true},
                "Time": {"type": "timestamp", "timestampFormat": "unixTimestamp"},
                "Blob": {"type": "blob"},
                "Anything": {"type": "structure", "document": true, "members": {}},
            }),
        ),
    )
    .unwrap();
    files.has(
        "types.rs",
        "pub struct DoRequest { \
         pub name: String,\
         pub type_: Option<String>,\
         pub count: Option<i64>,\
         pub tags: Option<BTreeMap<String, String>>,\
         pub holes: Option<Vec<Option<String>>>,\
         pub when: Option<Timestamp>,\
         pub payload: Body,\
         pub small: Option<Bytes>,\
         pub any: Option<Document>, }",
    );
    files.has(
        "schemas.rs",
        r###"Schema::new("Text", Kind::String).min(1.0).max(5.0).pattern(r#"a"b"#)"###,
    );
    files.has("schemas.rs", r#"Schema::new("Blob", Kind::Stream)"#);
    files.has("schemas.rs", r#"Schema::new("Blob", Kind::Blob)"#);
    files.has(
        "schemas.rs",
        r#"Member::new("When", &TIME).timestamp(TimestampFormat::Iso8601)"#,
    );
    files.has(
        "schemas.rs",
        "Kind::Timestamp(Some(TimestampFormat::Epoch))",
    );
}

#[test]
fn an_operation_without_shapes_gets_empty_ones() {
    let operations = json!({
        "Stop": {"http": {"method": "PUT", "requestUri": "/stop?now", "responseCode": 204}},
        "Start": {"http": {"method": "PUT", "requestUri": "/start"}},
    });
    let files = generate("['Stop']", model(&["rest-json"], operations, json!({}))).unwrap();
    files.has("types.rs", "pub struct StopInput { }");
    files.has("types.rs", "pub struct StopOutput { }");
    files.has(
        "operations.rs",
        r#"OperationSpec::new("Stop", "PUT", "/stop?now").status(204).io("#,
    );
    files.has(
        "operations.rs",
        r#"OperationSpec::new("Start", "PUT", "/start");"#,
    );
    files.has("op.rs", "Stop = operations::STOP: types::StopInput");
    files.lacks("op.rs", "Start");
}

#[test]
fn recursion_is_boxed_only_where_nothing_else_breaks_it() {
    let files = generate(
        "'all'",
        taking(
            json!({"Tree": {"shape": "Tree"}}),
            json!([]),
            json!({
                "Tree": {"type": "structure", "members": {
                    "Parent": {"shape": "Holder"},
                    "Children": {"shape": "Trees"},
                }},
                "Holder": {"type": "structure", "members": {"Tree": {"shape": "Tree"}}},
                "Trees": {"type": "list", "member": {"shape": "Tree"}},
            }),
        ),
    )
    .unwrap();
    files.has("types.rs", "pub parent: Option<Box<Holder>>,");
    files.has("types.rs", "pub children: Option<Vec<Tree>>,");
    files.has(
        "types.rs",
        "pub struct DoRequest { pub tree: Option<Tree>, }",
    );
}

#[test]
fn a_union_becomes_an_enum() {
    let files = generate(
        "'all'",
        taking(
            json!({"Value": {"shape": "Value"}}),
            json!(["Value"]),
            json!({
                "Value": {"type": "structure", "union": true, "members": {
                    "S": {"shape": "Text"},
                    "M": {"shape": "Value"},
                }},
                "Text": {"type": "string"},
            }),
        ),
    )
    .unwrap();
    files.has(
        "types.rs",
        "pub enum Value { #[default] Unset, S(String),M(Box<Value>), } \
         union!(Value, schemas::VALUE, 0 S, 1 M);",
    );
}

#[test]
fn each_protocol_has_its_own_name_for_a_member() {
    let mut document = taking(
        json!({
            "Plain": {"shape": "Text", "locationName": "plain"},
            "Query": {"shape": "Text", "locationName": "query", "queryName": "Q"},
            "Header": {"shape": "Text", "location": "header", "locationName": "X-Thing"},
            "Old": {"shape": "Text", "xmlName": "Older"},
        }),
        json!([]),
        json!({"Text": {"type": "string"}}),
    );
    document["metadata"]["protocols"] = json!(["ec2"]);
    let files = generate("'all'", document).unwrap();
    files.has(
        "schemas.rs",
        r#"Member::new("Plain", &TEXT).json("plain").xml("plain"),"#,
    );
    files.has(
        "schemas.rs",
        r#"Member::new("Query", &TEXT).json("query").xml("query").ec2("Q"),"#,
    );
    files.has(
        "schemas.rs",
        r#"Member::new("Header", &TEXT).at(Location::Header("x-thing")),"#,
    );
    files.has("schemas.rs", r#"Member::new("Old", &TEXT).xml("Older"),"#);
}

#[test]
fn the_code_of_an_error_depends_on_the_services_past() {
    let operations = json!({
        "Do": {
            "http": {"method": "POST", "requestUri": "/"},
            "errors": [{"shape": "Gone"}, {"shape": "Broken"}],
        },
    });
    let shapes = json!({
        "Gone": {
            "type": "structure",
            "members": {},
            "exception": true,
            "error": {"code": "Toy.Gone", "httpStatusCode": 404},
        },
        "Broken": {"type": "structure", "members": {}, "exception": true, "fault": true},
    });
    let mut document = model(&["query"], operations, shapes);
    let files = generate("'all'", document.clone()).unwrap();
    files.has(
        "schemas.rs",
        r#"ErrorInfo { code: "Toy.Gone", status: 404, sender: true, query_code: None }"#,
    );
    files.has(
        "schemas.rs",
        r#"ErrorInfo { code: "Broken", status: 500, sender: false, query_code: None }"#,
    );
    document["metadata"]["awsQueryCompatible"] = json!({});
    let files = generate("'all'", document).unwrap();
    files.has(
        "schemas.rs",
        r#"ErrorInfo { code: "Gone", status: 404, sender: true, query_code: Some("Toy.Gone") }"#,
    );
}

#[test]
fn what_the_generator_does_not_know_is_refused_by_name() {
    let event_stream = taking(
        json!({"Events": {"shape": "Stream"}}),
        json!([]),
        json!({"Stream": {"type": "structure", "members": {}, "eventstream": true}}),
    );
    let problem = generate("'all'", event_stream.clone()).unwrap_err();
    assert!(
        problem.contains("Do: Stream is an event stream"),
        "{problem}"
    );
    // Off the allow-list it does no harm.
    generate("[]", event_stream.clone()).unwrap();

    let problem = generate("['Undo']", event_stream).unwrap_err();
    assert!(problem.contains("Undo"), "{problem}");

    let taken = taking(
        json!({"S": {"shape": "String"}}),
        json!([]),
        json!({"String": {"type": "structure", "members": {}}}),
    );
    let problem = generate("'all'", taken).unwrap_err();
    assert!(problem.contains("String"), "{problem}");

    let pattern = taking(
        json!({"S": {"shape": "Text"}}),
        json!([]),
        json!({"Text": {"type": "string", "pattern": "(?!a)b"}}),
    );
    let problem = generate("'all'", pattern).unwrap_err();
    assert!(problem.contains("the pattern of Text"), "{problem}");
}

#[test]
fn names_that_differ_in_case_only_stay_apart() {
    let files = generate(
        "'all'",
        taking(
            json!({"A": {"shape": "userName"}, "B": {"shape": "UserName"}}),
            json!([]),
            json!({"userName": {"type": "string"}, "UserName": {"type": "string"}}),
        ),
    )
    .unwrap();
    files.has(
        "schemas.rs",
        r#"pub static USER_NAME: Schema = Schema::new("UserName", Kind::String);"#,
    );
    files.has(
        "schemas.rs",
        r#"pub static USER_NAME_2: Schema = Schema::new("userName", Kind::String);"#,
    );
}

#[test]
fn documentation_goes_no_further() {
    let mut document = taking(
        json!({"S": {"shape": "Text", "documentation": "secret sauce"}}),
        json!([]),
        json!({"Text": {"type": "string", "documentation": "secret sauce"}}),
    );
    document["documentation"] = json!("secret sauce");
    document["operations"]["Do"]["documentation"] = json!("secret sauce");
    let files = generate("'all'", document).unwrap();
    for (name, _) in &files.0 {
        files.lacks(name, "secret");
    }
}
