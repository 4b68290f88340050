//! What the operations on commands ask of the policy engine. Service Authorization Reference,
//! "Actions, resources, and condition keys for AWS Systems Manager".

use gureum_dispatch::{Ask, Cx};
use gureum_model_ssm::types as t;
use gureum_schema::Result;

use super::document;
use crate::Ssm;

fn account(cx: &Cx, action: &'static str) -> Result<Vec<Ask>> {
    let arn = format!("arn:aws:ssm:{}:{}:*", cx.region, cx.account());
    Ok(vec![Ask::new(action, arn)])
}

/// On the document, and on every instance that is named; targets may be any of them.
pub(crate) fn send(_: &Ssm, cx: &Cx, input: &t::SendCommandRequest) -> Result<Vec<Ask>> {
    let action = "ssm:SendCommand";
    let name = input.document_name.rsplit('/').next();
    let name = name.unwrap_or(document::NAME);
    let ask = Ask::new(
        action,
        format!("arn:aws:ssm:{}::document/{name}", cx.region),
    );
    // AWS's documents belong to nobody's account.
    let mut asks = vec![ask.owner(cx.account())];
    let ids = input.instance_ids.iter().flatten().map(String::as_str);
    let targeted = input.targets.as_ref().filter(|it| !it.is_empty());
    for id in ids.chain(targeted.map(|_| "*")) {
        let (region, account) = (&cx.region, cx.account());
        let arn = format!("arn:aws:ec2:{region}:{account}:instance/{id}");
        asks.push(Ask::new(action, arn));
    }
    Ok(asks)
}

/// `all! { name: Input => "ssm:Action" }`: an operation that is allowed on everything, or not.
macro_rules! all {
    ($($name:ident: $input:ident => $action:literal;)*) => {$(
        pub(crate) fn $name(_: &Ssm, cx: &Cx, _: &t::$input) -> Result<Vec<Ask>> {
            account(cx, $action)
        }
    )*};
}

all! {
    cancel: CancelCommandRequest => "ssm:CancelCommand";
    get: GetCommandInvocationRequest => "ssm:GetCommandInvocation";
    invocations: ListCommandInvocationsRequest => "ssm:ListCommandInvocations";
    commands: ListCommandsRequest => "ssm:ListCommands";
    information: DescribeInstanceInformationRequest => "ssm:DescribeInstanceInformation";
}
