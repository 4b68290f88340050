//! Random small questions, answered by the crate and by a second evaluator that shares nothing
//! with it: it knows by table what each pattern covers, expands every policy into the set of
//! requests it speaks of, and reads the answer off those sets.

use std::collections::BTreeSet;

use gureum_policy::{
    CallerKind, CallerView, Context, Kind, NamedPolicy, Policy, Question, ResourceMode, evaluate,
};
use proptest::prelude::*;

const HOME: &str = "111122223333";
const AWAY: &str = "444455556666";
const USER: &str = "arn:aws:iam::111122223333:user/ann";
const ROLE: &str = "arn:aws:iam::111122223333:role/r";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/r/s";
const ROOT: &str = "arn:aws:iam::111122223333:root";

const ACTIONS: [&str; 3] = ["s3:GetObject", "s3:PutObject", "sqs:SendMessage"];
const RESOURCES: [&str; 3] = [
    "arn:aws:s3:::a",
    "arn:aws:s3:::a/k",
    "arn:aws:sqs:x:111122223333:q",
];

/// What each pattern covers, by position in the lists above.
const ACTION_PATTERNS: [(&str, &[usize]); 7] = [
    ("*", &[0, 1, 2]),
    ("s3:*", &[0, 1]),
    ("S3:getobject", &[0]),
    ("s3:?utObject", &[1]),
    ("sqs:Send*", &[2]),
    ("s3:*Object", &[0, 1]),
    ("s3:Object", &[]),
];
/// The last two hold a variable: what they cover depends on the user's name being known.
const RESOURCE_PATTERNS: [(&str, &[usize]); 7] = [
    ("*", &[0, 1, 2]),
    ("arn:aws:s3:::*", &[0, 1]),
    ("arn:aws:s3:::a", &[0]),
    ("arn:aws:s3:::a/?", &[1]),
    ("arn:aws:sqs:*:q", &[2]),
    ("arn:aws:s3:::${aws:username}", &[0]),
    ("arn:aws:s3:::${aws:username}/*", &[1]),
];
const FIRST_VARIABLE_PATTERN: usize = 5;

const OPERATORS: [&str; 10] = [
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIfExists",
    "StringLike",
    "StringNotLike",
    "ForAllValues:StringEquals",
    "ForAnyValue:StringEquals",
    "ForAllValues:StringNotLike",
    "ForAnyValue:StringNotEquals",
    "Null",
];
const KEYS: [&str; 2] = ["aws:One", "aws:Two"];
const VALUES: [&str; 3] = ["v", "vw", "w"];

const PRINCIPALS: [&str; 8] = [
    "*",
    HOME,
    ROOT,
    AWAY,
    USER,
    ROLE,
    SESSION,
    "sns.amazonaws.com",
];

/// A statement as the generator makes it; lists are positions in the tables above.
#[derive(Debug, Clone)]
struct Draft {
    allow: bool,
    principals: (bool, Vec<usize>),
    actions: (bool, Vec<usize>),
    resources: (bool, Vec<usize>),
    /// Operator, key, values.
    conditions: Vec<(usize, usize, Vec<usize>)>,
}

/// The world around a request.
#[derive(Debug, Clone)]
struct Scene {
    kind: CallerKind,
    action: usize,
    resource: usize,
    owner: &'static str,
    must_allow: bool,
    username_known: bool,
    values: [Vec<usize>; 2],
    identity: Vec<Draft>,
    boundary: Option<Vec<Draft>>,
    session: Option<Vec<Draft>>,
    bucket: Option<Vec<Draft>>,
    endpoint: Option<Vec<Draft>>,
}

mod text {
    //! Drafts as policy documents.
    use super::*;

    fn list(names: &[&str]) -> String {
        serde_json::to_string(names).expect("strings")
    }

    fn pick(table: &[(&'static str, &[usize])], chosen: &[usize]) -> Vec<&'static str> {
        chosen.iter().map(|&i| table[i].0).collect()
    }

    pub(super) fn policy(drafts: &[Draft], kind: Kind) -> Policy {
        let statements: Vec<String> = drafts.iter().map(|draft| statement(draft, kind)).collect();
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{}]}}"#,
            statements.join(",")
        );
        Policy::parse(&text, kind).expect(&text)
    }

    fn statement(draft: &Draft, kind: Kind) -> String {
        let not = |negated: bool| if negated { "Not" } else { "" };
        let effect = if draft.allow { "Allow" } else { "Deny" };
        let actions = list(&pick(&ACTION_PATTERNS, &draft.actions.1));
        let resources = list(&pick(&RESOURCE_PATTERNS, &draft.resources.1));
        let mut text = format!(
            r#"{{"Effect":"{effect}","{}Action":{actions},"{}Resource":{resources}"#,
            not(draft.actions.0),
            not(draft.resources.0)
        );
        if kind == Kind::Resource {
            let (services, others): (Vec<&str>, Vec<&str>) = draft
                .principals
                .1
                .iter()
                .map(|&i| PRINCIPALS[i])
                .partition(|name| name.ends_with(".com"));
            let (services, others) = (list(&services), list(&others));
            let field = not(draft.principals.0);
            text += &format!(r#","{field}Principal":{{"AWS":{others},"Service":{services}}}"#);
        }
        let conditions: Vec<String> = draft
            .conditions
            .iter()
            .map(|(operator, key, values)| {
                let values = match OPERATORS[*operator] {
                    "Null" => vec![if values[0] == 0 { "true" } else { "false" }],
                    name if name.contains("Like") => {
                        values.iter().map(|&v| ["v*", "*w", "w"][v]).collect()
                    }
                    _ => values.iter().map(|&v| VALUES[v]).collect(),
                };
                format!(
                    r#""{}":{{"{}":{}}}"#,
                    OPERATORS[*operator],
                    KEYS[*key],
                    list(&values)
                )
            })
            .collect();
        text + &format!(r#","Condition":{{{}}}}}"#, conditions.join(","))
    }
}

mod oracle {
    //! The second evaluator.
    use super::*;

    /// Requests as (action, resource), by position.
    type Requests = BTreeSet<(usize, usize)>;

    fn condition(scene: &Scene, operator: usize, key: usize, values: &[usize]) -> bool {
        let have: BTreeSet<usize> = scene.values[key].iter().copied().collect();
        let absent = have.is_empty();
        let exactly: BTreeSet<usize> = values.iter().copied().collect();
        // "v*" covers v and vw, "*w" covers vw and w, "w" covers w.
        let like: BTreeSet<usize> = values
            .iter()
            .flat_map(|&v| [&[0, 1][..], &[1, 2], &[2]][v])
            .copied()
            .collect();
        match OPERATORS[operator] {
            "StringEquals" => !have.is_disjoint(&exactly),
            "StringNotEquals" => have.is_disjoint(&exactly),
            "StringEqualsIfExists" => absent || !have.is_disjoint(&exactly),
            "StringLike" => !have.is_disjoint(&like),
            "StringNotLike" => have.is_disjoint(&like),
            "ForAllValues:StringEquals" => have.is_subset(&exactly),
            "ForAnyValue:StringEquals" => have.intersection(&exactly).next().is_some(),
            "ForAllValues:StringNotLike" => have.intersection(&like).next().is_none(),
            "ForAnyValue:StringNotEquals" => have.difference(&exactly).next().is_some(),
            "Null" => absent == (values[0] == 0),
            other => unreachable!("{other}"),
        }
    }

    /// Every request a statement speaks of.
    fn requests(scene: &Scene, draft: &Draft) -> Requests {
        let mut speaks = Requests::new();
        if !draft
            .conditions
            .iter()
            .all(|(op, key, values)| condition(scene, *op, *key, values))
        {
            return speaks;
        }
        let actions: BTreeSet<usize> = draft
            .actions
            .1
            .iter()
            .flat_map(|&i| ACTION_PATTERNS[i].1)
            .copied()
            .collect();
        let mut resources: BTreeSet<usize> = BTreeSet::new();
        let mut unknown = false;
        for &pattern in &draft.resources.1 {
            if pattern >= FIRST_VARIABLE_PATTERN && !scene.username_known {
                unknown = true;
            } else {
                resources.extend(RESOURCE_PATTERNS[pattern].1);
            }
        }
        for action in 0..ACTIONS.len() {
            for resource in 0..RESOURCES.len() {
                let resource_fits = if draft.resources.0 {
                    !unknown && !resources.contains(&resource)
                } else {
                    resources.contains(&resource)
                };
                if resource_fits && actions.contains(&action) != draft.actions.0 {
                    speaks.insert((action, resource));
                }
            }
        }
        speaks
    }

    /// The union over the statements of one effect that `concern` the caller.
    fn union(
        scene: &Scene,
        drafts: &[Draft],
        allow: bool,
        concern: impl Fn(&Draft) -> bool,
    ) -> Requests {
        let chosen = drafts
            .iter()
            .filter(|draft| draft.allow == allow && concern(draft));
        chosen.flat_map(|draft| requests(scene, draft)).collect()
    }

    /// The names that mean the caller as such, its role, and its account.
    fn names(kind: CallerKind) -> [&'static [&'static str]; 3] {
        match kind {
            CallerKind::Root => [&["*", HOME, ROOT], &[], &[]],
            CallerKind::User => [&["*", USER], &[], &[HOME, ROOT]],
            CallerKind::RoleSession => [&["*", SESSION], &[ROLE], &[HOME, ROOT]],
            CallerKind::Service => [&["*", "sns.amazonaws.com"], &[], &[]],
            _ => [&["*"], &[], &[]],
        }
    }

    /// Whether a bucket statement concerns the caller through one of these levels of names.
    fn concerns(draft: &Draft, kind: CallerKind, levels: std::ops::Range<usize>) -> bool {
        let (negated, chosen) = &draft.principals;
        let all = names(kind);
        let named = |levels: std::ops::Range<usize>| {
            all[levels]
                .iter()
                .any(|level| chosen.iter().any(|&i| level.contains(&PRINCIPALS[i])))
        };
        if *negated {
            levels.contains(&0) && !named(0..2)
        } else {
            named(levels)
        }
    }

    pub(super) fn allows(scene: &Scene) -> bool {
        let request = (scene.action, scene.resource);
        let passes = |drafts: &Vec<Draft>| {
            let concerned = |d: &Draft| concerns(d, scene.kind, 0..3);
            let says = |allow| union(scene, drafts, allow, concerned).contains(&request);
            says(true) && !says(false)
        };
        scene.endpoint.as_ref().is_none_or(passes) && allows_by_any_way(scene)
    }

    fn allows_by_any_way(scene: &Scene) -> bool {
        let request = (scene.action, scene.resource);
        let everybody = |_: &Draft| true;
        let bucket = scene.bucket.as_deref().unwrap_or_default();
        let attached = [
            Some(&scene.identity),
            scene.boundary.as_ref(),
            scene.session.as_ref(),
        ];
        for drafts in attached.into_iter().flatten() {
            if union(scene, drafts, false, everybody).contains(&request) {
                return false;
            }
        }
        if union(scene, bucket, false, |d| concerns(d, scene.kind, 0..3)).contains(&request) {
            return false;
        }

        let granted = |levels: std::ops::Range<usize>| {
            union(scene, bucket, true, |d| {
                concerns(d, scene.kind, levels.clone())
            })
            .contains(&request)
        };
        if matches!(scene.kind, CallerKind::Service | CallerKind::Anonymous) {
            return granted(0..1);
        }
        let everything: Requests = (0..ACTIONS.len())
            .flat_map(|a| (0..RESOURCES.len()).map(move |r| (a, r)))
            .collect();
        let held = match scene.kind {
            CallerKind::Root => everything.clone(),
            _ => union(scene, &scene.identity, true, everybody),
        };
        let within = |limit: &Option<Vec<Draft>>| match limit {
            Some(drafts) => union(scene, drafts, true, everybody),
            None => everything.clone(),
        };
        let limits: Requests = within(&scene.boundary)
            .intersection(&within(&scene.session))
            .copied()
            .collect();
        let holds = held.contains(&request);
        let unlimited = limits.contains(&request);
        if scene.owner != HOME {
            return holds && unlimited && granted(0..3);
        }
        let by_name = granted(0..1);
        let by_role = granted(1..2) && unlimited;
        let by_identity = holds && unlimited && (!scene.must_allow || granted(0..3));
        by_name || by_role || by_identity
    }
}

fn draft() -> impl Strategy<Value = Draft> {
    let chosen = |table: usize| prop::collection::vec(0..table, 1..3);
    let negatable = move |table| (prop::bool::weighted(0.2), chosen(table));
    let condition = (0..OPERATORS.len(), 0..KEYS.len(), chosen(VALUES.len()));
    (
        prop::bool::weighted(0.75),
        negatable(PRINCIPALS.len()),
        negatable(ACTION_PATTERNS.len()),
        negatable(RESOURCE_PATTERNS.len()),
        prop_oneof![
            3 => Just(Vec::new()),
            1 => prop::collection::vec(condition, 1..3),
        ],
    )
        .prop_map(|(allow, principals, actions, resources, mut conditions)| {
            // One operator twice would be one JSON field twice.
            conditions.dedup_by_key(|(operator, _, _)| *operator);
            Draft {
                allow,
                principals,
                actions,
                resources,
                conditions,
            }
        })
}

/// Most endpoints begin with what allows everything, as real ones do.
fn endpoint() -> impl Strategy<Value = Vec<Draft>> {
    let open = Draft {
        allow: true,
        principals: (false, vec![0]),
        actions: (false, vec![0]),
        resources: (false, vec![0]),
        conditions: Vec::new(),
    };
    let open = prop_oneof![3 => Just(vec![open]), 1 => Just(Vec::new())];
    let rest = prop::collection::vec(draft(), 1..4);
    (open, rest).prop_map(|(open, rest)| [open, rest].concat())
}

fn scene() -> impl Strategy<Value = Scene> {
    use CallerKind::{Anonymous, RoleSession, Root, Service, User};
    let drafts = || prop::collection::vec(draft(), 1..4);
    let values = || prop::collection::vec(0..VALUES.len(), 0..3);
    let request = (0..ACTIONS.len(), 0..RESOURCES.len());
    (
        prop::sample::select(vec![
            User,
            User,
            RoleSession,
            RoleSession,
            Root,
            Service,
            Anonymous,
        ]),
        request,
        (
            prop::sample::select(vec![HOME, HOME, AWAY]),
            any::<bool>(),
            any::<bool>(),
        ),
        (values(), values()),
        drafts(),
        (
            prop::option::of(drafts()),
            prop::option::of(drafts()),
            prop::option::weighted(0.75, drafts()),
            prop::option::weighted(0.25, endpoint()),
        ),
    )
        .prop_map(
            |(kind, request, around, values, identity, (boundary, session, bucket, endpoint))| {
                Scene {
                    kind,
                    action: request.0,
                    resource: request.1,
                    owner: around.0,
                    must_allow: around.1,
                    username_known: around.2,
                    values: [values.0, values.1],
                    // Callers without an account have no policies of their own.
                    identity: if matches!(kind, Service | Anonymous) {
                        Vec::new()
                    } else {
                        identity
                    },
                    boundary: boundary.filter(|_| !matches!(kind, Service | Anonymous)),
                    session: session.filter(|_| !matches!(kind, Service | Anonymous)),
                    bucket,
                    endpoint,
                }
            },
        )
}

fn caller(kind: CallerKind) -> CallerView<'static> {
    let home = CallerView {
        kind,
        account: HOME,
        ..CallerView::ANONYMOUS
    };
    match kind {
        CallerKind::Root => CallerView { arn: ROOT, ..home },
        CallerKind::User => CallerView { arn: USER, ..home },
        CallerKind::RoleSession => CallerView {
            arn: SESSION,
            issuer_arn: ROLE,
            ..home
        },
        CallerKind::Service => CallerView::service("sns.amazonaws.com"),
        _ => CallerView::ANONYMOUS,
    }
}

fn decide(scene: &Scene) -> bool {
    let mut context = Context::new();
    for (key, values) in KEYS.iter().zip(&scene.values) {
        context.set_all(key, values.iter().map(|&v| VALUES[v]));
    }
    if scene.username_known {
        context.set("aws:username", "a");
    }
    let identity =
        (!scene.identity.is_empty()).then(|| text::policy(&scene.identity, Kind::Identity));
    let optional =
        |drafts: &Option<Vec<Draft>>, kind| drafts.as_ref().map(|d| text::policy(d, kind));
    let boundary = optional(&scene.boundary, Kind::Identity);
    let session = optional(&scene.session, Kind::Identity);
    let bucket = optional(&scene.bucket, Kind::Resource);
    let endpoint = optional(&scene.endpoint, Kind::Resource);
    fn named(policy: &Option<Policy>) -> Option<NamedPolicy<'_>> {
        policy
            .as_ref()
            .map(|policy| NamedPolicy { id: "p", policy })
    }
    evaluate(&Question {
        action: ACTIONS[scene.action],
        resource: RESOURCES[scene.resource],
        resource_account: scene.owner,
        caller: &caller(scene.kind),
        context: &context,
        identity: named(&identity).as_slice(),
        boundary: named(&boundary),
        session: session.is_some().then_some(named(&session).as_slice()),
        endpoint: named(&endpoint),
        resource_policy: named(&bucket),
        resource_mode: if scene.must_allow {
            ResourceMode::MustAllow
        } else {
            ResourceMode::AloneSuffices
        },
    })
    .allowed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn agrees_with_the_oracle(scene in scene()) {
        prop_assert_eq!(decide(&scene), oracle::allows(&scene));
    }
}

/// The comparison above says something only if both answers come up often.
#[test]
fn the_questions_are_not_one_sided() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let allowed = (0..2_000)
        .filter(|_| {
            let scene = scene().new_tree(&mut runner).expect("a scene").current();
            oracle::allows(&scene)
        })
        .count();
    assert!((150..1_850).contains(&allowed), "{allowed} of 2000 allowed");
}
