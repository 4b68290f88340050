//! What item operations ask for, out of their parameters old and new.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_dynamodb::types as t;

use crate::errors::{Refusal, Result};
use crate::expression::{Action, Condition, Projection, Scope, legacy};
use crate::model::{Table, TableKey};
use crate::state::{DynamoDb, Live, key_of};
use crate::value::{Item, item_from};

type Names = Option<BTreeMap<String, String>>;
type Values = Option<BTreeMap<String, t::AttributeValue>>;

/// What a write does to its item.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Put(Arc<Item>),
    Update(Vec<Action>),
    Delete,
    /// Only the condition matters.
    Check,
}

/// One write, ready to be carried out.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) table: String,
    /// The key attributes; empty for a put, whose item has them.
    pub(crate) key: Item,
    pub(crate) effect: Effect,
    pub(crate) condition: Option<Condition>,
    /// Answer a failed condition with the item.
    pub(crate) show_failed: bool,
}

/// One item's read or write that is a request of its own, with the table that it is about, where
/// that is there, and what its reply shall hold.
pub(crate) struct Single<W> {
    pub(crate) key: TableKey,
    pub(crate) live: Option<Arc<Live>>,
    pub(crate) what: W,
    pub(crate) returns: Option<String>,
    pub(crate) capacity: Option<String>,
    pub(crate) metrics: Option<String>,
}

/// One read.
pub(crate) struct Get {
    pub(crate) key: Item,
    pub(crate) projection: Option<Projection>,
    pub(crate) consistent: bool,
}

/// What requests for one write can want in their replies: old or new attributes, the capacity that
/// was taken, and the size of the item collection.
type Wants = (Option<String>, Option<String>, Option<String>);

impl<W> Single<W> {
    fn find(db: &DynamoDb, cx: &Cx, (table, what): (&str, W), wants: Wants) -> Result<Self> {
        let key = key_of(cx, table)?;
        let (returns, capacity, metrics) = wants;
        Ok(Self {
            live: db.find(&key),
            key,
            what,
            returns,
            capacity,
            metrics,
        })
    }
}

/// `finds_write!(name: Input)`: reads a write, and finds its table.
macro_rules! finds_write {
    ($($name:ident: $input:ident;)*) => {$(
        pub(crate) fn $name(
            db: &DynamoDb,
            cx: &Cx,
            mut input: t::$input,
        ) -> gureum_schema::Result<Self> {
            let wants = (
                input.return_values.take(),
                input.return_consumed_capacity.take(),
                input.return_item_collection_metrics.take(),
            );
            let write = $name(input)?;
            let table = write.table.clone();
            Ok(Self::find(db, cx, (&table, write), wants)?)
        }
    )*};
}

impl Single<Write> {
    finds_write! {
        put: PutItemInput;
        delete: DeleteItemInput;
        update: UpdateItemInput;
    }
}

impl Single<Get> {
    pub(crate) fn get(
        db: &DynamoDb,
        cx: &Cx,
        input: t::GetItemInput,
    ) -> gureum_schema::Result<Self> {
        let read = Get {
            projection: projection(
                input.projection_expression,
                input.attributes_to_get,
                input.expression_attribute_names,
            )?,
            key: item_from(input.key)?,
            consistent: input.consistent_read == Some(true),
        };
        let wants = (None, input.return_consumed_capacity, None);
        Ok(Self::find(db, cx, (&input.table_name, read), wants)?)
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
        legacy::only_one_age(legacy.iter().chain(&old), modern.iter().chain(&new))
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
    let effect = match (item, actions) {
        (Some(item), _) => Effect::Put(Arc::new(item)),
        (None, Some(actions)) => Effect::Update(actions),
        (None, None) => Effect::Delete,
    };
    Ok(Write {
        table,
        key: key.unwrap_or_default(),
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
    /// The attributes of the item that the request holds: its key, or all of it.
    pub(crate) fn given(&self) -> &Item {
        match &self.effect {
            Effect::Put(item) => item,
            _ => &self.key,
        }
    }

    /// The top-level attributes that it names, for fine-grained access control.
    pub(crate) fn attributes(&self) -> Vec<String> {
        let mut names: Vec<String> = self.given().keys().cloned().collect();
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
