//! What a guest is: found by its mark under its reserved id, wherever it is; "cannot see" is never "gone".

use skyy_api::deployment::Guest as Record;
use skyy_plan::guest::{Config, Guest, GuestMark, Sight};
use skyy_proxmox::{Cluster, FindTask, GuestAt, GuestConfig, GuestState, ProxmoxError, Upid, Vmid};
use skyy_runtime::Failure;

use crate::proxmox::{ClusterHub, Inventory, node_name};

/// Looks at one guest. A task that has ended is taken off the record, with what went wrong.
pub(super) async fn look(
    hub: &ClusterHub,
    client: &Cluster,
    inventory: &Inventory,
    record: &mut Record,
    mark: &GuestMark,
) -> Result<Sight, Failure> {
    if let Some(busy) = follow(hub, client, inventory, record).await? {
        return Ok(busy);
    }
    let Some(vmid) = Vmid::try_from(record.vmid).ok() else { return Ok(Sight::Absent) };
    let listed = inventory.guest(record.vmid);
    let mut places: Vec<String> = Vec::new();
    places.extend(listed.map(|guest| guest.node.to_string()));
    places.extend(record.host.clone());
    // A clone begins beside its template, and only then goes where it belongs.
    places.extend(
        record
            .template
            .and_then(|template| inventory.guest(template))
            .map(|template| template.node.to_string()),
    );
    places.dedup();
    for place in places {
        if !inventory.is_online(&place) {
            if listed.is_some_and(|guest| guest.node.as_str() == place)
                || record.host.as_ref() == Some(&place)
            {
                return Ok(Sight::Unknown(format!("{place} is offline")));
            }
            continue;
        }
        let at = GuestAt::qemu(node_name(&place)?, vmid);
        match client.guest_config(&at).await {
            Ok(config) => return judge(hub, client, inventory, record, mark, &at, &config).await,
            Err(error) if error.is_missing(&at) => {}
            Err(error) => return Err(hub.failed(&error)),
        }
    }
    // Not where it was expected. Only the cluster itself can say that the id is free; lists lag behind.
    match client.is_id_free(vmid).await {
        Ok(true) => Ok(Sight::Absent),
        Ok(false) => {
            hub.poke();
            Ok(Sight::Unknown(
                "its id is in use somewhere; the next look at the cluster will tell where".into(),
            ))
        }
        Err(error) => Err(hub.failed(&error)),
    }
}

/// The task that is being followed: still at work, or ended and taken off the record.
async fn follow(
    hub: &ClusterHub,
    client: &Cluster,
    inventory: &Inventory,
    record: &mut Record,
) -> Result<Option<Sight>, Failure> {
    let Some(task) = record.task.clone() else { return Ok(None) };
    let Ok(upid) = task.parse::<Upid>() else {
        record.task = None;
        return Ok(None);
    };
    if !inventory.is_online(upid.node().as_str()) {
        return Ok(Some(Sight::Unknown(format!(
            "{} is offline, which worked on it ({})",
            upid.node(),
            upid.kind()
        ))));
    }
    match client.task_status(&upid).await {
        Ok(status) if status.running => {
            Ok(Some(Sight::Busy { what: format!("{} at work on {}", upid.kind(), upid.node()) }))
        }
        Ok(status) => {
            // The end of a task is a hint for people; what it left is looked at.
            record.task = None;
            record.message = match status.exit {
                Some(exit) if !exit.is_success() => format!("{} on {}: {exit}", upid.kind(), upid.node()),
                _ => String::new(),
            };
            Ok(None)
        }
        // The log of an old task is rotated away: what it left is looked at.
        Err(error) if matches!(error.problem(), skyy_proxmox::Problem::TaskUnknown) => {
            record.task = None;
            Ok(None)
        }
        Err(error) => Err(hub.failed(&error)),
    }
}

/// Whose it is.
async fn judge(
    hub: &ClusterHub,
    client: &Cluster,
    inventory: &Inventory,
    record: &Record,
    mark: &GuestMark,
    at: &GuestAt,
    config: &GuestConfig,
) -> Result<Sight, Failure> {
    if mark.is_on(config.description()) {
        let status = client.guest_status(at).await.map_err(|error| hub.failed(&error))?;
        return Ok(Sight::Ours(Guest {
            node: at.node.to_string(),
            running: status.status == GuestState::Running,
            config: as_planned(config),
            lock: config.lock().map(str::to_owned),
        }));
    }
    // While it is being cloned a guest shows neither name nor mark.
    if config.lock() == Some("clone")
        && cloning(client, inventory, record).await.map_err(|error| hub.failed(&error))?
    {
        return Ok(Sight::Busy { what: "it is being cloned".into() });
    }
    Ok(Sight::Foreign { name: config.name().unwrap_or("a guest without a name").to_owned() })
}

/// Does a clone of our own, from the recorded template, run now?
async fn cloning(client: &Cluster, inventory: &Inventory, record: &Record) -> Result<bool, ProxmoxError> {
    let Some(template) = record.template.and_then(|template| inventory.guest(template)) else {
        return Ok(false);
    };
    let wanted =
        FindTask { vmid: template.vmid, kind: "qmclone".into(), since: 0, user: client.user().to_owned() };
    let tasks = client.find_tasks(&template.node, &wanted).await?;
    Ok(tasks.iter().any(|task| task.exit().is_none()))
}

/// The configuration in the planner's words.
fn as_planned(config: &GuestConfig) -> Config {
    Config {
        keys: config.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        digest: config.digest.as_ref().map(|digest| digest.as_str().to_owned()).unwrap_or_default(),
    }
}
