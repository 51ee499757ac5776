//! What the API server counted: its own metrics say who wrote how often, whatever the operator believes.

use kube::Client;

use super::World;

/// Verbs that change something.
const WRITES: [&str; 5] = ["APPLY", "PATCH", "POST", "PUT", "DELETE"];

impl World {
    /// How many writes to objects of ours, and to events, the API server has taken or refused so far.
    pub(crate) async fn api_writes(&self) -> u64 {
        let text = metrics(&self.client).await;
        sum(&text, "apiserver_request_total", |labels| {
            let ours = ["skyy.helloskyy.io", "events.k8s.io"];
            ours.iter().any(|group| labels.contains(&format!("group=\"{group}\"")))
                && WRITES.iter().any(|verb| labels.contains(&format!("verb=\"{verb}\"")))
        })
    }

    /// How many requests were refused for want of a right.
    pub(crate) async fn forbidden(&self) -> u64 {
        sum(&metrics(&self.client).await, "apiserver_request_total", |labels| labels.contains("code=\"403\""))
    }
}

async fn metrics(client: &Client) -> String {
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    client.request_text(request).await.unwrap()
}

/// The sum of a metric over the labels that fit.
pub(super) fn sum(text: &str, name: &str, fits: impl Fn(&str) -> bool) -> u64 {
    text.lines()
        .filter_map(|line| line.strip_prefix(name))
        .filter(|rest| rest.starts_with(['{', ' ']))
        .filter(|rest| fits(rest))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}
