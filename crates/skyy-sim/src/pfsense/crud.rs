//! Reading and changing any collection: what a request makes of a copy of the configuration.
//!
//! Nothing here touches the box itself; a [`Change`] says what is to be committed and what it makes pending.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{
    config::{Config, Kind, Row, Table, text},
    dhcp,
    envelope::{ApiError, ApiResult, plain},
    fields::{Author, Op, Scope, spoils_xml, stored, truthy, validate},
    nat, query,
    request::{Control, Data},
    rule,
    spec::{self, Spec, Subsystem},
};

/// What a write does.
#[derive(Debug)]
pub(super) struct Change {
    /// The whole configuration after it.
    pub(super) config: Config,
    /// The answer; an error here still leaves what was changed before it.
    pub(super) answer: ApiResult<Value>,
    pub(super) effects: Vec<Effect>,
    /// How many objects were written.
    pub(super) written: usize,
    /// The configuration stays as it was: a dry run, or a text in it makes `config.xml` unreadable and the box falls back
    /// to its last backup.
    pub(super) discarded: bool,
}

/// What a write does besides changing the configuration.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect {
    Pending(Subsystem),
    /// The virtual IP at this position waits to be configured; with what it was before, if it was there.
    VipPending(usize, Option<Row>),
    /// This virtual IP leaves its interface at once.
    VipRemoved(Row),
}

/// Who writes, when, and where new ids come from.
pub(super) struct Caller<'a> {
    pub(super) author: &'a Author,
    pub(super) now: u64,
    pub(super) uniqid: &'a dyn Fn() -> String,
}

impl Caller<'_> {
    fn scope<'a>(&'a self, spec: &Spec, op: Op, config: &'a Config, siblings: &'a [Row]) -> Scope<'a> {
        Scope {
            op,
            config,
            kind: spec.kind,
            siblings,
            own: None,
            parent: None,
            author: self.author,
            now: self.now,
            uniqid: self.uniqid,
        }
    }
}

/// One object as it is read.
fn shown(
    spec: &Spec,
    config: &Config,
    parent: Option<&str>,
    position: usize,
    row: &Map<String, Value>,
) -> Value {
    match (spec.kind, parent) {
        (Kind::StaticMap, Some(parent)) => dhcp::shown_static_map(parent, position, row),
        (Kind::DhcpServer, _) => dhcp::shown_server(config, row, None),
        (Kind::Interface, _) => Value::Object(row.clone()),
        _ => {
            let hidden = |name: &str| spec.fields.iter().any(|field| field.hidden && field.name == name);
            let mut shown = Map::from_iter([("id".to_owned(), json!(position))]);
            shown.extend(
                row.iter()
                    .filter(|(name, _)| !hidden(name))
                    .map(|(name, value)| (name.clone(), value.clone())),
            );
            shown.into()
        }
    }
}

/// The interface that a static mapping belongs to; other objects belong to none.
fn parent(
    spec: &Spec,
    config: &Config,
    data: &Map<String, Value>,
    missing: ApiError,
) -> ApiResult<Option<String>> {
    if spec.kind != Kind::StaticMap {
        return Ok(None);
    }
    let Some(id) = data.get("parent_id") else { return Err(missing) };
    let id = plain(id);
    if config.dhcp_interfaces().any(|interface| interface == id) {
        return Ok(Some(id));
    }
    let message = format!("Parent object with ID `{id}` does not exist.");
    Err(ApiError::new(404, "MODEL_PARENT_OBJECT_NOT_FOUND", message))
}

/// The position of the object with this id.
fn locate(spec: &Spec, table: &[Row], id: &Value) -> ApiResult<usize> {
    let found = match spec.kind {
        Kind::DhcpServer => table.iter().position(|row| text(row, "interface") == plain(id)),
        Kind::Interface => table.iter().position(|row| text(row, "id") == plain(id)),
        _ => plain(id).parse().ok().filter(|position| *position < table.len()),
    };
    found.ok_or_else(|| ApiError::not_found(id))
}

fn requires_id() -> ApiError {
    ApiError::bad("MODEL_REQUIRES_ID", "Field `id` is required.")
}

pub(super) fn get_one(spec: &Spec, config: &Config, data: &Map<String, Value>) -> ApiResult<Value> {
    let missing = ApiError::bad("MODEL_PARENT_ID_REQUIRED", "Field `parent_id` is required.");
    let parent = parent(spec, config, data, missing)?;
    let id = data.get("id").ok_or_else(requires_id)?;
    let table = config.table(spec.kind, parent.as_deref());
    let position = locate(spec, table, id)?;
    Ok(shown(spec, config, parent.as_deref(), position, &table[position]))
}

fn all_shown(spec: &Spec, config: &Config) -> Vec<Value> {
    let all = config.all(spec.kind);
    all.iter().map(|(parent, position, row)| shown(spec, config, parent.as_deref(), *position, row)).collect()
}

pub(super) fn get_many(
    spec: &Spec,
    config: &Config,
    data: &Map<String, Value>,
    control: &Control,
) -> ApiResult<Value> {
    let all = all_shown(spec, config);
    let names = query::field_names(spec.fields, all.first());
    Ok(Value::Array(query::page(query::filter(all, data, &names)?, control, &names)?))
}

/// Where a new or moved object lands.
fn placed(placement: Option<i64>, last: usize) -> ApiResult<Option<usize>> {
    let Some(placement) = placement else { return Ok(None) };
    let index = usize::try_from(placement).ok().filter(|index| *index <= last).ok_or_else(|| {
        ApiError::new(500, "MODEL_FAILED_TO_SET_PLACEMENT", "Failed to set placement for Model object.")
    })?;
    Ok(Some(index))
}

/// Brings the stored order in line after a write and says where `row` is now.
fn settle_order(
    spec: &Spec,
    config: &mut Config,
    parent: Option<&str>,
    control: &Control,
    row: &Row,
) -> ApiResult<usize> {
    if spec.kind == Kind::StaticMap {
        config.table_mut(spec.kind, parent).sort_by(dhcp::by_ipaddr);
    }
    if !control.sort_by.is_empty() {
        // The package orders the stored objects themselves, not only the answer.
        let names = query::field_names(spec.fields, None);
        let mut all: Vec<Value> = all_shown(spec, config);
        query::sort(&mut all, control, &names)?;
        let table = config.table(spec.kind, parent).to_vec();
        let order =
            all.iter().filter_map(|object| object["id"].as_u64().and_then(|id| usize::try_from(id).ok()));
        *config.table_mut(spec.kind, parent) = order.filter_map(|id| table.get(id).cloned()).collect();
    }
    let table = config.table(spec.kind, parent);
    Ok(table.iter().position(|other| Arc::ptr_eq(other, row)).unwrap_or_default())
}

fn insert_id(answer: &mut Value, id: Value) {
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("id".to_owned(), id);
    }
}

pub(super) fn create(
    spec: &'static Spec,
    base: &Config,
    caller: &Caller<'_>,
    data: &Map<String, Value>,
    control: &Control,
) -> ApiResult<Change> {
    let missing = ApiError::bad("MODEL_PARENT_ID_REQUIRED", "Field `parent_id` is required.");
    let parent = parent(spec, base, data, missing)?;
    let parent = parent.as_deref();
    let siblings: Table = Arc::new(base.table(spec.kind, parent).to_vec());
    let scope = Scope { parent, ..caller.scope(spec, Op::Create, base, &siblings) };
    let mut answer = validate(spec.fields, &scope, None, data)?;
    (spec.whole)(&scope, &mut answer)?;
    let place = placed(control.placement, siblings.len())?;
    let mut config = base.clone();
    let maps = server_maps(spec, &scope, &mut config, &answer, data, &[])?;
    let spoiled = answer.values().any(spoils_xml) || maps.iter().flatten().any(spoils_xml);
    let row = stored(spec.fields, Op::Create, answer.clone());
    let table = config.table_mut(spec.kind, parent);
    table.insert(place.unwrap_or(table.len()), Arc::clone(&row));
    let position = settle_order(spec, &mut config, parent, control, &row)?;
    let answer = match maps {
        _ if spec.kind != Kind::DhcpServer => shown(spec, &config, parent, position, &answer),
        maps => dhcp::shown_server(&config, &answer, maps),
    };
    associate(spec, &mut config, caller)?;
    let mut effects: Vec<_> = spec.subsystem.map(Effect::Pending).into_iter().collect();
    if spec.kind == Kind::Vip {
        effects.push(Effect::VipPending(position, None));
    }
    Ok(committed(control, Change { config, answer: Ok(answer), effects, written: 1, discarded: spoiled }))
}

pub(super) fn update(
    spec: &'static Spec,
    base: &Config,
    caller: &Caller<'_>,
    data: &Map<String, Value>,
    control: &Control,
) -> ApiResult<Change> {
    let message = "Model `get_config_path()` cannot be called until the parent Model has been constructed. Run the \
                   `get_parent_model()` method first.";
    let missing = ApiError::new(500, "MODEL_CANNOT_GET_CONFIG_PATH_WITHOUT_PARENT_MODEL", message);
    let parent = parent(spec, base, data, missing)?;
    let parent = parent.as_deref();
    let id = data.get("id").ok_or_else(requires_id)?;
    let siblings: Table = Arc::new(base.table(spec.kind, parent).to_vec());
    let position = locate(spec, &siblings, id)?;
    let was = Arc::clone(&siblings[position]);
    let scope = Scope { parent, own: Some(position), ..caller.scope(spec, Op::Update, base, &siblings) };
    let mut answer = validate(spec.fields, &scope, Some(&was), data)?;
    (spec.whole)(&scope, &mut answer)?;
    let place = placed(control.placement, siblings.len() - 1)?;
    let mut config = base.clone();
    let before = existing_maps(spec, base, &was);
    let maps = server_maps(spec, &scope, &mut config, &answer, data, &before)?;
    let spoiled = answer.values().any(spoils_xml) || maps.iter().flatten().any(spoils_xml);
    let row = stored(spec.fields, Op::Update, answer.clone());
    let table = config.table_mut(spec.kind, parent);
    table[position] = Arc::clone(&row);
    if let Some(place) = place {
        let row = table.remove(position);
        table.insert(place, row);
    }
    let now_at = settle_order(spec, &mut config, parent, control, &row)?;
    let mut shown = match spec.kind {
        Kind::DhcpServer => dhcp::shown_server(&config, &answer, maps),
        _ => shown(spec, &config, parent, now_at, &answer),
    };
    if now_at == position && spec.kind != Kind::DhcpServer {
        insert_id(&mut shown, id.clone()); // echoed as it was given, a text included
    }
    let mut effects: Vec<_> = spec.subsystem.map(Effect::Pending).into_iter().collect();
    if spec.kind == Kind::Vip {
        effects.push(Effect::VipPending(position, Some(was)));
    }
    Ok(committed(control, Change { config, answer: Ok(shown), effects, written: 1, discarded: spoiled }))
}

/// A dry run answers like a real one and changes nothing.
fn committed(control: &Control, change: Change) -> Change {
    if control.dry_run {
        return Change { effects: Vec::new(), discarded: true, ..change };
    }
    change
}

fn existing_maps(spec: &Spec, base: &Config, server: &Map<String, Value>) -> Vec<Value> {
    if spec.kind != Kind::DhcpServer {
        return Vec::new();
    }
    let rows = base.table(Kind::StaticMap, Some(text(server, "interface"))).iter();
    rows.map(|row| Value::Object((**row).clone())).collect()
}

/// Takes over the static mappings given with a DHCP server and gives them as the answer shows them.
fn server_maps(
    spec: &Spec,
    scope: &Scope<'_>,
    config: &mut Config,
    server: &Map<String, Value>,
    data: &Map<String, Value>,
    before: &[Value],
) -> ApiResult<Option<Vec<Value>>> {
    let Some(given) = data.get("staticmap").filter(|_| spec.kind == Kind::DhcpServer) else {
        return Ok(None);
    };
    let Some(given) = given.as_array() else {
        let message = "Field `staticmap` must be of type `array`.";
        return Err(ApiError::bad("FIELD_INVALID_MANY_VALUE", message));
    };
    let same = |a: &Value, b: &Value| a["mac"] == b["mac"] && a["ipaddr"] == b["ipaddr"];
    let items: Vec<Value> = if truthy(data.get("append")) {
        before.iter().chain(given).cloned().collect()
    } else if truthy(data.get("remove")) {
        before.iter().filter(|old| !given.iter().any(|gone| same(old, gone))).cloned().collect()
    } else {
        given.clone()
    };
    let interface = text(server, "interface");
    let (shown, kept) = dhcp::static_maps(scope, interface, &items)?;
    *config.table_mut(Kind::StaticMap, Some(interface)) = kept;
    Ok(Some(shown))
}

fn minimum_reached(spec: &Spec) -> ApiError {
    let message = format!(
        "Object deletion denied. Deleting this object would result in the number of existing objects falling below \
         the minimum number allowed for this Model, {}.",
        spec.minimum
    );
    ApiError::new(403, "MODEL_MANY_MINIMUM_REACHED", message)
}

/// Removes one object from `config`.
fn remove(spec: &Spec, config: &mut Config, parent: Option<&str>, position: usize) -> ApiResult<Vec<Effect>> {
    let table = config.table_mut(spec.kind, parent);
    if table.len() <= spec.minimum {
        return Err(minimum_reached(spec));
    }
    let row = table.remove(position);
    if spec.kind == Kind::DhcpServer {
        config.drop_orphans();
    }
    // A virtual IP leaves its interface at once and leaves nothing pending.
    Ok(match spec.kind {
        Kind::Vip => vec![Effect::VipRemoved(row)],
        _ => spec.subsystem.map(Effect::Pending).into_iter().collect(),
    })
}

pub(super) fn delete(
    spec: &'static Spec,
    base: &Config,
    caller: &Caller<'_>,
    data: &Map<String, Value>,
    control: &Control,
) -> ApiResult<Change> {
    let message =
        "A parent ID is required when refreshing objects from config on model with a `many` parent.";
    let parent =
        parent(spec, base, data, ApiError::new(500, "MODEL_PARENT_ID_REQUIRED_FOR_REFRESH", message))?;
    let parent = parent.as_deref();
    let message = "An ID is required when refreshing objects from config on model with `many`.";
    let id = data.get("id").ok_or_else(|| ApiError::new(500, "MODEL_ID_REQUIRED_FOR_REFRESH", message))?;
    let table = base.table(spec.kind, parent);
    let position = locate(spec, table, id)?;
    let answer = shown(spec, base, parent, position, &table[position]);
    let mut config = base.clone();
    let effects = remove(spec, &mut config, parent, position)?;
    associate(spec, &mut config, caller)?;
    Ok(committed(control, Change { config, answer: Ok(answer), effects, written: 1, discarded: false }))
}

pub(super) fn delete_many(
    spec: &'static Spec,
    base: &Config,
    caller: &Caller<'_>,
    data: &Map<String, Value>,
    control: &Control,
) -> ApiResult<Change> {
    if !query::has_filter(data) {
        let message = "At least one query parameter is required to perform mass deletion.";
        return Err(ApiError::bad("MODEL_DELETE_MANY_REQUIRES_QUERY_PARAMS", message));
    }
    let mut doomed = all_shown(spec, base);
    let names = query::field_names(spec.fields, None);
    doomed = query::page(query::filter(doomed, data, &names)?, control, &names)?;
    let dies = spec.mass_delete_dies_at.is_some_and(|limit| doomed.len() >= limit);
    if dies {
        doomed.truncate(doomed.len() * 3 / 4);
    }
    let mut change = Change {
        config: base.clone(),
        answer: Ok(json!([])),
        effects: Vec::new(),
        written: 0,
        discarded: false,
    };
    for object in &doomed {
        // Objects go one by one, each found anew: what is deleted moves all later ones up.
        let parent = object["parent_id"].as_str();
        let earlier =
            doomed[..change.written].iter().filter(|other| other["parent_id"] == object["parent_id"]);
        let moved_up = earlier.filter(|other| other["id"].as_u64() < object["id"].as_u64()).count();
        let id = object["id"].as_u64().and_then(|id| usize::try_from(id).ok()).unwrap_or_default();
        match remove(spec, &mut change.config, parent, id - moved_up) {
            Ok(effects) => change.effects.extend(effects),
            Err(error) => {
                change.answer = Err(error);
                return Ok(change);
            }
        }
        change.written += 1;
    }
    associate(spec, &mut change.config, caller)?;
    change.answer = if dies { Err(ApiError::crash()) } else { Ok(Value::Array(doomed)) };
    Ok(change)
}

pub(super) fn replace_all(
    spec: &'static Spec,
    base: &Config,
    caller: &Caller<'_>,
    data: Data,
    control: &Control,
) -> ApiResult<Change> {
    if control.dry_run {
        let message = "Cache model set is missing its signature.";
        return Err(ApiError::new(500, "MODEL_CACHE_MODELSET_MISSING_SIGNATURE", message));
    }
    let items = match data {
        Data::List(items) if items.iter().all(Value::is_object) => items,
        // To PHP an empty object, and no body at all, is an empty list: it wipes the collection.
        Data::Object(object) if object.is_empty() => Vec::new(),
        _ => {
            let message =
                "PUT requests to `many` endpoints must contain an indexed array of objects to replace.";
            return Err(ApiError::bad("ENDPOINT_REQUEST_DATA_MUST_BE_INDEXED_ARRAY", message));
        }
    };
    if items.len() < spec.minimum {
        let message =
            format!("A minimum of {} new objects is required to replace all existing objects.", spec.minimum);
        return Err(ApiError::bad("MODEL_REPLACE_ALL_MINIMUM_NOT_MET", message));
    }
    let mut config = base.clone();
    let (mut rows, mut answer, mut spoiled) = (Vec::<Row>::new(), Vec::new(), false);
    for item in items.iter().filter_map(Value::as_object) {
        let scope = caller.scope(spec, Op::Replace, base, &rows);
        let mut row = validate(spec.fields, &scope, None, item)?;
        (spec.whole)(&scope, &mut row)?;
        spoiled |= row.values().any(spoils_xml);
        if spec.kind == Kind::DhcpServer {
            let none = Map::from_iter([("staticmap".to_owned(), json!([]))]);
            let given = if item.contains_key("staticmap") { item } else { &none };
            let maps = server_maps(spec, &scope, &mut config, &row, given, &[])?;
            answer.push(dhcp::shown_server(&config, &row, maps));
        } else {
            answer.push(shown(spec, &config, None, rows.len(), &row));
        }
        rows.push(stored(spec.fields, Op::Replace, row));
    }
    let written = rows.len();
    *config.table_mut(spec.kind, None) = rows;
    if spec.kind == Kind::DhcpServer {
        config.drop_orphans();
    }
    associate(spec, &mut config, caller)?;
    let effects = spec.subsystem.map(Effect::Pending).into_iter().collect();
    Ok(Change { config, answer: Ok(Value::Array(answer)), effects, written, discarded: spoiled })
}

/// Makes the filter rules of new port forwards, and drops those of forwards that are gone.
fn associate(spec: &Spec, config: &mut Config, caller: &Caller<'_>) -> ApiResult<()> {
    if spec.kind != Kind::PortForward {
        return Ok(());
    }
    let own = |row: &Row| text(row, "associated_rule_id").to_owned();
    let forwards: Vec<Row> = config.table(Kind::PortForward, None).to_vec();
    let wanted: Vec<String> = forwards.iter().map(own).filter(|id| id.starts_with("nat_")).collect();
    let rules = config.table_mut(Kind::Rule, None);
    rules.retain(|rule| !own(rule).starts_with("nat_") || wanted.contains(&own(rule)));
    for forward in &forwards {
        let id = own(forward);
        let there = config.table(Kind::Rule, None).iter().any(|rule| own(rule) == id);
        if !id.starts_with("nat_") || there {
            continue;
        }
        let scope = caller.scope(&rule::SPEC, Op::Create, config, &[]);
        let mut row = validate(rule::SPEC.fields, &scope, None, &nat::associated_rule(forward))?;
        rule::stamp(&scope, &mut row);
        row.insert("associated_rule_id".to_owned(), json!(id));
        let row = stored(rule::SPEC.fields, Op::Create, row);
        config.table_mut(Kind::Rule, None).push(row);
    }
    Ok(())
}

/// Every object of a collection as it is read.
pub(super) fn list(kind: Kind, config: &Config) -> Vec<Value> {
    all_shown(spec::of(kind), config)
}
