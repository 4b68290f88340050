//! What each operation asks of the policy engine. Service Authorization Reference, "Actions,
//! resources, and condition keys for AWS Systems Manager".

use gureum_dispatch::{Ask, Cx};
use gureum_kit::Reader;
use gureum_model_ssm::types as t;
use gureum_schema::Result;

use crate::Ssm;
use crate::model::ParameterRow;
use crate::names::{self, Named};

/// An action on one parameter, with the tags that it has.
fn on(ssm: &Ssm, cx: &Cx, action: &'static str, text: &str) -> Result<Ask> {
    // A name that is none is refused by the handler, in its words.
    let name = Named::read(cx, text).map_or_else(|_| text.to_owned(), |named| named.name);
    let ask = Ask::new(action, names::arn(&cx.region, cx.account(), &name));
    let row = ssm
        .store
        .read()
        .get::<ParameterRow>(names::place(cx, &name));
    let tags = row.ok().flatten().map(|row| row.tags).unwrap_or_default();
    Ok(ask.resource_tags(tags.iter().map(|(k, v)| (k.as_str(), v.as_str()))))
}

fn all(ssm: &Ssm, cx: &Cx, action: &'static str, names: &[String]) -> Result<Vec<Ask>> {
    names.iter().map(|name| on(ssm, cx, action, name)).collect()
}

/// `on! { name: Input.field => "ssm:Action" }`: an operation on the parameter that a field names.
macro_rules! on {
    ($($name:ident: $input:ident.$field:ident => $action:literal;)*) => {$(
        pub(crate) fn $name(ssm: &Ssm, cx: &Cx, input: &t::$input) -> Result<Vec<Ask>> {
            Ok(vec![on(ssm, cx, $action, &input.$field)?])
        }
    )*};
}

on! {
    delete_parameter: DeleteParameterRequest.name => "ssm:DeleteParameter";
    get_parameter: GetParameterRequest.name => "ssm:GetParameter";
    get_history: GetParameterHistoryRequest.name => "ssm:GetParameterHistory";
    label: LabelParameterVersionRequest.name => "ssm:LabelParameterVersion";
    unlabel: UnlabelParameterVersionRequest.name => "ssm:UnlabelParameterVersion";
    list_tags: ListTagsForResourceRequest.resource_id => "ssm:ListTagsForResource";
}

pub(crate) fn put_parameter(
    ssm: &Ssm,
    cx: &Cx,
    input: &t::PutParameterRequest,
) -> Result<Vec<Ask>> {
    let tags = input.tags.iter().flatten();
    let ask = on(ssm, cx, "ssm:PutParameter", &input.name)?
        .key("ssm:Overwrite", input.overwrite.unwrap_or(false))
        .request_tags(tags.map(|tag| (tag.key.as_str(), tag.value.as_str())));
    let mut asks = vec![ask];
    if input.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
        asks.push(on(ssm, cx, "ssm:AddTagsToResource", &input.name)?);
    }
    Ok(asks)
}

pub(crate) fn get_parameters(
    ssm: &Ssm,
    cx: &Cx,
    input: &t::GetParametersRequest,
) -> Result<Vec<Ask>> {
    all(ssm, cx, "ssm:GetParameters", &input.names)
}

pub(crate) fn delete_parameters(
    ssm: &Ssm,
    cx: &Cx,
    input: &t::DeleteParametersRequest,
) -> Result<Vec<Ask>> {
    all(ssm, cx, "ssm:DeleteParameters", &input.names)
}

pub(crate) fn get_by_path(
    _: &Ssm,
    cx: &Cx,
    input: &t::GetParametersByPathRequest,
) -> Result<Vec<Ask>> {
    let path = input.path.trim_end_matches('/');
    let arn = names::arn(&cx.region, cx.account(), path);
    let recursive = input.recursive.unwrap_or(false);
    Ok(vec![
        Ask::new("ssm:GetParametersByPath", arn).key("ssm:Recursive", recursive),
    ])
}

/// A listing of everything can be allowed on everything only.
pub(crate) fn describe(_: &Ssm, cx: &Cx, _: &t::DescribeParametersRequest) -> Result<Vec<Ask>> {
    let arn = format!("arn:aws:ssm:{}:{}:*", cx.region, cx.account());
    Ok(vec![Ask::new("ssm:DescribeParameters", arn)])
}

pub(crate) fn add_tags(
    ssm: &Ssm,
    cx: &Cx,
    input: &t::AddTagsToResourceRequest,
) -> Result<Vec<Ask>> {
    let tags = input.tags.iter();
    let tags = tags.map(|tag| (tag.key.as_str(), tag.value.as_str()));
    let ask = on(ssm, cx, "ssm:AddTagsToResource", &input.resource_id)?;
    Ok(vec![ask.request_tags(tags)])
}

pub(crate) fn remove_tags(
    ssm: &Ssm,
    cx: &Cx,
    input: &t::RemoveTagsFromResourceRequest,
) -> Result<Vec<Ask>> {
    let ask = on(ssm, cx, "ssm:RemoveTagsFromResource", &input.resource_id)?;
    Ok(vec![ask.keys("aws:TagKeys", input.tag_keys.clone())])
}
