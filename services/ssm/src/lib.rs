//! Systems Manager: parameters in hierarchies, with versions, labels and secrets; Run Command.
//!
//! Invariants:
//! * a version never changes once it is written; the current one is the last;
//! * a secure string is in the store only as KMS, or a data key of KMS, has sealed it, bound to the
//!   parameter's ARN; it is opened in the name of who reads it;
//! * a label is at one version at most;
//! * a command begins at most once on an instance; more in [`command`].
//!
//! Honest gaps: parameter policies (expiration, notification), shared parameters and the data types
//! of other services are refused; of the public parameters there are those of Amazon Linux's images,
//! which listings leave out. Commands are of one document (`AWS-RunShellScript`), write to no bucket and
//! no log group, and notify nobody. Of Systems Manager's other parts, none is here.

mod asks;
mod command;
mod errors;
mod filters;
mod model;
mod names;
pub mod nodes;
mod ops;
mod page;
mod public;
mod reset;
mod sealing;

use std::sync::Arc;

use gureum_dispatch::Service;
use gureum_kit::{Clock, Driver, PageTokens, Reconciler, Store, StoreError, Waker};
use gureum_model_ssm::{SERVICE, op};

use command::reconcile::{Attended, COMMANDS, Commands};
use nodes::Nodes;

/// Systems Manager. See the crate's page.
pub struct Ssm {
    store: Store,
    clock: Clock,
    tokens: PageTokens,
    /// Wakes what delivers commands.
    commands: Waker,
    attended: Attended,
}

impl Ssm {
    pub async fn open(
        store: Store,
        clock: Clock,
        driver: &Driver,
    ) -> Result<Arc<Self>, StoreError> {
        let tokens = PageTokens::load(&store).await?;
        Ok(Arc::new(Self {
            store,
            clock,
            tokens,
            commands: driver.waker(COMMANDS),
            attended: Attended::default(),
        }))
    }

    /// What brings commands to these nodes.
    pub fn reconcilers(self: &Arc<Self>, nodes: Arc<dyn Nodes>) -> Vec<Arc<dyn Reconciler>> {
        let ssm = Arc::clone(self);
        vec![Arc::new(Commands { ssm, nodes })]
    }

    /// The table: operation, what it asks of the policy engine, handler.
    pub fn service(self: &Arc<Self>) -> Service {
        use command::{cancel, information, list, send};
        use ops::{delete, describe, get, history, labels, path, put, tags};
        Service::builder(&SERVICE, Arc::clone(self))
            .op_refusing::<op::PutParameter, _>(
                &["Policies"],
                asks::put_parameter,
                put::put_parameter,
            )
            .op::<op::GetParameter, _>(asks::get_parameter, get::get_parameter)
            .op::<op::GetParameters, _>(asks::get_parameters, get::get_parameters)
            .op::<op::GetParametersByPath, _>(asks::get_by_path, path::get_parameters_by_path)
            .op::<op::GetParameterHistory, _>(asks::get_history, history::get_parameter_history)
            .op_refusing::<op::DescribeParameters, _>(
                &["Shared"],
                asks::describe,
                describe::describe_parameters,
            )
            .op::<op::DeleteParameter, _>(asks::delete_parameter, delete::delete_parameter)
            .op::<op::DeleteParameters, _>(asks::delete_parameters, delete::delete_parameters)
            .op::<op::LabelParameterVersion, _>(asks::label, labels::label_parameter_version)
            .op::<op::UnlabelParameterVersion, _>(asks::unlabel, labels::unlabel_parameter_version)
            .op::<op::AddTagsToResource, _>(asks::add_tags, tags::add_tags)
            .op::<op::RemoveTagsFromResource, _>(asks::remove_tags, tags::remove_tags)
            .op::<op::ListTagsForResource, _>(asks::list_tags, tags::list_tags)
            .op_refusing::<op::SendCommand, _>(
                &[
                    "DocumentHash",
                    "OutputS3BucketName",
                    "OutputS3KeyPrefix",
                    "ServiceRoleArn",
                    "NotificationConfig",
                    "CloudWatchOutputConfig",
                    "AlarmConfiguration",
                ],
                command::asks::send,
                send::send_command,
            )
            .op::<op::CancelCommand, _>(command::asks::cancel, cancel::cancel_command)
            .op::<op::ListCommands, _>(command::asks::commands, list::list_commands)
            .op::<op::ListCommandInvocations, _>(
                command::asks::invocations,
                list::list_command_invocations,
            )
            .op::<op::GetCommandInvocation, _>(command::asks::get, list::get_command_invocation)
            .op::<op::DescribeInstanceInformation, _>(
                command::asks::information,
                information::describe_instance_information,
            )
            .build()
    }
}
