//! Versions of a key, against a model of what S3 promises.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

async fn set(world: &World, status: &str) {
    let request = PutBucketVersioningRequest {
        bucket: "bbb".into(),
        versioning_configuration: VersioningConfiguration {
            status: Some(status.into()),
            ..Default::default()
        },
        ..Default::default()
    };
    world
        .call::<op::PutBucketVersioning>(request)
        .await
        .expect("versioning");
}

async fn delete(world: &World, key: &str, version: Option<&str>) -> Result<DeleteObjectOutput> {
    let request = DeleteObjectRequest {
        bucket: "bbb".into(),
        key: key.into(),
        version_id: version.map(Into::into),
        ..Default::default()
    };
    world.call::<op::DeleteObject>(request).await
}

async fn get_version(world: &World, key: &str, version: &str) -> Result<Vec<u8>> {
    let request = GetObjectRequest {
        version_id: Some(version.into()),
        ..get(key)
    };
    Ok(read(world.call::<op::GetObject>(request).await?.body).await)
}

/// (key, version, latest, is a marker), in the order of the listing, by pages of `max`.
async fn versions(world: &World, max: i32) -> Vec<(String, String, bool, bool)> {
    let mut all = BTreeMap::new();
    let (mut key_marker, mut version_id_marker) = (None, None);
    loop {
        let request = ListObjectVersionsRequest {
            bucket: "bbb".into(),
            max_keys: Some(max),
            key_marker,
            version_id_marker,
            ..Default::default()
        };
        let page = world
            .call::<op::ListObjectVersions>(request)
            .await
            .expect("page");
        let objects = page.versions.into_iter().flatten();
        let objects = objects.map(|v| (v.key, v.version_id, v.is_latest, false));
        let markers = page.delete_markers.into_iter().flatten();
        let markers = markers.map(|v| (v.key, v.version_id, v.is_latest, true));
        for (key, id, latest, marker) in objects.chain(markers) {
            let (key, id) = (key.expect("key"), id.expect("id"));
            let before = all.insert((key, id), (latest == Some(true), marker));
            assert_eq!(before, None, "listed twice");
        }
        if page.is_truncated != Some(true) {
            break;
        }
        (key_marker, version_id_marker) = (page.next_key_marker, page.next_version_id_marker);
    }
    all.into_iter()
        .map(|((key, id), (latest, marker))| (key, id, latest, marker))
        .collect()
}

#[tokio::test]
async fn a_delete_marker_hides_and_its_deletion_shows() {
    let world = World::with_bucket().await;
    world.put("k", "zero").await;
    set(&world, "Enabled").await;
    let one = world.put("k", "one").await.version_id.expect("id");
    let marker = delete(&world, "k", None).await.expect("marker");
    assert_eq!(marker.delete_marker, Some(true));
    let marker = marker.version_id.expect("id");
    let error = world
        .call::<op::GetObject>(get("k"))
        .await
        .map(drop)
        .expect_err("hidden");
    assert_eq!(error.code, "NoSuchKey");
    assert!(
        error
            .headers
            .contains(&("x-amz-delete-marker", "true".into()))
    );
    assert_eq!(
        code(get_version(&world, "k", &marker).await),
        "MethodNotAllowed"
    );
    assert_eq!(
        get_version(&world, "k", "null").await.expect("null"),
        b"zero"
    );
    assert_eq!(get_version(&world, "k", &one).await.expect("one"), b"one");
    assert_eq!(
        code(get_version(&world, "k", "nonsense").await),
        "InvalidArgument"
    );
    delete(&world, "k", Some(&marker)).await.expect("unhidden");
    assert_eq!(world.get("k").await.expect("shown"), b"one");
    delete(&world, "k", Some(&one)).await.expect("deleted");
    assert_eq!(world.get("k").await.expect("shown"), b"zero");
    delete(&world, "k", Some("null")).await.expect("deleted");
    assert_eq!(code(world.get("k").await), "NoSuchKey");
    assert_eq!(versions(&world, 1000).await, []);
}

#[derive(Clone, Debug)]
enum Step {
    Enable,
    Suspend,
    Put(&'static str),
    Delete(&'static str),
    /// The nth of the versions there are.
    DeleteVersion(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let key = prop::sample::select(vec!["k", "k\u{0}", "l"]);
    prop_oneof![
        1 => Just(Step::Enable),
        1 => Just(Step::Suspend),
        4 => key.clone().prop_map(Step::Put),
        2 => key.prop_map(Step::Delete),
        3 => (0usize..20).prop_map(Step::DeleteVersion),
    ]
}

/// A key's versions, oldest first: id, and content unless it is a marker.
type Oracle = BTreeMap<String, Vec<(String, Option<Vec<u8>>)>>;

async fn run(steps: Vec<Step>) {
    let world = World::with_bucket().await;
    let mut oracle = Oracle::new();
    let (mut enabled, mut ever) = (false, false);
    for (n, step) in steps.into_iter().enumerate() {
        match step {
            Step::Enable => {
                set(&world, "Enabled").await;
                (enabled, ever) = (true, true);
            }
            Step::Suspend => {
                set(&world, "Suspended").await;
                (enabled, ever) = (false, true);
            }
            Step::Put(key) => {
                // Every third is a file of its own.
                let content = vec![n as u8; if n % 3 == 0 { 70_000 } else { 3 }];
                let id = world.put(key, content.clone()).await.version_id;
                add(
                    &mut oracle,
                    key,
                    id.unwrap_or("null".into()),
                    Some(content),
                    enabled,
                );
            }
            Step::Delete(key) => {
                let id = delete(&world, key, None).await.expect("delete").version_id;
                if ever {
                    add(&mut oracle, key, id.expect("id"), None, enabled);
                } else {
                    oracle.remove(key);
                }
            }
            Step::DeleteVersion(nth) => {
                let all: Vec<_> = oracle
                    .iter()
                    .flat_map(|(k, v)| v.iter().map(move |v| (k.clone(), v.0.clone())))
                    .collect();
                if let Some((key, id)) = all.get(nth % all.len().max(1)) {
                    delete(&world, key, Some(id)).await.expect("delete");
                    let versions = oracle.get_mut(key).expect("key");
                    versions.retain(|version| version.0 != *id);
                    if versions.is_empty() {
                        oracle.remove(key);
                    }
                }
            }
        }
        check(&world, &oracle, n as i32 % 3 + 1).await;
    }
    world.reap().await;
    let large = |content: &Option<Vec<u8>>| content.as_ref().is_some_and(|c| c.len() > 65_536);
    let files = oracle
        .values()
        .flatten()
        .filter(|(_, content)| large(content))
        .count();
    assert_eq!(world.files().await, files as u64);
}

fn add(oracle: &mut Oracle, key: &str, id: String, content: Option<Vec<u8>>, enabled: bool) {
    let versions = oracle.entry(key.to_owned()).or_default();
    if !enabled {
        assert_eq!(id, "null");
        versions.retain(|version| version.0 != "null");
    }
    versions.push((id, content));
}

async fn check(world: &World, oracle: &Oracle, page: i32) {
    let mut expected: Vec<_> = oracle
        .iter()
        .flat_map(|(key, versions)| {
            let last = versions.len() - 1;
            let entry = move |(n, v): (usize, &(String, Option<Vec<u8>>))| {
                (key.clone(), v.0.clone(), n == last, v.1.is_none())
            };
            versions.iter().enumerate().map(entry)
        })
        .collect();
    expected.sort();
    assert_eq!(versions(world, page).await, expected);
    for (key, versions) in oracle {
        let newest = versions.last().and_then(|version| version.1.clone());
        assert_eq!(world.get(key).await.ok(), newest);
        for (id, content) in versions {
            assert_eq!(get_version(world, key, id).await.ok(), *content);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn versions_are_those_of_the_model(steps in prop::collection::vec(step(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(run(steps));
    }
}
