//! What item operations ask for, out of their parameters old and new.

use std::collections::BTreeMap;

use gureum_model_dynamodb::types as t;

use crate::errors::{Refusal, Result};
use crate::expression::{Action, Condition, Projection, Scope, legacy};
use crate::model::Table;
use crate::value::{Item, item_from};

type Names = Option<BTreeMap<String, String>>;
type Values = Option<BTreeMap<String, t::AttributeValue>>;

/// What a write does to its item.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Put(Item),
    Update(Vec<Action>),
    Delete,
    /// Only the condition matters.
    Check,
}

/// One write, ready to be carried out.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) table: String,
    /// The key attributes, or the whole item of a put.
    pub(crate) key: Item,
    pub(crate) effect: Effect,
    pub(crate) condition: Option<Condition>,
    /// Answer a failed condition with the item.
    pub(crate) show_failed: bool,
}

/// A write that is a request of its own, with what its reply shall hold.
pub(crate) struct Single {
    pub(crate) write: Write,
    pub(crate) returns: Option<String>,
    pub(crate) capacity: Option<String>,
    pub(crate) metrics: Option<String>,
}

impl Single {
    pub(crate) fn put(mut input: t::PutItemInput) -> gureum_schema::Result<Self> {
        Ok(Self {
            returns: input.return_values.take(),
            capacity: input.return_consumed_capacity.take(),
            metrics: input.return_item_collection_metrics.take(),
            write: put(input)?,
        })
    }

    pub(crate) fn delete(mut input: t::DeleteItemInput) -> gureum_schema::Result<Self> {
        Ok(Self {
            returns: input.return_values.take(),
            capacity: input.return_consumed_capacity.take(),
            metrics: input.return_item_collection_metrics.take(),
            write: delete(input)?,
        })
    }

    pub(crate) fn update(mut input: t::UpdateItemInput) -> gureum_schema::Result<Self> {
        Ok(Self {
            returns: input.return_values.take(),
            capacity: input.return_consumed_capacity.take(),
            metrics: input.return_item_collection_metrics.take(),
            write: update(input)?,
        })
    }
}

fn shows(how: Option<&str>) -> bool {
    how == Some("ALL_OLD")
}

/// The condition of a write in either age of parameters, with the scope to read on in.
struct Conditions {
    expected: Option<BTreeMap<String, t::ExpectedAttributeValue>>,
    operator: Option<String>,
    expression: Option<String>,
}

impl Conditions {
    fn read(self, scope: &mut Scope) -> Result<Option<Condition>> {
        if let Some(text) = &self.expression {
            return scope.condition("ConditionExpression", text).map(Some);
        }
        legacy::expected(self.expected, self.operator.as_deref())
    }

    fn of_one_age(&self, legacy: &[(&str, bool)], modern: &[(&str, bool)]) -> Result<()> {
        let old = [
            ("Expected", self.expected.is_some()),
            ("ConditionalOperator", self.operator.is_some()),
        ];
        let new = [("ConditionExpression", self.expression.is_some())];
        legacy::only_one_age(&[legacy, &old].concat(), &[modern, &new].concat())
    }
}

fn put(input: t::PutItemInput) -> Result<Write> {
    let conditions = Conditions {
        expected: input.expected,
        operator: input.conditional_operator,
        expression: input.condition_expression,
    };
    conditions.of_one_age(&[], &[])?;
    one(
        input.table_name,
        Some(input.item),
        None,
        None,
        conditions,
        (
            input.expression_attribute_names,
            input.expression_attribute_values,
        ),
        input.return_values_on_condition_check_failure,
    )
}

fn delete(input: t::DeleteItemInput) -> Result<Write> {
    let conditions = Conditions {
        expected: input.expected,
        operator: input.conditional_operator,
        expression: input.condition_expression,
    };
    conditions.of_one_age(&[], &[])?;
    one(
        input.table_name,
        None,
        Some(input.key),
        None,
        conditions,
        (
            input.expression_attribute_names,
            input.expression_attribute_values,
        ),
        input.return_values_on_condition_check_failure,
    )
}

fn update(input: t::UpdateItemInput) -> Result<Write> {
    let conditions = Conditions {
        expected: input.expected,
        operator: input.conditional_operator,
        expression: input.condition_expression,
    };
    conditions.of_one_age(
        &[("AttributeUpdates", input.attribute_updates.is_some())],
        &[("UpdateExpression", input.update_expression.is_some())],
    )?;
    let updates = input.attribute_updates.map(legacy::updates).transpose()?;
    let mut write = one(
        input.table_name,
        None,
        Some(input.key),
        Some(input.update_expression),
        conditions,
        (
            input.expression_attribute_names,
            input.expression_attribute_values,
        ),
        input.return_values_on_condition_check_failure,
    )?;
    if let Some(updates) = updates {
        write.effect = Effect::Update(updates);
    }
    Ok(write)
}

/// What all writes have in common. `update` is there (and may hold an expression) for updates.
fn one(
    table: String,
    item: Option<BTreeMap<String, t::AttributeValue>>,
    key: Option<BTreeMap<String, t::AttributeValue>>,
    update: Option<Option<String>>,
    conditions: Conditions,
    (names, values): (Names, Values),
    show: Option<String>,
) -> Result<Write> {
    let condition = ("ConditionExpression", conditions.expression.is_some());
    let mut expressions = vec![condition];
    if let Some(update) = &update {
        expressions.insert(0, ("UpdateExpression", update.is_some()));
    }
    let mut scope = Scope::new(names, values, &expressions)?;
    let actions = match update.as_ref() {
        Some(Some(text)) => Some(scope.update(text)?),
        Some(None) => Some(Vec::new()),
        None => None,
    };
    let condition = conditions.read(&mut scope)?;
    scope.finish()?;
    let item = item.map(item_from).transpose()?;
    let key = key.map(item_from).transpose()?;
    let effect = match (&item, actions) {
        (Some(item), _) => Effect::Put(item.clone()),
        (None, Some(actions)) => Effect::Update(actions),
        (None, None) => Effect::Delete,
    };
    Ok(Write {
        table,
        key: item.or(key).unwrap_or_default(),
        effect,
        condition,
        show_failed: shows(show.as_deref()),
    })
}

/// One action of a transaction.
pub(crate) fn transact(action: t::TransactWriteItem) -> Result<Write> {
    let t::TransactWriteItem {
        condition_check,
        put,
        delete,
        update,
    } = action;
    let conditions = |expression| Conditions {
        expected: None,
        operator: None,
        expression,
    };
    match (condition_check, put, delete, update) {
        (Some(check), None, None, None) => {
            let mut write = one(
                check.table_name,
                None,
                Some(check.key),
                None,
                conditions(Some(check.condition_expression)),
                (
                    check.expression_attribute_names,
                    check.expression_attribute_values,
                ),
                check.return_values_on_condition_check_failure,
            )?;
            write.effect = Effect::Check;
            Ok(write)
        }
        (None, Some(put), None, None) => one(
            put.table_name,
            Some(put.item),
            None,
            None,
            conditions(put.condition_expression),
            (
                put.expression_attribute_names,
                put.expression_attribute_values,
            ),
            put.return_values_on_condition_check_failure,
        ),
        (None, None, Some(delete), None) => one(
            delete.table_name,
            None,
            Some(delete.key),
            None,
            conditions(delete.condition_expression),
            (
                delete.expression_attribute_names,
                delete.expression_attribute_values,
            ),
            delete.return_values_on_condition_check_failure,
        ),
        (None, None, None, Some(update)) => one(
            update.table_name,
            None,
            Some(update.key),
            Some(Some(update.update_expression)),
            conditions(update.condition_expression),
            (
                update.expression_attribute_names,
                update.expression_attribute_values,
            ),
            update.return_values_on_condition_check_failure,
        ),
        _ => Err(Refusal::validation(
            "TransactItems can only contain one of Check, Put, Update or Delete",
        )),
    }
}

/// The projection of a read in either age of parameters.
pub(crate) fn projection(
    expression: Option<String>,
    attributes: Option<Vec<String>>,
    names: Names,
) -> Result<Option<Projection>> {
    legacy::only_one_age(
        &[("AttributesToGet", attributes.is_some())],
        &[("ProjectionExpression", expression.is_some())],
    )?;
    let given = [("ProjectionExpression", expression.is_some())];
    let mut scope = Scope::new(names, None, &given)?;
    let projection = match (expression, attributes) {
        (Some(text), _) => Some(scope.projection(&text)?),
        (None, Some(names)) => Some(legacy::attributes(names)?),
        (None, None) => None,
    };
    scope.finish()?;
    Ok(projection)
}

/// Updates may not touch the key.
pub(crate) fn check_update(table: &Table, actions: &[Action]) -> Result<()> {
    let touched = actions
        .iter()
        .find(|action| table.keys.contains(&action.path().attribute));
    match touched {
        Some(action) => Err(Refusal::parameters(&format!(
            "Cannot update attribute {}. This attribute is part of the key",
            action.path().attribute
        ))),
        None => Ok(()),
    }
}

impl Write {
    /// The top-level attributes that it names, for fine-grained access control.
    pub(crate) fn attributes(&self) -> Vec<String> {
        let mut names: Vec<String> = self.key.keys().cloned().collect();
        if let Effect::Update(actions) = &self.effect {
            names.extend(actions.iter().map(|action| action.path().attribute.clone()));
        }
        if let Some(condition) = &self.condition {
            condition.paths(&mut |path| names.push(path.attribute.clone()));
        }
        names.sort();
        names.dedup();
        names
    }
}
