//! The rows against what the real package answered: whatever it makes of what we would send compares equal to it.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value;

use super::{
    DhcpRow, NatRow, Raw, RuleRow, VipRow, fingerprint_of_row,
    rows::{Row, Seen, differences, string},
    step::{new_body, sent_back},
};

/// The recorded exchanges, by file. None where they are not at hand.
fn recorded() -> Option<BTreeMap<String, Vec<Value>>> {
    let folder = std::env::var_os("SKYY_CONTRACTS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contracts"),
        PathBuf::from,
    );
    let Ok(entries) = std::fs::read_dir(folder.join("pfsense/golden")) else {
        println!("skipped: no recorded exchanges in {} (SKYY_CONTRACTS)", folder.display());
        return None;
    };
    let mut files = BTreeMap::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let text = std::fs::read_to_string(&path).unwrap();
            let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            files.insert(path.file_stem().unwrap().to_string_lossy().into_owned(), lines);
        }
    }
    Some(files)
}

/// Every row that was made, with the body that made it.
fn made<'a>(files: &'a BTreeMap<String, Vec<Value>>, path: &str) -> Vec<(&'a Raw, &'a Raw)> {
    files
        .values()
        .flatten()
        .filter(|line| line["request"]["method"] == "POST" && line["request"]["path"] == path)
        .filter(|line| line["response"]["status"] == 200)
        .filter_map(|line| {
            Some((line["request"]["body"].as_object()?, line["response"]["body"]["data"].as_object()?))
        })
        .collect()
}

/// Rows that we could have made come back as what they were made of; and what we send is what was sent.
fn check<R: Row>(files: &BTreeMap<String, Vec<Value>>, path: &str, at_least: usize) {
    let mut ours = 0;
    for (body, answer) in made(files, path) {
        let (text, _) = super::Mark::split(&string(body, "descr"));
        let Some(row) = R::read(body, &text) else { continue };
        if !differences(body, &row).is_empty() {
            // With something that we never send, such as a source with host bits.
            continue;
        }
        ours += 1;
        let seen = Seen::<R>::from_raw(0, answer.clone());
        assert_eq!(seen.row, Some(row.clone()), "{body:?}\n{answer:?}");
        for (field, value) in new_body(row.fields(), String::new()) {
            let sent = body.get(&field).cloned().unwrap_or(Value::Null);
            let said = R::canonical(&field, &value);
            let same = R::canonical(&field, &sent) == said || field == "descr" || field == "type";
            assert!(same || R::canonical(&field, &answer[&field]) == said, "{field}: {value} for {sent}");
        }
    }
    assert!(ours >= at_least, "{path}: only {ours} rows like ours were recorded");
}

#[test]
fn what_the_package_stores_compares_equal_to_what_was_sent() {
    let Some(files) = recorded() else { return };
    check::<VipRow>(&files, "/api/v2/firewall/virtual_ip", 10);
    check::<NatRow>(&files, "/api/v2/firewall/nat/one_to_one/mapping", 4);
    check::<DhcpRow>(&files, "/api/v2/services/dhcp_server/static_mapping", 8);
    check::<RuleRow>(&files, "/api/v2/firewall/rule", 10);
}

#[test]
fn a_row_looks_the_same_in_every_answer() {
    let Some(files) = recorded() else { return };
    // The answer to a POST and the list after it spell empty fields differently.
    let life = &files["dhcp-life"];
    let answers: Vec<&Raw> =
        life[..3].iter().map(|line| line["response"]["body"]["data"].as_object().unwrap()).collect();
    let list = life[3]["response"]["body"]["data"].as_array().unwrap();
    for (answer, position) in answers.iter().zip([0, 2, 1]) {
        let listed = list[position].as_object().unwrap();
        assert_ne!(*answer, listed);
        assert_eq!(fingerprint_of_row(answer), fingerprint_of_row(listed));
    }
}

#[test]
fn rows_of_others_survive_a_list_written_as_a_whole() {
    let Some(files) = recorded() else { return };
    for line in &files["bulk-rules-put"] {
        let (request, response) = (&line["request"], &line["response"]);
        let (Some(sent), Some(stored)) = (request["body"].as_array(), response["body"]["data"].as_array())
        else {
            continue;
        };
        for (sent, stored) in sent.iter().zip(stored) {
            let (sent, stored) = (sent.as_object().unwrap(), stored.as_object().unwrap());
            if sent.contains_key("id") {
                assert_eq!(fingerprint_of_row(sent), fingerprint_of_row(stored));
                assert_eq!(fingerprint_of_row(&sent_back(sent)), fingerprint_of_row(stored));
                assert!(!sent_back(sent).contains_key("id"));
            }
        }
    }
}
