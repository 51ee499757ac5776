//! Fields of objects as data, and the validation that the package does field by field.
//!
//! It knows no collection: each gives its fields as a table. The order of the checks is the recorded one.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{
    config::{Config, Kind, Row},
    envelope::{ApiError, ApiResult, plain},
};

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Int,
    Bool,
    /// A text that the caller may choose and whose type is not checked.
    UidText,
    /// A number that the caller may choose and whose type is not checked.
    UidInt,
    /// Objects with fields of their own.
    Objects(&'static [Field]),
}

/// How many values a field holds, and how `config.xml` keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Many {
    One,
    /// Joined into one text: a single empty item reads back as no item.
    Joined,
    /// Repeated elements: an empty list reads back as null.
    Listed,
}

/// What stands in for a missing value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Default {
    None,
    Text(&'static str),
    Int(i64),
    Bool(bool),
    Empty,
    Items(&'static [&'static str]),
    Made(fn(&Scope<'_>) -> Value),
}

/// What a value must be one of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Choices {
    Any,
    Of(&'static [&'static str]),
    Interfaces,
    /// Interfaces and what else a rule can be bound to.
    RuleInterfaces,
}

type OnlyIf = fn(&Map<String, Value>) -> bool;
type Check = fn(&Scope<'_>, &Field, &str) -> ApiResult<()>;

/// One field.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "a table of properties")]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) ty: Type,
    pub(super) many: Many,
    default: Default,
    required: bool,
    editable: bool,
    read_only: bool,
    pub(super) hidden: bool,
    range: (i64, i64),
    choices: Choices,
    unique: bool,
    only_if: Option<OnlyIf>,
    check: Option<Check>,
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Field {}

impl Field {
    const fn new(name: &'static str, ty: Type, default: Default) -> Self {
        Self {
            name,
            ty,
            many: Many::One,
            default,
            required: false,
            editable: true,
            read_only: false,
            hidden: false,
            range: match ty {
                Type::Int => (0, i64::MAX),
                _ => (0, 1024),
            },
            choices: Choices::Any,
            unique: false,
            only_if: None,
            check: None,
        }
    }

    /// An optional text, empty when not given.
    pub(super) const fn text(name: &'static str) -> Self {
        Self::new(name, Type::Text, Default::Text(""))
    }

    /// An optional text, null when not given.
    pub(super) const fn nullable(name: &'static str) -> Self {
        Self::new(name, Type::Text, Default::None)
    }

    pub(super) const fn int(name: &'static str) -> Self {
        Self::new(name, Type::Int, Default::None)
    }

    pub(super) const fn bool(name: &'static str) -> Self {
        Self::new(name, Type::Bool, Default::Bool(false))
    }

    /// A list joined into one text.
    pub(super) const fn joined(name: &'static str) -> Self {
        Self { many: Many::Joined, ..Self::new(name, Type::Text, Default::Empty) }
    }

    /// A list of repeated elements.
    pub(super) const fn listed(name: &'static str) -> Self {
        Self { many: Many::Listed, ..Self::new(name, Type::Text, Default::Empty) }
    }

    pub(super) const fn objects(name: &'static str, fields: &'static [Self]) -> Self {
        Self { many: Many::Listed, ..Self::new(name, Type::Objects(fields), Default::Empty) }
    }

    /// A value the caller may choose once; `make` makes one otherwise.
    pub(super) const fn uid(name: &'static str, ty: Type, make: fn(&Scope<'_>) -> Value) -> Self {
        Self { editable: false, ..Self::new(name, ty, Default::Made(make)) }
    }

    /// A value the caller cannot give.
    pub(super) const fn auto(name: &'static str, default: Default) -> Self {
        Self { read_only: true, ..Self::new(name, Type::Text, default) }
    }

    pub(super) const fn required(self) -> Self {
        Self { required: true, default: Default::None, ..self }
    }

    pub(super) const fn fixed(self) -> Self {
        Self { editable: false, ..self }
    }

    pub(super) const fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    pub(super) const fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    pub(super) const fn or(self, default: Default) -> Self {
        Self { default, ..self }
    }

    /// The smallest and largest number; for texts the bytes, for lists of texts each item's bytes.
    pub(super) const fn range(self, least: i64, most: i64) -> Self {
        Self { range: (least, most), ..self }
    }

    pub(super) const fn one_of(self, choices: &'static [&'static str]) -> Self {
        Self { choices: Choices::Of(choices), ..self }
    }

    pub(super) const fn choices(self, choices: Choices) -> Self {
        Self { choices, ..self }
    }

    pub(super) const fn only_if(self, met: OnlyIf) -> Self {
        Self { only_if: Some(met), ..self }
    }

    pub(super) const fn check(self, check: Check) -> Self {
        Self { check: Some(check), ..self }
    }

    fn default_value(&self, scope: &Scope<'_>) -> Value {
        match self.default {
            Default::None => Value::Null,
            Default::Text(text) => json!(text),
            Default::Int(number) => json!(number),
            Default::Bool(yes) => json!(yes),
            Default::Empty => json!([]),
            Default::Items(items) => json!(items),
            Default::Made(make) => make(scope),
        }
    }
}

/// What is being done to the object under validation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Create,
    Update,
    /// One of the objects of a PUT.
    Replace,
}

/// Who writes, as rules remember it.
#[derive(Debug, Clone)]
pub(super) struct Author {
    pub(super) user: String,
    pub(super) ip: String,
}

/// What validation may look at.
pub(super) struct Scope<'a> {
    pub(super) op: Op,
    pub(super) config: &'a Config,
    pub(super) kind: Kind,
    /// The objects it must be unique among, in their order.
    pub(super) siblings: &'a [Row],
    /// Its own position among them, if it is there already.
    pub(super) own: Option<usize>,
    /// The interface whose DHCP server it belongs to.
    pub(super) parent: Option<&'a str>,
    pub(super) author: &'a Author,
    pub(super) now: u64,
    pub(super) uniqid: &'a dyn Fn() -> String,
}

impl Scope<'_> {
    /// The id that the object has or would get at the end.
    pub(super) fn id(&self) -> usize {
        self.own.unwrap_or(self.siblings.len())
    }
}

/// Puts `given` over `current` (or over nothing) and validates every field; gives the object as the answer shows it.
pub(super) fn validate(
    fields: &'static [Field],
    scope: &Scope<'_>,
    current: Option<&Map<String, Value>>,
    given: &Map<String, Value>,
) -> ApiResult<Map<String, Value>> {
    let mut row = merged(fields, current, given);
    for field in fields {
        if field.only_if.is_some_and(|met| !met(&row)) {
            row.insert(field.name.to_owned(), Value::Null);
            continue;
        }
        let value = row.get(field.name).cloned().unwrap_or(Value::Null);
        let value = if value.is_null() { field.default_value(scope) } else { value };
        field.validate(scope, current, &value)?;
        row.insert(field.name.to_owned(), value);
    }
    // The answer lists the fields in their order, whatever order they were given in.
    Ok(fields
        .iter()
        .map(|field| (field.name.to_owned(), row.remove(field.name).unwrap_or(Value::Null)))
        .collect())
}

fn merged(
    fields: &'static [Field],
    current: Option<&Map<String, Value>>,
    given: &Map<String, Value>,
) -> Map<String, Value> {
    let mut row = current.cloned().unwrap_or_default();
    let (append, remove) = (truthy(given.get("append")), truthy(given.get("remove")));
    for field in fields.iter().filter(|field| !field.read_only) {
        let Some(value) = given.get(field.name) else { continue };
        let value = match (row.get(field.name), value) {
            (Some(Value::Array(old)), Value::Array(new)) if current.is_some() && append => {
                old.iter().chain(new).cloned().collect()
            }
            (Some(Value::Array(old)), Value::Array(new)) if current.is_some() && remove => {
                old.iter().filter(|item| !new.contains(item)).cloned().collect()
            }
            _ => value.clone(),
        };
        row.insert(field.name.to_owned(), value);
    }
    row
}

impl Field {
    fn validate(
        &self,
        scope: &Scope<'_>,
        current: Option<&Map<String, Value>>,
        value: &Value,
    ) -> ApiResult<()> {
        let name = self.name;
        if self.read_only {
            return Ok(());
        }
        let was =
            current.and_then(|current| current.get(name)).filter(|was| !self.editable && !was.is_null());
        if let Some(was) = was.filter(|was| plain(was) != plain(value)) {
            let message = format!(
                "Field `{name}` is not editable but the requested value `{}` differs from its current value `{}`.",
                plain(value),
                plain(was)
            );
            return Err(ApiError::bad("FIELD_VALUE_CHANGED_WHEN_NOT_EDITABLE", message));
        }
        if value.is_null() {
            return if self.required { Err(ApiError::required(name)) } else { Ok(()) };
        }
        match (self.many, value) {
            (Many::One, value) => {
                self.validate_item(scope, value)?;
                if self.unique {
                    self.validate_unique(scope, value)?;
                }
                match (self.check, value.as_str()) {
                    (Some(check), Some(text)) if !text.is_empty() || self.required => {
                        check(scope, self, text)
                    }
                    _ => Ok(()),
                }
            }
            (_, Value::Array(items)) => {
                for item in items {
                    self.validate_item(scope, item)?;
                    if let (Some(check), Some(text)) = (self.check, item.as_str()) {
                        check(scope, self, text)?;
                    }
                }
                Ok(())
            }
            _ => {
                let message = format!("Field `{name}` must be of type `array`.");
                Err(ApiError::bad("FIELD_INVALID_MANY_VALUE", message))
            }
        }
    }

    fn validate_item(&self, scope: &Scope<'_>, value: &Value) -> ApiResult<()> {
        let name = self.name;
        let typed = |ok: bool, wanted: &str| {
            let message = || format!("Field `{name}` must be of type `{wanted}`");
            if ok { Ok(()) } else { Err(ApiError::bad("FIELD_INVALID_TYPE", message())) }
        };
        match self.ty {
            Type::UidText | Type::UidInt => {}
            Type::Bool => typed(value.is_boolean(), "boolean")?,
            Type::Objects(_) => typed(value.is_object(), "array")?,
            Type::Int => {
                typed(value.is_i64() || value.is_u64(), "integer")?;
                self.validate_number(value.as_i64().unwrap_or(i64::MAX))?;
            }
            Type::Text => typed(value.is_string(), "string")?,
        }
        let Some(text) = value.as_str().filter(|_| self.ty == Type::Text) else { return Ok(()) };
        if text.is_empty() && self.required {
            return Err(ApiError::bad("FIELD_EMPTY_NOT_ALLOWED", format!("Field `{name}` cannot be empty.")));
        }
        self.validate_choice(scope, text)?;
        if i64::try_from(text.len()).unwrap_or(i64::MAX) > self.range.1 {
            let message = format!("Field `{name}` exceeds the maximum character length of {}.", self.range.1);
            return Err(ApiError::bad("LENGTH_VALIDATOR_MAXIMUM_CONSTRAINT", message));
        }
        Ok(())
    }

    fn validate_number(&self, number: i64) -> ApiResult<()> {
        let (name, (least, most)) = (self.name, self.range);
        if number < least {
            let message =
                format!("Field `{name}` must be greater than or equal to `{least}`. Received `{number}`");
            return Err(ApiError::bad("NUMERIC_RANGE_VALIDATOR_MINIMUM_CONSTRAINT", message));
        }
        if number > most {
            let message =
                format!("Field `{name}` must be less than or equal to `{most}`. Received `{number}`");
            return Err(ApiError::bad("NUMERIC_RANGE_VALIDATOR_MAXIMUM_CONSTRAINT", message));
        }
        Ok(())
    }

    fn validate_choice(&self, scope: &Scope<'_>, text: &str) -> ApiResult<()> {
        let choices: Vec<&str> = match self.choices {
            Choices::Any => return Ok(()),
            Choices::Of(choices) => choices.to_vec(),
            Choices::Interfaces => scope.config.interface_ids(),
            Choices::RuleInterfaces => {
                let mut choices = scope.config.interface_ids();
                choices.extend(["enc0", "openvpn", "any"]);
                choices
            }
        };
        if choices.contains(&text) {
            return Ok(());
        }
        let message = format!("Field `{}` must be one of [{}]", self.name, choices.join(", "));
        Err(ApiError::bad("FIELD_INVALID_CHOICE", message))
    }

    fn validate_unique(&self, scope: &Scope<'_>, value: &Value) -> ApiResult<()> {
        let taken = scope
            .siblings
            .iter()
            .enumerate()
            .find(|(position, row)| Some(*position) != scope.own && row.get(self.name) == Some(value));
        let Some((position, row)) = taken else { return Ok(()) };
        let id = match scope.kind {
            Kind::DhcpServer => plain(row.get("interface").unwrap_or(&Value::Null)),
            _ => position.to_string(),
        };
        let message =
            format!("Field `{}` must be unique. Value is in use by object with ID `{id}`.", self.name);
        Err(ApiError::bad("FIELD_MUST_BE_UNIQUE", message))
    }
}

/// The object as it is read back after `config.xml` has kept it.
pub(super) fn stored(fields: &'static [Field], op: Op, row: Map<String, Value>) -> Row {
    let keep = |field: &Field, value: Value| match (field.many, value) {
        // An update writes every field, also those that were never there.
        (Many::Joined, Value::Null) if op == Op::Update => json!([]),
        (Many::Joined, Value::Array(items)) if items.iter().all(|item| item == "") && items.len() < 2 => {
            json!([])
        }
        (Many::Listed, Value::Array(items)) if items.is_empty() => Value::Null,
        (_, Value::Array(items)) => items.into_iter().map(trimmed).collect(),
        (_, Value::String(text)) if field.ty == Type::UidInt => {
            text.parse::<i64>().map_or(json!(text), |id| json!(id))
        }
        (_, value) => trimmed(value),
    };
    let fields = fields.iter().filter_map(|field| row.get(field.name).map(|value| (field, value.clone())));
    Arc::new(fields.map(|(field, value)| (field.name.to_owned(), keep(field, value))).collect())
}

/// The XML reader trims these from both ends of every text.
fn trimmed(value: Value) -> Value {
    match value {
        Value::String(text) => json!(text.trim_matches(['\t', '\n', '\r'])),
        other => other,
    }
}

/// An object of a given state, its missing fields as the package reads a missing element.
pub(super) fn raw(fields: &'static [Field], given: &Value) -> Row {
    let missing = |field: &Field| {
        if field.ty == Type::Bool && field.only_if.is_none() { json!(false) } else { Value::Null }
    };
    let value = |field: &Field| given.get(field.name).cloned().unwrap_or_else(|| missing(field));
    Arc::new(fields.iter().map(|field| (field.name.to_owned(), value(field))).collect())
}

/// Whether a text anywhere in the value makes `config.xml` unreadable.
pub(super) fn spoils_xml(value: &Value) -> bool {
    match value {
        Value::String(text) => text.chars().any(
            |c| !matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..),
        ),
        Value::Array(items) => items.iter().any(spoils_xml),
        Value::Object(members) => members.values().any(spoils_xml),
        _ => false,
    }
}

/// PHP's idea of a true value.
pub(super) fn truthy(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::Bool(yes)) => *yes,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.is_empty() && text != "0",
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(members)) => !members.is_empty(),
    }
}
