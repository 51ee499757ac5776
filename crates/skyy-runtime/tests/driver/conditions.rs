//! What Flux's `kstatus` and Kubernetes' own conventions ask of conditions, as one check for every status that a test sees.
//! Knows nothing of how a status came about.

use serde_json::Value;

/// Conditions that stand only while they are true.
const ONLY_TRUE: [&str; 3] = ["Reconciling", "Stalled", "Paused"];

/// Everything that is wrong with a status, as it was written for an object of this generation.
pub(crate) fn violations(status: &Value, generation: i64) -> Vec<String> {
    let mut wrong = Vec::new();
    let empty = Vec::new();
    let conditions = status["conditions"].as_array().unwrap_or(&empty);
    let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    let find = |name: &str| conditions.iter().find(|condition| condition["type"] == name);

    if status["observedGeneration"] != generation {
        wrong.push(format!("observedGeneration is {}, not {generation}", status["observedGeneration"]));
    }
    match find("Ready") {
        None => wrong.push("Ready is missing".to_owned()),
        Some(ready) if ready["observedGeneration"] != generation => {
            wrong.push(format!("Ready answers generation {}, not {generation}", ready["observedGeneration"]));
        }
        Some(_) => {}
    }
    for (n, condition) in conditions.iter().enumerate() {
        let name = text(condition, "type");
        let mut add = |what: &str| wrong.push(format!("{name}: {what}"));
        if conditions[..n].iter().any(|other| other["type"] == condition["type"]) {
            add("is there twice");
        }
        if !matches!(text(condition, "status").as_str(), "True" | "False" | "Unknown") {
            add("its status is none of True, False, Unknown");
        }
        if ONLY_TRUE.contains(&name.as_str()) && condition["status"] != "True" {
            add("must go when it is not true");
        }
        if !is_reason(&text(condition, "reason")) {
            add("its reason is not a word in PascalCase");
        }
        if condition["message"].as_str().is_none_or(|message| message.len() > 32_768) {
            add("its message is missing or longer than the API server takes");
        }
        // A condition that was not told again keeps the generation at which it was.
        if condition["observedGeneration"].as_i64().is_none_or(|seen| seen > generation) {
            add("answers a generation that does not exist yet");
        }
        if !text(condition, "lastTransitionTime").ends_with('Z')
            || text(condition, "lastTransitionTime").contains('.')
        {
            add("its time is not in whole seconds of UTC");
        }
    }
    if find("Reconciling").is_some() && find("Stalled").is_some() {
        wrong.push("Reconciling and Stalled at once".to_owned());
    }
    let ready = find("Ready").is_some_and(|condition| condition["status"] == "True");
    if ready && ONLY_TRUE.iter().any(|name| find(name).is_some()) {
        wrong.push("Ready, and yet something abnormal".to_owned());
    }
    wrong
}

/// As the API conventions have it: `^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`, and here without the odd characters.
fn is_reason(reason: &str) -> bool {
    reason.starts_with(|c: char| c.is_ascii_uppercase()) && reason.chars().all(|c| c.is_ascii_alphanumeric())
}

mod tests {
    use serde_json::json;

    use super::violations;

    #[test]
    fn the_check_itself_finds_what_is_wrong() {
        let condition = |name: &str, status: &str| {
            json!({"type": name, "status": status, "reason": "InSync", "message": "", "observedGeneration": 2,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let check = |conditions: Vec<serde_json::Value>, expected: &[&str]| {
            let found = violations(&json!({"observedGeneration": 2, "conditions": conditions}), 2);
            assert_eq!(found, expected);
        };
        check(vec![condition("Ready", "True"), condition("Programmed", "False")], &[]);
        check(vec![], &["Ready is missing"]);
        check(
            vec![condition("Ready", "False"), condition("Stalled", "False")],
            &["Stalled: must go when it is not true"],
        );
        check(
            vec![condition("Ready", "False"), condition("Reconciling", "True"), condition("Stalled", "True")],
            &["Reconciling and Stalled at once"],
        );
        check(
            vec![condition("Ready", "True"), condition("Paused", "True")],
            &["Ready, and yet something abnormal"],
        );
        check(vec![condition("Ready", "True"), condition("Ready", "True")], &["Ready: is there twice"]);
        let mut odd = condition("Ready", "Maybe");
        odd["reason"] = json!("");
        odd["observedGeneration"] = json!(3);
        odd["lastTransitionTime"] = json!("2026-01-01T00:00:00.5Z");
        odd["message"] = json!(null);
        assert_eq!(violations(&json!({"observedGeneration": 1, "conditions": [odd]}), 2).len(), 7);
    }
}
