//! Conditions, literals and assignments inside statements, read into the trees of expressions.

use std::collections::BTreeSet;

use super::lexer::{Kind, malformed};
use super::parser::Parser;
use crate::errors::{Refusal, Result};
use crate::expression::ast::{Comparator, Operand, Source, Term};
use crate::expression::path::Path;
use crate::expression::{Action, Condition, build};
use crate::value::{Item, MAX_NESTING, Number, TOO_DEEP, Value};

impl Parser {
    pub(super) fn condition(&mut self) -> Result<Condition> {
        let mut all = vec![self.conjunction()?];
        while self.take_word("OR") {
            self.count_operator()?;
            all.push(self.conjunction()?);
        }
        Ok(joined(all, Condition::Or))
    }

    fn conjunction(&mut self) -> Result<Condition> {
        let mut all = vec![self.negation()?];
        while self.take_word("AND") {
            self.count_operator()?;
            all.push(self.negation()?);
        }
        Ok(joined(all, Condition::And))
    }

    fn negation(&mut self) -> Result<Condition> {
        if self.take_word("NOT") {
            self.count_operator()?;
            let inner = self.deeper(Self::negation)?;
            return Ok(Condition::Not(Box::new(inner)));
        }
        if self.take_sign("(") {
            let inner = self.deeper(Self::condition)?;
            self.expect_sign(")", "Expected RIGHT_PAREN")?;
            return Ok(inner);
        }
        self.predicate()
    }

    fn predicate(&mut self) -> Result<Condition> {
        self.count_operator()?;
        let token = self.peek();
        if token.kind == Kind::Word && self.is_call() {
            let name = token.text.to_ascii_lowercase();
            if build::PREDICATES.contains(&name.as_str()) {
                self.next();
                let operands = self.arguments()?;
                return build::call(&name, operands).map_err(Refusal::Validation);
            }
        }
        let left = self.operand()?;
        if self.take_word("IS") {
            return self.kind_of(left);
        }
        let negated = self.take_word("NOT");
        let condition = if self.take_word("BETWEEN") {
            let low = self.operand()?;
            self.expect_word("AND", "Expected AND")?;
            let high = self.operand()?;
            build::between(left, low, high)
        } else if self.take_word("IN") {
            build::one_of(left, self.list()?)
        } else if negated {
            return Err(malformed("Unexpected keyword"));
        } else {
            let by = self.comparator()?;
            let right = self.operand()?;
            build::compare(left, by, right)
        };
        let condition = condition.map_err(Refusal::Validation)?;
        Ok(if negated {
            Condition::Not(Box::new(condition))
        } else {
            condition
        })
    }

    /// `IS [NOT] MISSING` and `IS [NOT] NULL`.
    fn kind_of(&mut self, left: Operand) -> Result<Condition> {
        let negated = self.take_word("NOT");
        let Operand::Path(path) = left else {
            return Err(malformed("Expected identifier for simple path"));
        };
        let missing = self.take_word("MISSING");
        if !missing {
            self.expect_word("NULL", "Unexpected type after IS")?;
        }
        Ok(match (missing, negated) {
            (true, false) => Condition::NotExists(path),
            (true, true) => Condition::Exists(path),
            (false, false) => Condition::Type(path, "NULL".into()),
            (false, true) => Condition::Not(Box::new(Condition::Type(path, "NULL".into()))),
        })
    }

    fn comparator(&mut self) -> Result<Comparator> {
        let token = self.peek();
        let by = match (token.kind, token.text.as_str()) {
            (Kind::Sign, "=") => Comparator::Eq,
            (Kind::Sign, "<>" | "!=") => Comparator::Ne,
            (Kind::Sign, "<") => Comparator::Lt,
            (Kind::Sign, "<=") => Comparator::Le,
            (Kind::Sign, ">") => Comparator::Gt,
            (Kind::Sign, ">=") => Comparator::Ge,
            _ => return Err(malformed("Unexpected term")),
        };
        self.next();
        Ok(by)
    }

    /// What IN looks in: `[a, b]` or `(a, b)`.
    fn list(&mut self) -> Result<Vec<Operand>> {
        let close = if self.take_sign("[") { "]" } else { ")" };
        if close == ")" {
            self.expect_sign("(", "Expected a list")?;
        }
        let mut list = vec![self.operand()?];
        while self.take_sign(",") {
            list.push(self.operand()?);
        }
        self.expect_sign(close, "The list is not terminated")?;
        Ok(list)
    }

    /// Of a function, in parentheses; there may be none.
    fn arguments(&mut self) -> Result<Vec<Operand>> {
        self.expect_sign("(", "Expected LEFT_PAREN")?;
        let mut out = Vec::new();
        if self.take_sign(")") {
            return Ok(out);
        }
        loop {
            out.push(self.deeper(Self::operand)?);
            if !self.take_sign(",") {
                break;
            }
        }
        self.expect_sign(")", "Expected RIGHT_PAREN")?;
        Ok(out)
    }

    /// A literal, a parameter, a path, or `size(…)`.
    fn operand(&mut self) -> Result<Operand> {
        if self.starts_value() {
            return self.value().map(Operand::Value);
        }
        let token = self.peek();
        if token.kind != Kind::Word || !self.is_call() {
            return self.path().map(Operand::Path);
        }
        let name = token.text.to_ascii_lowercase();
        if name != "size" {
            return Err(Refusal::validation(format!(
                "Unrecognized function: {name} at {}",
                token.place()
            )));
        }
        self.next();
        self.count_operator()?;
        let mut operands = self.arguments()?;
        match (operands.pop(), operands.len()) {
            (Some(inner), 0) => build::size(inner).map_err(Refusal::Validation),
            (last, rest) => {
                let count = rest + usize::from(last.is_some());
                Err(Refusal::Validation(build::operand_count(&name, count)))
            }
        }
    }

    fn starts_value(&self) -> bool {
        let token = self.peek();
        let text = token.text.as_str();
        match token.kind {
            Kind::Text | Kind::Number | Kind::Parameter => true,
            Kind::Sign => matches!(text, "[" | "{" | "<<" | "-" | "+"),
            Kind::Word => ["TRUE", "FALSE", "NULL", "MISSING"]
                .iter()
                .any(|word| text.eq_ignore_ascii_case(word)),
            Kind::Quoted | Kind::End => false,
        }
    }

    /// A literal or a parameter.
    fn value(&mut self) -> Result<Value> {
        self.nested(MAX_NESTING)
    }

    /// A whole item, whose values may be as deep as any.
    pub(super) fn item(&mut self) -> Result<Item> {
        match self.nested(MAX_NESTING + 1)? {
            Value::M(item) => Ok(item),
            _ => Err(malformed("Expected a map of attributes")),
        }
    }

    fn nested(&mut self, depth: usize) -> Result<Value> {
        let value = self.deeper(Self::literal)?;
        if value.depth() > depth {
            return Err(Refusal::validation(TOO_DEEP));
        }
        Ok(value)
    }

    fn literal(&mut self) -> Result<Value> {
        let token = self.next();
        let number = |text: &str| {
            let parsed = text.parse::<Number>();
            parsed.map_err(|error| Refusal::validation(error.to_string()))
        };
        Ok(match (token.kind, token.text.as_str()) {
            (Kind::Text, _) => Value::S(token.text),
            (Kind::Number, text) => Value::N(number(text)?),
            (Kind::Sign, "-") if self.peek().kind == Kind::Number => {
                Value::N(number(&self.next().text)?.negate())
            }
            (Kind::Sign, "+") if self.peek().kind == Kind::Number => {
                Value::N(number(&self.next().text)?)
            }
            (Kind::Parameter, _) => self.parameter()?,
            (Kind::Sign, "[") => Value::L(self.elements("]")?),
            (Kind::Sign, "{") => Value::M(self.map()?),
            (Kind::Sign, "<<") => self.bag()?,
            (Kind::Word, word) if word.eq_ignore_ascii_case("TRUE") => Value::Bool(true),
            (Kind::Word, word) if word.eq_ignore_ascii_case("FALSE") => Value::Bool(false),
            (Kind::Word, word) if word.eq_ignore_ascii_case("NULL") => Value::Null,
            (Kind::Word, word) if self.is_sign("(") => {
                return Err(Refusal::validation(format!(
                    "Unsupported data type: {} under key root at {}",
                    word.to_ascii_lowercase(),
                    token.place()
                )));
            }
            _ => return Err(malformed("Unexpected term")),
        })
    }

    fn elements(&mut self, close: &str) -> Result<Vec<Value>> {
        let mut out = Vec::new();
        if self.take_sign(close) {
            return Ok(out);
        }
        loop {
            out.push(self.deeper(Self::literal)?);
            if !self.take_sign(",") {
                break;
            }
        }
        self.expect_sign(close, "The literal is not terminated")?;
        Ok(out)
    }

    fn map(&mut self) -> Result<Item> {
        let mut map = Item::new();
        if self.take_sign("}") {
            return Ok(map);
        }
        loop {
            let key = self.next();
            if key.kind != Kind::Text {
                return Err(malformed("Expected a text as the key of a map"));
            }
            self.expect_sign(":", "Expected COLON")?;
            let value = self.deeper(Self::literal)?;
            if map.insert(key.text, value).is_some() {
                return Err(malformed("The key of a map is there twice"));
            }
            if !self.take_sign(",") {
                break;
            }
        }
        self.expect_sign("}", "The literal is not terminated")?;
        Ok(map)
    }

    /// `<<'a', 'b'>>`: a set of texts or of numbers.
    fn bag(&mut self) -> Result<Value> {
        let parameters = self.parameters_left();
        let elements = self.elements(">>")?;
        if self.parameters_left() < parameters {
            return Err(Refusal::validation("Unsupported data type in Bag"));
        }
        let mixed =
            || Refusal::validation("DynamoDB only supports either numbers or strings in bags");
        let twice = |told: Vec<String>| {
            Refusal::parameters(&format!(
                "Input collection [{}] contains duplicates.",
                told.join(", ")
            ))
        };
        match elements.first() {
            None => Err(Refusal::validation("Empty bags are not supported")),
            Some(Value::S(_)) => {
                let text = |value: &Value| match value {
                    Value::S(text) => Ok(text.clone()),
                    _ => Err(mixed()),
                };
                let texts: Vec<_> = elements.iter().map(text).collect::<Result<_>>()?;
                let set: BTreeSet<_> = texts.iter().cloned().collect();
                if set.len() < texts.len() {
                    return Err(twice(texts));
                }
                Ok(Value::Strings(set))
            }
            Some(Value::N(_)) => {
                let number = |value: &Value| match value {
                    Value::N(number) => Ok(*number),
                    _ => Err(mixed()),
                };
                let numbers: Vec<_> = elements.iter().map(number).collect::<Result<_>>()?;
                let set: BTreeSet<_> = numbers.iter().copied().collect();
                if set.len() < numbers.len() {
                    return Err(twice(numbers.iter().map(Number::to_string).collect()));
                }
                Ok(Value::Numbers(set))
            }
            Some(_) => Err(mixed()),
        }
    }

    /// What stands behind SET.
    pub(super) fn assignment(&mut self) -> Result<Action> {
        let path = self.path()?;
        self.expect_sign("=", "Expected EQ")?;
        let token = self.peek();
        let called = token.kind == Kind::Word && self.is_call();
        match token.text.to_ascii_uppercase().as_str() {
            "SET_ADD" if called => self.change_of_set("SET_ADD", path, Action::Add),
            "SET_DELETE" if called => self.change_of_set("SET_DELETE", path, Action::Delete),
            _ => Ok(Action::Set(path, self.source()?)),
        }
    }

    /// `s = set_add(s, <<…>>)`
    fn change_of_set(
        &mut self,
        function: &str,
        path: Path,
        action: fn(Path, Value) -> Action,
    ) -> Result<Action> {
        let (place, first) = (self.next().place(), self.place_behind());
        let operands = self.arguments()?;
        let [target, value] = <[Operand; 2]>::try_from(operands).map_err(|_| {
            Refusal::validation(format!(
                "{function} must have exactly two arguments at {place}"
            ))
        })?;
        if target != Operand::Path(path.clone()) {
            return Err(Refusal::validation(format!(
                "The first argument to {function} must equal the assignment value at {place}"
            )));
        }
        match value {
            Operand::Value(set @ (Value::Strings(_) | Value::Numbers(_) | Value::Binaries(_))) => {
                Ok(action(path, set))
            }
            _ => Err(Refusal::validation(format!(
                "The second argument to {function} must be a value with type SET at {first}"
            ))),
        }
    }

    fn source(&mut self) -> Result<Source> {
        let left = self.term()?;
        // `a -1` reads as `a` minus one.
        let minus = self.is_sign("-");
        if !minus && !self.is_sign("+") {
            return Ok(Source::Term(left));
        }
        self.next();
        self.count_operator()?;
        let right = self.term()?;
        for term in [&left, &right] {
            let kind = match term {
                Term::Value(Value::N(_)) | Term::Path(_) => continue,
                Term::Value(value) => value.kind(),
                _ => "L",
            };
            let sign = if minus { "-" } else { "+" };
            return Err(Refusal::Validation(build::wrong_type(sign, kind)));
        }
        Ok(if minus {
            Source::Minus(left, right)
        } else {
            Source::Plus(left, right)
        })
    }

    fn term(&mut self) -> Result<Term> {
        if self.starts_value() {
            return self.value().map(Term::Value);
        }
        let token = self.peek();
        if token.kind != Kind::Word || !self.is_call() {
            return self.path().map(Term::Path);
        }
        if !token.text.eq_ignore_ascii_case("list_append") {
            return Err(Refusal::validation(format!(
                "Unrecognized function: {} at {}",
                token.text.to_ascii_lowercase(),
                token.place()
            )));
        }
        self.next();
        self.count_operator()?;
        self.expect_sign("(", "Expected LEFT_PAREN")?;
        let first = self.deeper(Self::term)?;
        self.expect_sign(",", "Expected COMMA")?;
        let second = self.deeper(Self::term)?;
        self.expect_sign(")", "Expected RIGHT_PAREN")?;
        for term in [&first, &second] {
            if let Term::Value(value) = term
                && !matches!(value, Value::L(_))
            {
                return Err(Refusal::Validation(build::wrong_type(
                    "list_append",
                    value.kind(),
                )));
            }
        }
        Ok(Term::ListAppend(Box::new(first), Box::new(second)))
    }
}

fn joined(mut all: Vec<Condition>, of: fn(Vec<Condition>) -> Condition) -> Condition {
    match all.pop() {
        Some(only) if all.is_empty() => only,
        last => {
            all.extend(last);
            of(all)
        }
    }
}
