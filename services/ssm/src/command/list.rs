//! ListCommands, ListCommandInvocations, GetCommandInvocation.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::store::Snapshot;
use gureum_kit::{Reader, Scan};
use gureum_model_ssm::types as t;
use gureum_schema::Timestamp;

use super::document::{NAME, PLUGIN};
use super::model::{CommandRow, InvocationRow};
use super::status::{self, Words};
use crate::Ssm;
use crate::errors::{Refusal, Result};
use crate::page::Page;

/// What a listing of invocations shows of a script's output, in characters.
const GLANCE: usize = 2500;
const USUAL: usize = 50;

impl CommandRow {
    fn words(&self, invocations: &[InvocationRow]) -> Words {
        let states: Vec<_> = invocations.iter().map(|row| row.state).collect();
        let most = status::share(&self.max_errors, self.target_count);
        status::of_command(&states, most, self.cancelled)
    }
}

/// The invocations of a command.
pub(crate) fn of(reader: &impl Reader, command: &CommandRow) -> Result<Vec<InvocationRow>> {
    let rows = reader.scan(Scan::<InvocationRow>::of(gureum_kit::Row::key(command)));
    Ok(rows.collect::<std::result::Result<_, _>>()?)
}

/// A command as it is shown.
pub(crate) fn command(row: CommandRow, invocations: &[InvocationRow]) -> t::Command {
    let (status, details) = row.words(invocations);
    let count = |wanted: &dyn Fn(&InvocationRow) -> bool| {
        let counted = invocations.iter().filter(|row| wanted(row)).count();
        i32::try_from(counted).ok()
    };
    t::Command {
        expires_after: Some(Timestamp(row.expires())),
        target_count: count(&|_| true),
        completed_count: count(&|row| row.state.is_over()),
        error_count: count(&|row| row.state.is_error()),
        delivery_timed_out_count: count(&|row| row.state == status::State::DeliveryTimedOut),
        command_id: Some(row.id),
        document_name: Some(NAME.into()),
        document_version: Some(row.document_version),
        comment: Some(row.comment),
        parameters: Some(row.parameters),
        instance_ids: Some(row.instances),
        targets: Some(
            row.targets
                .into_iter()
                .map(|(key, values)| t::Target {
                    key: Some(key),
                    values: Some(values),
                })
                .collect(),
        ),
        requested_date_time: Some(Timestamp(row.requested)),
        status: Some(status.into()),
        status_details: Some(details.into()),
        max_concurrency: Some(row.max_concurrency),
        max_errors: Some(row.max_errors),
        timeout_seconds: i32::try_from(row.delivery_timeout).ok(),
        ..Default::default()
    }
}

fn shown(command: &CommandRow, row: InvocationRow, details: bool) -> t::CommandInvocation {
    let (status, more) = row.state.words(row.cancel);
    t::CommandInvocation {
        command_plugins: Some(match details {
            true => vec![plugin(&row)],
            false => Vec::new(),
        }),
        command_id: Some(row.command),
        instance_id: Some(row.instance),
        instance_name: Some(row.instance_name),
        comment: Some(command.comment.clone()),
        document_name: Some(NAME.into()),
        document_version: Some(command.document_version.clone()),
        requested_date_time: Some(Timestamp(row.requested)),
        status: Some(status.into()),
        status_details: Some(more.into()),
        standard_output_url: Some(String::new()),
        standard_error_url: Some(String::new()),
        ..Default::default()
    }
}

fn plugin(row: &InvocationRow) -> t::CommandPlugin {
    let (status, details) = row.state.words(row.cancel);
    let mut output = row.output.clone();
    if !row.errors.is_empty() {
        output += "\n----------ERROR-------\n";
        output += &row.errors;
    }
    t::CommandPlugin {
        name: Some(PLUGIN.into()),
        status: Some(status.into()),
        status_details: Some(details.into()),
        response_code: Some(row.code),
        response_start_date_time: row.begun.map(Timestamp),
        response_finish_date_time: row.ended.map(Timestamp),
        output: Some(output.chars().take(GLANCE).collect()),
        standard_output_url: Some(String::new()),
        standard_error_url: Some(String::new()),
        ..Default::default()
    }
}

/// The filters of a listing.
struct Wanted(Vec<t::CommandFilter>);

impl Wanted {
    /// `of_commands`: a listing of commands has one more.
    fn read(filters: Option<Vec<t::CommandFilter>>, of_commands: bool) -> Result<Self> {
        let filters = filters.unwrap_or_default();
        for filter in &filters {
            let good = match filter.key.as_str() {
                "InvokedAfter" | "InvokedBefore" => Timestamp::parse(&filter.value).is_some(),
                "ExecutionStage" if of_commands => {
                    matches!(filter.value.as_str(), "Executing" | "Complete")
                }
                "Status" | "DocumentName" => true,
                key => {
                    return Err(Refusal::FilterKey(format!(
                        "The filter key {key} is not valid."
                    )));
                }
            };
            if !good {
                return Err(Refusal::validation(format!(
                    "The value {} is not valid for the filter {}.",
                    filter.value, filter.key
                )));
            }
        }
        Ok(Self(filters))
    }

    fn admits(&self, requested: i64, (status, details): Words) -> bool {
        let moment = |text: &str| Timestamp::parse(text).map_or(0, |moment| moment.0);
        self.0.iter().all(|filter| match filter.key.as_str() {
            "InvokedAfter" => requested >= moment(&filter.value),
            "InvokedBefore" => requested < moment(&filter.value),
            "Status" => [status, details].contains(&filter.value.as_str()),
            "ExecutionStage" => {
                let running = matches!(status, "Pending" | "InProgress" | "Cancelling");
                running == (filter.value == "Executing")
            }
            _ => filter.value == NAME,
        })
    }

    fn scope(&self) -> String {
        let words = self.0.iter().map(|it| format!("{}={}", it.key, it.value));
        words.collect::<Vec<_>>().join("&")
    }
}

/// Commands, the newest first, and their invocations: of one command, or of all.
fn commands(
    snapshot: &Snapshot,
    cx: &Cx,
    id: Option<&String>,
) -> Result<Vec<(CommandRow, Vec<InvocationRow>)>> {
    let here = (cx.region.clone(), *cx.account());
    let rows = match id {
        Some(id) => {
            let row = snapshot.get::<CommandRow>((here.0, here.1, id.clone()))?;
            vec![row.ok_or(Refusal::NoSuchCommand)?]
        }
        None => {
            let rows = snapshot.scan(Scan::<CommandRow>::of(here));
            rows.collect::<std::result::Result<_, _>>()?
        }
    };
    let with = rows.into_iter().map(|row| {
        let invocations = of(snapshot, &row)?;
        Ok((row, invocations))
    });
    let mut all = with.collect::<Result<Vec<_>>>()?;
    all.sort_by_key(|(row, _)| position(row));
    Ok(all)
}

/// Sorts the newest before the others.
fn position(row: &CommandRow) -> String {
    format!("{:020}{}", i64::MAX - row.requested, row.id)
}

pub(crate) async fn list_commands(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::ListCommandsRequest,
) -> gureum_schema::Result<t::ListCommandsResult> {
    let wanted = Wanted::read(input.filters, true)?;
    let instance = input.instance_id.as_ref();
    let what = format!(
        "ListCommands {:?} {instance:?} {}",
        input.command_id,
        wanted.scope()
    );
    let limit = (input.max_results, USUAL);
    let page = Page::read(&ssm, &cx, what, limit, input.next_token.as_deref())?;
    let mut found = commands(&ssm.store.read(), &cx, input.command_id.as_ref())?;
    found.retain(|(row, invocations)| {
        let on = |id: &String| invocations.iter().any(|it| it.instance == *id);
        instance.is_none_or(on) && wanted.admits(row.requested, row.words(invocations))
    });
    let (found, next_token) = page.cut(&ssm, found, |(row, _)| position(row));
    let found = found.into_iter();
    Ok(t::ListCommandsResult {
        commands: Some(found.map(|(row, its)| command(row, &its)).collect()),
        next_token,
    })
}

pub(crate) async fn list_command_invocations(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::ListCommandInvocationsRequest,
) -> gureum_schema::Result<t::ListCommandInvocationsResult> {
    let wanted = Wanted::read(input.filters, false)?;
    let instance = input.instance_id.as_ref();
    let what = format!(
        "ListCommandInvocations {:?} {instance:?} {}",
        input.command_id,
        wanted.scope()
    );
    let limit = (input.max_results, USUAL);
    let page = Page::read(&ssm, &cx, what, limit, input.next_token.as_deref())?;
    let found = commands(&ssm.store.read(), &cx, input.command_id.as_ref())?;
    let all = found.iter().flat_map(|(row, its)| {
        let pair = move |it: &InvocationRow| (row, it.clone());
        its.iter().map(pair)
    });
    let all = all.filter(|(_, it)| {
        instance.is_none_or(|id| it.instance == *id)
            && wanted.admits(it.requested, it.state.words(it.cancel))
    });
    let place = |(row, it): &(&CommandRow, InvocationRow)| position(row) + &it.instance;
    let (some, next_token) = page.cut(&ssm, all, place);
    let details = input.details == Some(true);
    Ok(t::ListCommandInvocationsResult {
        command_invocations: Some(
            some.into_iter()
                .map(|(row, it)| shown(row, it, details))
                .collect(),
        ),
        next_token,
    })
}

pub(crate) async fn get_command_invocation(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::GetCommandInvocationRequest,
) -> gureum_schema::Result<t::GetCommandInvocationResult> {
    if input.plugin_name.is_some_and(|name| name != PLUGIN) {
        return Err(Refusal::PluginName.into());
    }
    let snapshot = ssm.store.read();
    let place = (cx.region.clone(), *cx.account(), input.command_id);
    let command = snapshot.get::<CommandRow>(&place).map_err(Refusal::from)?;
    let (region, account, id) = place;
    let row = snapshot
        .get::<InvocationRow>((region, account, id, input.instance_id))
        .map_err(Refusal::from)?;
    let (Some(command), Some(row)) = (command, row) else {
        return Err(Refusal::NoSuchInvocation.into());
    };
    let (status, details) = row.state.words(row.cancel);
    let moment = |at: Option<i64>| at.map_or(String::new(), |at| Timestamp(at).iso_millis());
    let took = row.begun.zip(row.ended);
    let took = took.map(|(begun, ended)| (ended - begun).max(0));
    let took = took.map(|ms| format!("PT{}.{:03}S", ms / 1000, ms % 1000));
    Ok(t::GetCommandInvocationResult {
        command_id: Some(row.command),
        instance_id: Some(row.instance),
        comment: Some(command.comment),
        document_name: Some(NAME.into()),
        document_version: Some(command.document_version),
        plugin_name: Some(PLUGIN.into()),
        response_code: Some(row.code),
        execution_start_date_time: Some(moment(row.begun)),
        execution_elapsed_time: Some(took.unwrap_or_default()),
        execution_end_date_time: Some(moment(row.ended)),
        status: Some(status.into()),
        status_details: Some(details.into()),
        standard_output_content: Some(row.output),
        standard_output_url: Some(String::new()),
        standard_error_content: Some(row.errors),
        standard_error_url: Some(String::new()),
        cloud_watch_output_config: None,
    })
}
