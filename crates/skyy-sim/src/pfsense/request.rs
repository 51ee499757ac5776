//! What a request asks for: its data, taken from the body or the query as the content type says.
//!
//! The traps are the package's: a content type on a GET hides its query, an empty body is an empty object.

use http::{HeaderMap, Method, header};
use serde_json::{Map, Value, json};

use super::{
    envelope::{ApiError, ApiResult},
    fields::truthy,
};

/// A request's data.
#[derive(Debug, Clone)]
pub(super) enum Data {
    /// An object, or anything PHP takes for one.
    Object(Map<String, Value>),
    /// A list with something in it.
    List(Vec<Value>),
}

impl Data {
    /// As an object; a list's members have numbers for names and are never looked at.
    pub(super) fn object(self) -> Map<String, Value> {
        match self {
            Self::Object(object) => object,
            Self::List(_) => Map::new(),
        }
    }
}

/// Refuses an `Accept` header that asks for anything but JSON, or for several things.
pub(super) fn check_accept(headers: &HeaderMap) -> ApiResult<()> {
    let Some(accept) = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()) else {
        return Ok(());
    };
    let wanted = accept.split(';').next().unwrap_or_default().trim();
    if matches!(wanted, "" | "*/*" | "application/json") {
        return Ok(());
    }
    let message = format!(
        "No content handler exists for `{wanted}`. Change the value of your `Accept` header to a valid option and try \
         again."
    );
    Err(ApiError::new(406, "CONTENT_HANDLER_ENCODE_NOT_FOUND", message))
}

/// Reads a request's data.
pub(super) fn data(method: &Method, headers: &HeaderMap, query: &str, body: &[u8]) -> ApiResult<Data> {
    let bodyless = *method == Method::GET || *method == Method::DELETE;
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = given.map_or("", |value| value.split(';').next().unwrap_or_default().trim());
    match content_type {
        "application/json" => json_data(body),
        "" if !bodyless => json_data(body),
        "" | "application/x-www-form-urlencoded" if bodyless => Ok(Data::Object(form(query))),
        "application/x-www-form-urlencoded" => Ok(Data::Object(form(&String::from_utf8_lossy(body)))),
        other => {
            let message = format!(
                "No content handler exists for `{other}`. Change the value of your `Content-Type` header to a valid \
                 option and try again."
            );
            Err(ApiError::new(415, "CONTENT_HANDLER_DECODE_NOT_FOUND", message))
        }
    }
}

fn json_data(body: &[u8]) -> ApiResult<Data> {
    if body.is_empty() {
        return Ok(Data::Object(Map::new()));
    }
    let php_type = match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => return Ok(Data::Object(object)),
        Ok(Value::Array(items)) if items.is_empty() => return Ok(Data::Object(Map::new())),
        Ok(Value::Array(items)) => return Ok(Data::List(items)),
        Ok(Value::Null) => return Ok(Data::Object(Map::new())),
        Ok(Value::Bool(_)) => "bool",
        Ok(Value::String(_)) => "string",
        Ok(Value::Number(number)) => {
            if number.is_f64() {
                "float"
            } else {
                "int"
            }
        }
        Err(_) => {
            let message = "Request body could not be decoded as JSON.";
            return Err(ApiError::bad("JSON_CONTENT_HANDLER_COULD_NOT_DECODE_JSON", message));
        }
    };
    let property = r"RESTAPI\Core\Endpoint::$request_data of type array";
    Err(ApiError::unexpected(&format!("Cannot assign {php_type} to property {property}")))
}

/// A query or a form: numbers and booleans are taken as such, `name[]` collects a list.
fn form(text: &str) -> Map<String, Value> {
    let mut data = Map::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name), typed(decoded(value)));
        match name.split_once('[') {
            Some((list, _)) => {
                let items = data.entry(list.to_owned()).or_insert_with(|| json!([]));
                if let Value::Array(items) = items {
                    items.push(value);
                }
            }
            None => {
                data.insert(name, value);
            }
        }
    }
    data
}

fn typed(text: String) -> Value {
    match text.as_str() {
        "true" => json!(true),
        "false" => json!(false),
        _ => {
            // Only what reads back the same: "007" stays a text.
            let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
            number.map_or_else(|| json!(text), |number| json!(number))
        }
    }
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| byte == b'%').and_then(|digits| hex::decode(digits).ok());
        match (byte, escaped) {
            (_, Some(escaped)) => {
                bytes.extend(escaped);
                rest = &tail[2..];
            }
            (byte, None) => {
                bytes.push(if byte == b'+' { b' ' } else { byte });
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The members that steer a request instead of describing an object.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a member of the request")]
pub(super) struct Control {
    pub(super) apply: bool,
    pub(super) asynchronous: bool,
    pub(super) dry_run: bool,
    pub(super) placement: Option<i64>,
    pub(super) limit: usize,
    pub(super) offset: usize,
    pub(super) reverse: bool,
    pub(super) sort_by: Vec<String>,
    pub(super) descending: bool,
    pub(super) sort_flags: String,
}

/// Names that are no filters of a collection.
pub(super) const CONTROL: &[&str] = &[
    "apply",
    "async",
    "dry_run",
    "placement",
    "limit",
    "offset",
    "reverse",
    "sort_by",
    "sort_order",
    "sort_flags",
    "append",
    "remove",
];

impl Control {
    pub(super) fn from(data: &Map<String, Value>, headers: &HeaderMap) -> ApiResult<Self> {
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
        let sort_by = match data.get("sort_by") {
            Some(Value::String(field)) if !field.is_empty() => vec![field.clone()],
            Some(Value::Array(fields)) => {
                fields.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        let placement = match data.get("placement") {
            None | Some(Value::Null) => None,
            Some(Value::Number(number)) if number.is_i64() => number.as_i64(),
            Some(other) => {
                let php_type = if other.is_string() { "string" } else { "array" };
                let property = r"RESTAPI\Core\Model::$placement of type ?int";
                return Err(ApiError::unexpected(&format!(
                    "Cannot assign {php_type} to property {property}"
                )));
            }
        };
        let prefer = headers.get("prefer").and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok(Self {
            apply: truthy(data.get("apply")),
            asynchronous: data.get("async").is_none_or(|value| truthy(Some(value))),
            dry_run: truthy(data.get("dry_run")) || prefer.contains("dry-run"),
            placement,
            limit: count(data, "limit", "ENDPOINT_LIMIT_FIELD_INVALID_TYPE")?,
            offset: count(data, "offset", "ENDPOINT_OFFSET_FIELD_INVALID_TYPE")?,
            reverse: truthy(data.get("reverse")),
            sort_by,
            descending: text("sort_order") == "SORT_DESC",
            sort_flags: text("sort_flags").to_owned(),
        })
    }
}

fn count(data: &Map<String, Value>, name: &str, id: &'static str) -> ApiResult<usize> {
    let Some(value) = data.get(name) else { return Ok(0) };
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| ApiError::bad(id, format!("Field `{name}` must be of type `integer`.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_typed_as_php_does() {
        let data = form("id=0&descr=true&a__in[]=x&a__in[]=2&t=%E4%B8%AD+b%&n=007&e");
        let expected = json!({"id": 0, "descr": true, "a__in": ["x", 2], "t": "中 b%", "n": "007", "e": ""});
        assert_eq!(Value::Object(data), expected);
    }

    #[test]
    fn a_content_type_hides_the_query() {
        let mut headers = HeaderMap::new();
        let read = |headers: &HeaderMap| data(&Method::GET, headers, "id=0", b"").unwrap().object().len();
        assert_eq!(read(&headers), 1);
        headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        assert_eq!(read(&headers), 0);
    }
}
