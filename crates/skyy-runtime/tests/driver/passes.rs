//! What a pass does when things go their way: order, one status, plan-only, pause, events.

use std::time::Duration;

use kube::runtime::controller::Action;
use serde_json::json;
use skyy_api::common::{PAUSED_ANNOTATION, PLAN_ONLY_ANNOTATION, RECONCILE_AT_ANNOTATION};
use skyy_runtime::Note;

use crate::{
    bench::{Acting, Bench, RESYNC, is_about},
    server::{Call, Fault},
};

#[tokio::test]
async fn the_finalizer_is_stored_before_anything_is_looked_at() {
    let bench = Bench::new();
    let action = bench.pass().await.unwrap();
    bench.story(&[
        r#"finalizers ["skyy.helloskyy.io/cleanup"]"#,
        "observe",
        "apply: make row 0",
        "observe",
        "status Ready=True InSync",
    ]);
    assert!(is_about(&action, RESYNC), "{action:?}");
    assert_eq!(bench.rows(), 1);
}

#[tokio::test]
async fn where_the_finalizer_cannot_be_stored_nothing_happens() {
    for code in [403, 404, 409, 500] {
        let bench = Bench::new();
        bench.server.fail(Call::Finalizers, Fault::Code(code));
        bench.pass().await.unwrap_err();
        bench.story(&[&format!("Finalizers answered with Code({code})")]);
        assert_eq!((bench.rows(), bench.server.statuses().len()), (0, 0), "{code}");
    }
}

#[tokio::test]
async fn finalizers_of_others_stay_and_ours_is_not_added_twice() {
    let bench = Bench::new();
    bench.server.change(|object| object["metadata"]["finalizers"] = json!(["example.net/other"]));
    bench.pass().await.unwrap();
    assert_eq!(
        bench.server.story.take()[0],
        r#"finalizers ["example.net/other","skyy.helloskyy.io/cleanup"]"#
    );
    bench.edit();
    bench.pass().await.unwrap();
    bench.story(&["observe", "status Ready=True InSync"]);
}

#[tokio::test]
async fn the_status_is_written_once_and_not_again_while_nothing_differs() {
    let bench = Bench::settled().await;
    for _ in 0..3 {
        bench.pass().await.unwrap();
        bench.story(&["observe"]);
    }
    assert_eq!(bench.metrics.status_writes("virtualip"), 1);
}

#[tokio::test]
async fn a_change_of_the_spec_is_answered_once_and_the_time_of_transition_stays() {
    let bench = Bench::settled().await;
    let before = bench.server.status();
    bench.edit();
    bench.pass().await.unwrap();
    bench.pass().await.unwrap();
    bench.story(&["observe", "status Ready=True InSync", "observe"]);
    let after = bench.server.status();
    assert_eq!(after["observedGeneration"], 4);
    assert_eq!(after["conditions"][0]["lastTransitionTime"], before["conditions"][0]["lastTransitionTime"]);
}

#[tokio::test]
async fn asking_to_look_now_is_answered_once() {
    let bench = Bench::settled().await;
    bench.annotate(RECONCILE_AT_ANNOTATION, Some("2027-01-15T09:00:00Z"));
    bench.pass().await.unwrap();
    bench.pass().await.unwrap();
    bench.story(&["observe", "status Ready=True InSync", "observe"]);
    assert_eq!(bench.server.status()["lastHandledReconcileAt"], "2027-01-15T09:00:00Z");
}

#[tokio::test]
async fn plan_only_says_what_would_be_done_and_does_nothing() {
    let bench = Bench::new();
    bench.annotate(PLAN_ONLY_ANNOTATION, Some("true"));
    let action = bench.pass().await.unwrap();
    bench.story(&[
        r#"finalizers ["skyy.helloskyy.io/cleanup"]"#,
        "observe, to plan only",
        "status Ready=False PlanOnly",
        "event Normal PlanOnly",
    ]);
    assert_eq!(bench.server.status()["plan"], json!(["make row 0"]));
    bench.check("Ready", "False", "PlanOnly", "1 step is held back");
    assert_eq!((bench.condition("Reconciling"), bench.condition("Stalled")), (None, None));
    assert!(is_about(&action, RESYNC));

    bench.pass().await.unwrap();
    bench.story(&["observe, to plan only"]);

    bench.annotate(PLAN_ONLY_ANNOTATION, None);
    bench.pass().await.unwrap();
    bench.story(&[
        "observe",
        "apply: make row 0",
        "observe",
        "status Ready=True InSync",
        "event Normal InSync",
    ]);
    assert_eq!(
        bench.server.status()["plan"],
        json!(null),
        "a plan that was carried out is not shown any more"
    );
}

#[tokio::test]
async fn plan_only_of_what_is_so_already_is_ready() {
    let bench = Bench::new();
    bench.annotate(PLAN_ONLY_ANNOTATION, Some("true"));
    bench.world(|world| world.rows = 1);
    bench.pass().await.unwrap();
    bench.check("Ready", "True", "InSync", "");
}

#[tokio::test]
async fn a_very_long_plan_shows_its_beginning_and_says_how_much_more_there_is() {
    let bench = Bench::new();
    bench.annotate(PLAN_ONLY_ANNOTATION, Some("true"));
    bench.world(|world| world.lines = 2032);
    bench.pass().await.unwrap();
    let plan = bench.server.status()["plan"].clone();
    assert_eq!(plan.as_array().map(Vec::len), Some(51));
    assert_eq!((&plan[49], &plan[50]), (&json!("make row 49"), &json!("… and 1982 more")));
    bench.check("Ready", "False", "PlanOnly", "2032 steps are held back");
}

#[tokio::test]
async fn paused_means_that_nobody_looks_and_the_generation_is_answered() {
    let bench = Bench::new();
    bench.annotate(PAUSED_ANNOTATION, Some("true"));
    let action = bench.pass().await.unwrap();
    bench.story(&["hold", "status Ready=Unknown PausedByUser", "event Normal PausedByUser"]);
    bench.check("Paused", "True", "PausedByUser", "");
    assert_eq!((action, bench.rows()), (Action::await_change(), 0));
    assert_eq!(bench.server.status()["observedGeneration"], 3);

    bench.edit();
    bench.pass().await.unwrap();
    bench.story(&["hold", "status Ready=Unknown PausedByUser"]);
    assert_eq!(bench.server.status()["observedGeneration"], 4);

    bench.annotate(PAUSED_ANNOTATION, None);
    bench.pass().await.unwrap();
    assert_eq!(bench.condition("Paused"), None);
    bench.check("Ready", "True", "InSync", "");
}

#[tokio::test]
async fn only_the_word_true_pauses_or_holds_back() {
    for (annotation, value) in
        [(PAUSED_ANNOTATION, "false"), (PAUSED_ANNOTATION, ""), (PLAN_ONLY_ANNOTATION, "no")]
    {
        let bench = Bench::new();
        bench.annotate(annotation, Some(value));
        bench.pass().await.unwrap();
        assert_eq!(bench.rows(), 1, "{annotation}={value}");
    }
}

#[tokio::test]
async fn work_that_goes_on_elsewhere_is_told_and_looked_at_again() {
    let bench = Bench::new();
    bench.world(|world| world.acting = Acting::Works);
    let action = bench.pass().await.unwrap();
    assert_eq!(action, Action::requeue(Duration::from_secs(3)));
    bench.check("Ready", "False", "Progressing", "a task runs");
    bench.check("Reconciling", "True", "Progressing", "a task runs");
    bench.server.story.take();

    bench.pass().await.unwrap();
    bench.story(&["observe", "apply: make row 0"]);

    bench.world(|world| world.rows = 1);
    bench.pass().await.unwrap();
    bench.check("Ready", "True", "InSync", "");
    assert_eq!(bench.condition("Reconciling"), None);
}

#[tokio::test]
async fn work_just_handed_over_is_not_worth_a_status() {
    let bench = Bench::new();
    bench.world(|world| world.acting = Acting::Quiet);
    let action = bench.pass().await.unwrap();
    assert_eq!(action, Action::requeue(Duration::from_secs(3)));
    assert_eq!(bench.server.statuses().len(), 0);
}

#[tokio::test]
async fn a_kind_that_never_finishes_does_not_keep_the_pass_for_ever() {
    let bench = Bench::new();
    bench.world(|world| world.acting = Acting::Nothing);
    let action = bench.pass().await.unwrap();
    let acts = bench.server.story.take().iter().filter(|line| line.starts_with("apply")).count();
    assert_eq!((acts, action), (8, Action::requeue(Duration::from_secs(1))));
    bench.check("Ready", "False", "Progressing", "going on in the next");
}

#[tokio::test]
async fn a_kinds_own_condition_stays_when_nobody_could_tell_it_again() {
    let bench = Bench::new();
    bench.world(|world| world.programmed = Some(true));
    bench.pass().await.unwrap();
    bench.check("Programmed", "True", "InSync", "");
    bench.annotate(PAUSED_ANNOTATION, Some("true"));
    bench.edit();
    bench.pass().await.unwrap();
    bench.check("Programmed", "True", "InSync", "");
    bench.check("Ready", "Unknown", "PausedByUser", "");
}

#[tokio::test]
async fn a_note_of_the_kind_is_an_event_once() {
    let bench = Bench::settled().await;
    bench.world(|world| {
        world.note = Some(Note {
            warning: true,
            reason: "Repaired".into(),
            message: "somebody removed the row".into(),
        });
    });
    bench.pass().await.unwrap();
    bench.pass().await.unwrap();
    bench.story(&["observe", "event Warning Repaired", "observe"]);
    let event = &bench.server.events()[0];
    assert_eq!(
        (&event["note"], &event["regarding"]["name"]),
        (&json!("somebody removed the row"), &json!("a"))
    );
    assert_eq!(event["reportingInstance"], "pod-1");
}

#[tokio::test]
async fn an_event_that_is_lost_does_not_fail_the_work() {
    let bench = Bench::settled().await;
    bench.world(|world| {
        world.note = Some(Note { warning: false, reason: "Seen".into(), message: String::new() });
    });
    bench.server.fail(Call::Event, Fault::Code(403));
    bench.pass().await.unwrap();
}
