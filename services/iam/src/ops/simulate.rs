//! The policy simulator: the same engine that decides real calls, asked about imagined ones.

use std::sync::Arc;

use gureum_dispatch::{Ask, Cx, Policies};
use gureum_kit::{AccountId, Arn, Reader};
use gureum_model_iam::{op, types};
use gureum_policy::{
    CallerKind, CallerView, Context, Decision, Kind, NamedPolicy, Policy, Question, Reason,
    ResourceMode, Source as PolicySource, evaluate,
};
use gureum_schema::Result;

use crate::entity::{Entity, Named};
use crate::errors::{Fault, Outcome};
use crate::identity::{of_group, of_role, of_user};
use crate::model::{Group, Role, User};
use crate::page::Ask as Paging;
use crate::{Iam, Table, ask, document};

type NamedText = (String, Arc<Policy>);

/// Actions and resources that one request may combine.
const MAX_QUESTIONS: usize = 10_000;

pub(crate) fn table(table: Table) -> Table {
    table
        .op_refusing::<op::SimulateCustomPolicy, _>(
            &["ResourceHandlingOption"],
            |_, cx, _| ask::account(cx, "iam:SimulateCustomPolicy"),
            simulate_custom_policy,
        )
        .op_refusing::<op::SimulatePrincipalPolicy, _>(
            &["ResourceHandlingOption"],
            |_, cx, i| {
                let ask = Ask::new("iam:SimulatePrincipalPolicy", &i.policy_source_arn);
                ask::one(cx, ask)
            },
            simulate_principal_policy,
        )
}

/// A user, group or role whose policies are looked at.
pub(super) struct Source {
    arn: String,
    id: String,
    pub(super) policies: Policies,
    /// Condition keys that a call of this principal would bring.
    keys: Vec<(String, String)>,
}

impl Source {
    /// By ARN, in the caller's account.
    pub(super) fn find(reader: &impl Reader, cx: &Cx, arn: &str) -> Outcome<Self> {
        let invalid = || Fault::invalid_input(format!("Invalid Entity Arn: {arn}"));
        let parsed: Arn = arn.parse().map_err(|_| invalid())?;
        let (label, rest) = parsed.resource.split_once('/').ok_or_else(invalid)?;
        let name = rest.rsplit('/').next().unwrap_or(rest);
        let account = cx.account();
        if parsed.service != "iam" || parsed.account != account.as_str() {
            return Err(invalid());
        }
        match label {
            "user" => {
                let user = User::find(reader, account, name)?;
                let policies = of_user(reader, &user)?;
                let mut source = Self::new(&user, &user.id, policies);
                source.keys.push(("aws:username".into(), user.name.clone()));
                source.keys.push(("aws:userid".into(), user.id.clone()));
                Ok(source)
            }
            "role" => {
                let role = Role::find(reader, account, name)?;
                Ok(Self::new(&role, &role.id, of_role(reader, &role)?))
            }
            "group" => {
                let group = Group::find(reader, account, name)?;
                Ok(Self::new(&group, &group.id, of_group(reader, &group)?))
            }
            _ => Err(invalid()),
        }
    }

    fn new<E: Entity>(entity: &E, id: &str, policies: Policies) -> Self {
        let mut keys = vec![
            ("aws:PrincipalArn".to_owned(), entity.arn()),
            (
                "aws:PrincipalAccount".to_owned(),
                entity.account().to_string(),
            ),
        ];
        for (key, value) in entity.entity_tags() {
            keys.push((format!("aws:PrincipalTag/{key}"), value.clone()));
        }
        Self {
            arn: entity.arn(),
            id: id.to_owned(),
            policies,
            keys,
        }
    }
}

/// Everything that stays the same over the questions of one request.
struct Simulation {
    account: AccountId,
    identity: Vec<NamedText>,
    boundary: Option<NamedText>,
    resource_policy: Option<Arc<Policy>>,
    owner: String,
    caller_arn: String,
    caller_id: String,
    context: Context,
    /// Keys that the policies refer to and the request doesn't give.
    missing: Vec<String>,
    actions: Vec<String>,
    resources: Vec<String>,
}

/// What both operations ask.
struct Request {
    policies: Vec<String>,
    boundaries: Option<Vec<String>>,
    actions: Vec<String>,
    resources: Option<Vec<String>>,
    resource_policy: Option<String>,
    owner: Option<String>,
    caller: Option<String>,
    context: Option<Vec<types::ContextEntry>>,
    max_items: Option<i32>,
    marker: Option<String>,
}

macro_rules! request {
    ($input:ident, $policies:expr) => {
        Request {
            policies: $policies,
            boundaries: $input.permissions_boundary_policy_input_list,
            actions: $input.action_names,
            resources: $input.resource_arns,
            resource_policy: $input.resource_policy,
            owner: $input.resource_owner,
            caller: $input.caller_arn,
            context: $input.context_entries,
            max_items: $input.max_items,
            marker: $input.marker,
        }
    };
}

async fn simulate_custom_policy(
    _: Arc<Iam>,
    cx: Cx,
    input: types::SimulateCustomPolicyRequest,
) -> Result<types::SimulatePolicyResponse> {
    if input.resource_policy.is_some() && input.caller_arn.is_none() {
        return Err(
            Fault::invalid_input("CallerArn is required when a ResourcePolicy is given.").into(),
        );
    }
    Ok(run(&cx, request!(input, input.policy_input_list), None)?)
}

async fn simulate_principal_policy(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::SimulatePrincipalPolicyRequest,
) -> Result<types::SimulatePolicyResponse> {
    let source = Source::find(&iam.store.read(), &cx, &input.policy_source_arn)?;
    let request = request!(input, input.policy_input_list.unwrap_or_default());
    Ok(run(&cx, request, Some(source))?)
}

fn run(
    cx: &Cx,
    request: Request,
    source: Option<Source>,
) -> Outcome<types::SimulatePolicyResponse> {
    let paging = Paging::new(request.marker.as_deref(), request.max_items)?;
    let simulation = Simulation::new(cx, request, source)?;
    let count = simulation.actions.len() * simulation.resources.len();
    if count > MAX_QUESTIONS {
        return Err(Fault::invalid_input(format!(
            "A simulation of {count} actions on resources is over the limit of {MAX_QUESTIONS}."
        )));
    }
    // Only the questions of this page are answered.
    let page = paging.page(0..count, |number| format!("{number:08}"));
    let answers = page.items.iter().map(|number| {
        let (action, resource) = (
            number / simulation.resources.len(),
            number % simulation.resources.len(),
        );
        simulation.answer(&simulation.actions[action], &simulation.resources[resource])
    });
    Ok(types::SimulatePolicyResponse {
        evaluation_results: Some(answers.collect()),
        is_truncated: page.truncated(),
        marker: page.marker,
    })
}

fn parse(text: &str, kind: Kind) -> Outcome<Arc<Policy>> {
    document::parse(text, kind).map_err(|fault| Fault::invalid_input(fault.message().to_owned()))
}

fn inputs(name: &str, texts: &[String]) -> Outcome<Vec<NamedText>> {
    let parsed = texts
        .iter()
        .zip(1..)
        .map(|(text, number)| Ok((format!("{name}.{number}"), parse(text, Kind::Identity)?)));
    parsed.collect()
}

impl Simulation {
    fn new(cx: &Cx, request: Request, source: Option<Source>) -> Outcome<Self> {
        let mut identity = inputs("PolicyInputList", &request.policies)?;
        let boundaries = request.boundaries.unwrap_or_default();
        if boundaries.len() > 1 {
            return Err(Fault::invalid_input(
                "PermissionsBoundaryPolicyInputList takes one policy at most.",
            ));
        }
        let mut boundary = inputs("PermissionsBoundaryPolicyInputList", &boundaries)?.pop();
        let (mut caller_arn, mut caller_id) = (String::new(), String::new());
        let mut context = Context::new();
        if let Some(source) = source {
            identity.extend(source.policies.identity);
            // A boundary in the request stands for the one that the principal has.
            boundary = boundary.or(source.policies.boundary);
            for (key, value) in source.keys {
                context.set(&key, value);
            }
            (caller_arn, caller_id) = (source.arn, source.id);
        }
        if let Some(arn) = request.caller {
            if arn != caller_arn {
                caller_id.clear();
            }
            caller_arn = arn;
        }
        for entry in request.context.into_iter().flatten() {
            let name = entry.context_key_name.unwrap_or_default();
            context.set_all(&name, entry.context_key_values.unwrap_or_default());
        }
        let text = request.resource_policy.as_deref();
        let resource_policy = text.map(|text| parse(text, Kind::Resource)).transpose()?;
        let mut simulation = Self {
            account: *cx.account(),
            owner: request
                .owner
                .as_deref()
                .map_or(Ok(String::new()), account_of)?,
            actions: request.actions,
            resources: request.resources.unwrap_or_else(|| vec!["*".into()]),
            missing: Vec::new(),
            identity,
            boundary,
            resource_policy,
            caller_arn,
            caller_id,
            context,
        };
        simulation.check()?;
        simulation.missing = simulation.missing_keys();
        Ok(simulation)
    }

    fn check(&self) -> Outcome<()> {
        if let Some(action) = self.actions.iter().find(|action| !action.contains(':')) {
            return Err(Fault::invalid_input(format!(
                "Invalid Action Name: {action}"
            )));
        }
        let valid = |arn: &&String| **arn == "*" || arn.parse::<Arn>().is_ok();
        if let Some(resource) = self.resources.iter().find(|arn| !valid(arn)) {
            return Err(Fault::invalid_input(format!(
                "Invalid Resource Arn: {resource}"
            )));
        }
        Ok(())
    }

    fn missing_keys(&self) -> Vec<String> {
        let identity = self.identity.iter().map(|(_, policy)| policy);
        let boundary = self.boundary.iter().map(|(_, policy)| policy);
        let policies = identity.chain(boundary).chain(&self.resource_policy);
        let mut missing: Vec<String> = Vec::new();
        for key in policies.flat_map(|policy| policy.context_keys()) {
            let known = self.context.get(key).is_some();
            if !known && !missing.iter().any(|other| other.eq_ignore_ascii_case(key)) {
                missing.push(key.to_owned());
            }
        }
        missing
    }

    fn caller(&self) -> CallerView<'_> {
        let resource = self.caller_arn.splitn(6, ':').nth(5).unwrap_or_default();
        let account = self.caller_arn.split(':').nth(4);
        let known = CallerView {
            account: account
                .filter(|a| !a.is_empty())
                .unwrap_or(self.account.as_str()),
            arn: &self.caller_arn,
            kind: CallerKind::User,
            ..CallerView::ANONYMOUS
        };
        match resource.split_once('/').map(|(label, _)| label) {
            None if resource == "root" => CallerView {
                kind: CallerKind::Root,
                ..known
            },
            Some("role") => CallerView {
                kind: CallerKind::RoleSession,
                issuer_arn: &self.caller_arn,
                issuer_id: &self.caller_id,
                ..known
            },
            Some("assumed-role") => CallerView {
                kind: CallerKind::RoleSession,
                ..known
            },
            _ => CallerView {
                id: &self.caller_id,
                ..known
            },
        }
    }

    fn decide<'a>(
        &'a self,
        action: &'a str,
        resource: &'a str,
        identity: &'a [NamedPolicy<'a>],
        boundary: Option<NamedPolicy<'a>>,
        caller: &'a CallerView<'a>,
        with_resource_policy: bool,
    ) -> Decision<'a> {
        let policy = self
            .resource_policy
            .as_deref()
            .filter(|_| with_resource_policy);
        let strict = action.starts_with("sts:AssumeRole") || action.starts_with("kms:");
        evaluate(&Question {
            action,
            resource,
            resource_account: &self.owner,
            caller,
            context: &self.context,
            identity,
            boundary,
            session: None,
            endpoint: None,
            resource_policy: policy.map(|policy| NamedPolicy {
                id: "ResourcePolicy",
                policy,
            }),
            resource_mode: match policy {
                Some(_) if strict => ResourceMode::MustAllow,
                _ => ResourceMode::AloneSuffices,
            },
        })
    }

    fn answer(&self, action: &str, resource: &str) -> types::EvaluationResult {
        fn named((id, policy): &NamedText) -> NamedPolicy<'_> {
            NamedPolicy { id, policy }
        }
        let identity: Vec<_> = self.identity.iter().map(named).collect();
        let boundary = self.boundary.as_ref().map(named);
        let caller = self.caller();
        let decision = self.decide(action, resource, &identity, boundary, &caller, true);
        let by_boundary = boundary.map(|boundary| {
            let alone = [boundary];
            let decision = self.decide(action, resource, &alone, None, &caller, false);
            types::PermissionsBoundaryDecisionDetail {
                allowed_by_permissions_boundary: Some(decision.allowed),
            }
        });
        types::EvaluationResult {
            eval_action_name: action.to_owned(),
            eval_resource_name: Some(resource.to_owned()),
            eval_decision: word(decision.reason).to_owned(),
            matched_statements: Some(decision.matched.iter().map(statement).collect()),
            missing_context_values: Some(self.missing.clone()),
            permissions_boundary_decision_detail: by_boundary,
            ..types::EvaluationResult::default()
        }
    }
}

fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::Allow { .. } => "allowed",
        Reason::ExplicitDeny { .. } => "explicitDeny",
        Reason::ImplicitDeny { .. } => "implicitDeny",
    }
}

fn statement(matched: &gureum_policy::Matched<'_>) -> types::Statement {
    let at = |position: gureum_policy::Position| types::Position {
        line: i32::try_from(position.line).ok(),
        column: i32::try_from(position.column).ok(),
    };
    let span = matched.statement.span();
    let kind = match matched.source {
        PolicySource::Resource => "Resource Policy",
        PolicySource::Boundary => "PermissionsBoundary",
        _ => "IAM Policy",
    };
    types::Statement {
        source_policy_id: Some(matched.policy.to_owned()),
        source_policy_type: Some(kind.to_owned()),
        start_position: Some(at(span.start)),
        end_position: Some(at(span.end)),
    }
}

/// The account that an ARN, or a bare account id, speaks of.
fn account_of(owner: &str) -> Outcome<String> {
    let id = owner.split(':').nth(4).unwrap_or(owner);
    match id.parse::<AccountId>() {
        Ok(account) => Ok(account.to_string()),
        Err(_) => Err(Fault::invalid_input(format!(
            "Invalid Resource Owner: {owner}"
        ))),
    }
}
