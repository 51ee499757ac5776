//! Once all is Ready, nobody writes anything: no endpoint and no object sees a write for a minute, the Lease aside.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Map, Value};

use super::{INTERVAL, Report};
use crate::demo::endpoints::Calls;
use crate::demo::stages::Demo;

const WATCHED: Duration = Duration::from_mins(1);

pub(super) async fn run(demo: &mut Demo, report: &mut Report) -> Result<()> {
    // What changed last outside is seen, and said in a status, within one interval.
    tokio::time::sleep(INTERVAL).await;
    let before = calls(demo).await?;
    let (objects, writes) = (demo.world.contents(), demo.world.api_writes().await?);
    tokio::time::sleep(WATCHED).await;
    demo.must_run()?;
    let after = calls(demo).await?;
    let (objects_after, writes_after) = (demo.world.contents(), demo.world.api_writes().await?);

    let mut wrong = Vec::new();
    let mut looked = Vec::new();
    for (endpoint, (before, after)) in demo.endpoints.all().iter().zip(before.iter().zip(&after)) {
        let between = after.since(before);
        looked.push(format!("{} {}", endpoint.name, between.reads));
        let writes = between.by_path.iter().filter(|(path, _)| !path.starts_with("GET "));
        wrong.extend(writes.map(|(path, count)| format!("{}: {count} times {path}", endpoint.name)));
    }
    report.nothing_wrong(
        &wrong,
        format!("steady: no write to an endpoint in 60 s (looks: {})", looked.join(", ")),
    );

    let mut wrong = Vec::new();
    for (name, (version, now)) in &objects_after {
        match objects.get(name) {
            None => wrong.push(format!("{name} is new")),
            Some((before, _)) if before == version => {}
            Some((_, then)) => {
                let differences = differences("", then, now).join(", ");
                wrong.push(format!("{name} was written: {differences}"));
            }
        }
    }
    wrong.extend(
        objects
            .keys()
            .filter(|name| !objects_after.contains_key(*name))
            .map(|name| format!("{name} is gone")),
    );
    if writes_after > writes {
        wrong.push(format!("{} writes to objects and events", writes_after - writes));
    }
    report.nothing_wrong(&wrong, format!("steady: no write to any of {} objects in 60 s", objects.len()));
    Ok(())
}

async fn calls(demo: &Demo) -> Result<Vec<Calls>> {
    let mut all = Vec::new();
    for endpoint in demo.endpoints.all() {
        all.push(endpoint.calls().await?);
    }
    Ok(all)
}

/// Where two objects differ, and how.
fn differences(path: &str, then: &Value, now: &Value) -> Vec<String> {
    if then == now {
        return Vec::new();
    }
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
            let value =
                |fields: &Map<String, Value>, name: &String| fields.get(name).cloned().unwrap_or_default();
            let each =
                |name: &String| differences(&format!("{path}.{name}"), &value(then, name), &value(now, name));
            names.into_iter().flat_map(each).collect()
        }
        (Value::Array(then), Value::Array(now)) if then.len() == now.len() => {
            let pairs = then.iter().zip(now).enumerate();
            pairs.flat_map(|(n, (then, now))| differences(&format!("{path}[{n}]"), then, now)).collect()
        }
        _ => vec![format!("{path} {then} → {now}")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_difference_says_where_it_is() {
        let then = json!({"status": {"a": 1, "b": [{"c": 1}, {"c": 2}], "d": "x"}});
        let now = json!({"status": {"a": 1, "b": [{"c": 1}, {"c": 3}], "e": []}});
        assert_eq!(
            differences("", &then, &now),
            [".status.b[1].c 2 → 3", ".status.d \"x\" → null", ".status.e null → []"]
        );
        assert!(differences("", &now, &now).is_empty());
    }
}
