//! Recorded refusals, each with what it means.

use super::*;

#[track_caller]
fn check(status: u16, text: &str, shown: &str, class: Class, sent: Sent) -> Problem {
    let body = serde_json::json!({"data": null, "message": format!("{text}\n")}).to_string();
    let problem = Problem::of_answer(status, "not this", &body);
    assert_eq!(problem.to_string(), shown);
    assert_eq!((problem.class(), problem.sent()), (class, sent), "{text}");
    // A body that is empty leaves the reason phrase.
    assert_eq!(Problem::of_answer(status, text, "").to_string(), shown);
    problem
}

fn at(node: &str, kind: GuestKind, vmid: u32) -> GuestAt {
    GuestAt { node: node.parse().unwrap(), kind, vmid: vmid.try_into().unwrap() }
}

#[test]
fn only_the_exact_sentence_says_that_a_guest_is_missing() {
    let text = "Configuration file 'nodes/pve1/qemu-server/300.conf' does not exist";
    let problem = check(500, text, "guest qemu/300 is not on pve1", Class::Refused, Sent::No);
    assert!(problem.is_missing(&at("pve1", GuestKind::Qemu, 300)));
    assert!(
        !problem.is_missing(&at("pve2", GuestKind::Qemu, 300)),
        "another node says nothing about this one"
    );
    assert!(!problem.is_missing(&at("pve1", GuestKind::Qemu, 301)));
    assert!(!problem.is_missing(&at("pve1", GuestKind::Lxc, 300)));
    let text = "Configuration file 'nodes/pve1/lxc/300.conf' does not exist";
    let problem = check(500, text, "guest lxc/300 is not on pve1", Class::Refused, Sent::No);
    assert!(problem.is_missing(&at("pve1", GuestKind::Lxc, 300)));

    for (status, text) in [
        (403, "Permission check failed (/vms/300, VM.Audit)"),
        (401, "No ticket"),
        (404, "Configuration file 'nodes/pve1/qemu-server/300.conf' does not exist"),
        (595, "No route to host"),
        (500, "storage 'none' does not exist"),
        (500, "volume 'local:300/vm-300-disk-0.qcow2' does not exist"),
        (500, "Configuration file 'nodes/pve1/openvz/300.conf' does not exist"),
        (500, "Configuration file 'nodes/pve1/qemu-server/300.conf' does not exist on this node"),
        (500, "x Configuration file 'nodes/pve1/qemu-server/300.conf' does not exist"),
        (500, "Configuration file 'nodes/pve1/qemu-server/x/300.conf' does not exist"),
        (500, "unable to find configuration file for VM 300 on node 'pve1'"),
        (
            500,
            "hostname lookup 'pve1' failed - failed to get address info for: pve1: Name or service not known",
        ),
        (500, "unable to open file '/etc/pve/nodes/pve1/qemu-server/300.conf.tmp.1' - Permission denied"),
        (500, "snapshot 'x' does not exist"),
        (500, ""),
        (502, "Bad Gateway"),
    ] {
        let problem = Problem::of_answer(status, text, "");
        assert!(!matches!(problem, Problem::GuestMissing { .. }), "{status} {text}");
    }
}

#[test]
fn taken_ids_are_told() {
    for (text, shown) in [
        ("unable to create VM 200 - VM 200 already exists on node 'pve1'", "the id 200 is taken on pve1"),
        ("unable to create CT 200 - CT 200 already exists on node 'pve3'", "the id 200 is taken on pve3"),
        ("unable to create VM 230: config file already exists", "the id 230 is taken"),
    ] {
        let problem = check(500, text, shown, Class::Refused, Sent::No);
        assert!(matches!(problem, Problem::AlreadyExists { .. }));
    }
    let other = "unable to create VM 204 - volume 'local:999/vm-999-disk-0.qcow2' does not exist";
    assert!(matches!(Problem::of_text(other), Problem::Other { .. }));
    let text = "unable to find configuration file for VM 999 on node 'pve1'";
    check(500, text, "the guest to clone, 999, is not on pve1", Class::Refused, Sent::No);
}

#[test]
fn locks_pass() {
    check(500, "VM is locked (clone)", "the guest is locked (clone)", Class::Transient, Sent::No);
    check(500, "CT is locked (backup)", "the guest is locked (backup)", Class::Transient, Sent::No);
    for text in [
        "can't lock file '/var/lock/qemu-server/lock-431.conf' - got timeout",
        "cfs-lock 'storage-shared' error: got lock request timeout",
        "got lock request timeout",
    ] {
        assert!(check(500, text, text, Class::Transient, Sent::No).is_lock());
        assert!(Problem::of_text(text).is_lock(), "as the end of a task");
    }
    assert!(Problem::of_text("VM is locked (backup)").is_lock());
    assert!(
        !Problem::of_text("VM quit/powerdown failed - got timeout").is_lock(),
        "no lock, only a slow guest"
    );
}

#[test]
fn changes_by_others_and_lost_quorum_are_told() {
    let shown = "the configuration was changed by somebody else since it was read";
    for text in [
        "checksum mismatch (file change by other user?)",
        "detected modified configuration - file changed by other user? Try again.",
        "update storage failed: detected modified configuration - file changed by other user? Try again.",
    ] {
        check(500, text, shown, Class::Transient, Sent::No);
    }
    for text in [
        "cluster not ready - no quorum?",
        "cfs-lock 'file-datacenter_cfg' error: no quorum!",
        "create pool failed: cfs-lock 'file-user_cfg' error: no quorum!",
    ] {
        check(500, text, &format!("the cluster has no quorum ({text})"), Class::Transient, Sent::No);
    }
    let text = "unable to open file '/etc/pve/nodes/pve1/qemu-server/440.conf.tmp.1' - Permission denied";
    check(500, text, &format!("the cluster has no quorum ({text})"), Class::Transient, Sent::Maybe);
}

#[test]
fn missing_rights_name_path_and_privilege() {
    let text = "Permission check failed (/nodes/pve1, Sys.Audit)";
    check(403, text, "the privilege Sys.Audit is missing on /nodes/pve1", Class::Auth, Sent::No);
    let text = "Permission check failed (/vms/147, VM.Config.Cloudinit|VM.Config.Network)";
    let shown = "the privilege VM.Config.Cloudinit or VM.Config.Network is missing on /vms/147";
    let problem = check(403, text, shown, Class::Auth, Sent::No);
    let Problem::Forbidden { path, any_of, .. } = problem else { panic!("{problem:?}") };
    assert_eq!(path.as_deref(), Some("/vms/147"));
    assert_eq!(any_of, ["VM.Config.Cloudinit", "VM.Config.Network"]);
    for text in ["Permission check failed", "Permission check failed (pool 'nopool' does not exist)"] {
        check(403, text, text, Class::Auth, Sent::No);
    }
    let text = "only root can set 'hostpci1' config for non-mapped devices";
    let shown = format!("{text} (only root@pam with a password may; no API token can)");
    check(500, text, &shown, Class::Auth, Sent::No);
}

#[test]
fn refused_credentials_are_told_apart() {
    for (text, failure) in [
        ("No ticket", AuthFailure::NoTicket),
        ("Authentication failed!", AuthFailure::Refused),
        ("authentication failure", AuthFailure::Login),
        ("Permission denied - invalid csrf token", AuthFailure::Csrf),
        ("odd", AuthFailure::Other("odd".to_owned())),
    ] {
        let problem = Problem::of_answer(401, text, "");
        assert_eq!((problem.class(), problem.sent()), (Class::Auth, Sent::No));
        let Problem::Unauthenticated(found) = problem else { panic!("{problem:?}") };
        assert_eq!(found, failure);
    }
}

#[test]
fn unreachable_nodes_say_whether_anything_was_sent() {
    for (status, text, sent) in [
        (595, "Connection refused", Sent::No),
        (595, "No route to host", Sent::No),
        (596, "error:0A000086:SSL routines::certificate verify failed", Sent::Maybe),
        (599, "Too many redirections", Sent::Maybe),
        (500, "hostname lookup 'nope' failed - failed to get address info for: nope", Sent::No),
    ] {
        check(status, text, &format!("the node cannot be reached: {text}"), Class::Transient, sent);
    }
}

#[test]
fn refused_parameters_are_listed() {
    let body = r#"{"data":null,"message":"Parameter verification failed.\n",
        "errors":{"name":"value does not look like a valid DNS name\n","cores":"value must have a minimum value of 1"}}"#;
    let problem = Problem::of_answer(400, "Parameter verification failed.", body);
    let shown =
        "cores: value must have a minimum value of 1; name: value does not look like a valid DNS name";
    assert_eq!(problem.to_string(), shown);
    assert_eq!((problem.class(), problem.sent()), (Class::Refused, Sent::No));

    let answer = |errors: &str| {
        Problem::of_answer(400, "Parameter verification failed.", &format!("{{\"errors\":{errors}}}"))
    };
    assert!(matches!(answer(r#"{"upid":"no such task"}"#), Problem::TaskUnknown));
    assert!(matches!(answer(r#"{"upid":"unable to parse worker upid"}"#), Problem::ParameterInvalid { .. }));
    assert!(matches!(answer(r#"{"skiplock":"Only root may use this option."}"#), Problem::RootOnly(_)));
    assert_eq!(answer("null").to_string(), "request: Parameter verification failed.");
}

#[test]
fn the_rest_is_kept_as_said() {
    let size = "the request is longer than the 512 KiB the API takes";
    check(501, "for data too large", size, Class::Refused, Sent::No);
    let text = "Method 'GET /nodes/pve1/bogus' not implemented";
    check(
        501,
        text,
        &format!("{text}; this version of Proxmox VE may not have it"),
        Class::Refused,
        Sent::No,
    );
    check(
        500,
        "shrinking disks is not supported",
        "answered 500: shrinking disks is not supported",
        Class::Transient,
        Sent::Maybe,
    );
    check(502, "Bad Gateway", "answered 502: Bad Gateway", Class::Transient, Sent::Maybe);
    check(404, "Not Found", "answered 404: Not Found", Class::Protocol, Sent::Maybe);
    check(500, "VM 310 is not running", "VM 310 is not running", Class::Refused, Sent::No);
    check(500, "VM 270 not running", "VM 270 not running", Class::Refused, Sent::No);
    check(
        500,
        "No QEMU guest agent configured",
        "No QEMU guest agent configured",
        Class::Transient,
        Sent::No,
    );
    let text = "can't remove VM 301 - protection mode enabled";
    check(500, text, text, Class::Refused, Sent::No);
    assert!(matches!(Problem::of_text("VM 270 already running"), Problem::AlreadyRunning(_)));
    assert_eq!(Problem::of_answer(500, "", "<html>oops</html>").to_string(), "answered 500: ");
}

#[test]
fn a_long_text_is_bounded() {
    let long = "x".repeat(100_000);
    assert!(Problem::of_answer(500, &long, "").to_string().len() < 1_100);
}
