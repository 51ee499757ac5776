//! Deletion: removes, looks again, and lets go only when nothing of the object is seen any more.

use std::time::Duration;

use kube::runtime::controller::Action;
use serde_json::json;
use skyy_api::{
    Reason,
    common::{PAUSED_ANNOTATION, PLAN_ONLY_ANNOTATION},
};
use skyy_runtime::{Failure, Note};

use crate::{
    bench::{Acting, Bench, Trouble, World},
    server::{Call, Fault},
};

const LETS_GO: &str = "finalizers []";

#[tokio::test]
async fn what_was_made_is_removed_looked_for_and_only_then_let_go() {
    let bench = Bench::deleting().await;
    let action = bench.pass().await.unwrap();
    bench.story(&["observe", "apply: remove row 0", "observe", LETS_GO]);
    assert_eq!((action, bench.rows()), (Action::await_change(), 0));
    assert_eq!(bench.server.statuses().len(), 1, "an object that goes needs no further status");
}

#[tokio::test]
async fn what_was_never_made_is_let_go_at_once() {
    let bench = Bench::deleting().await;
    bench.world(|world| world.rows = 0);
    bench.pass().await.unwrap();
    bench.story(&["observe", LETS_GO]);
}

#[tokio::test]
async fn an_object_without_our_finalizer_is_left_alone() {
    let bench = Bench::new();
    bench.delete();
    assert_eq!(bench.pass().await.unwrap(), Action::await_change());
    bench.server.change(|object| object["metadata"]["finalizers"] = json!(["example.net/other"]));
    assert_eq!(bench.pass().await.unwrap(), Action::await_change());
    bench.story(&[]);
}

#[tokio::test]
async fn finalizers_of_others_stay_when_ours_goes() {
    let bench = Bench::deleting().await;
    bench.server.change(|object| {
        object["metadata"]["finalizers"] =
            json!(["example.net/one", "skyy.helloskyy.io/cleanup", "example.net/two"]);
    });
    bench.pass().await.unwrap();
    assert_eq!(
        bench.server.story.take().last().unwrap(),
        r#"finalizers ["example.net/one","example.net/two"]"#
    );
}

#[tokio::test(start_paused = true)]
async fn the_object_stays_while_something_is_left_or_nobody_can_see() {
    let cannot_see = Failure::transient(Reason::EndpointUnavailable, "edge does not answer");
    let refused = Failure::terminal(Reason::LoginRefused, "edge refused the key");
    let acting = |acting| World { rows: 1, acting, ..World::default() };
    let looking = |trouble| World { rows: 1, observe: Some(trouble), ..World::default() };
    let cases: Vec<(&str, World, &str)> = vec![
        ("its removal goes on", acting(Acting::Works), "Deleting"),
        ("its removal changes nothing", acting(Acting::Nothing), "Deleting"),
        (
            "its removal fails",
            acting(Acting::Trouble(Trouble::Fails(cannot_see.clone()))),
            "EndpointUnavailable",
        ),
        ("its removal panics", acting(Acting::Trouble(Trouble::Panics)), "Panicked"),
        ("its removal hangs", acting(Acting::Trouble(Trouble::Hangs)), "TimedOut"),
        ("the endpoint is away", looking(Trouble::Fails(cannot_see)), "EndpointUnavailable"),
        ("the key is refused", looking(Trouble::Fails(refused)), "LoginRefused"),
        ("looking panics", looking(Trouble::Panics), "Panicked"),
        ("looking hangs", looking(Trouble::Hangs), "TimedOut"),
        (
            "the planner refuses",
            World {
                rows: 1,
                plan: Some(Failure::terminal(Reason::TooManyDeletes, "too many")),
                ..World::default()
            },
            "TooManyDeletes",
        ),
        // Not there as far as one knows, but nobody could look: not gone.
        (
            "nothing is known",
            World { rows: 0, observe: Some(Trouble::Panics), ..World::default() },
            "Panicked",
        ),
    ];
    for (case, world, reason) in cases {
        let bench = Bench::deleting().await;
        bench.world(|now| *now = world);
        let _ = bench.pass().await;
        assert!(!bench.server.story.take().iter().any(|line| line == LETS_GO), "{case}");
        bench.check("Ready", "False", reason, "");

        // And goes when the trouble is over.
        bench.world(|now| *now = World { rows: now.rows, ..World::default() });
        bench.pass().await.unwrap();
        assert_eq!(bench.server.story.take().last().unwrap(), LETS_GO, "{case}");
        assert_eq!(bench.rows(), 0, "{case}");
    }
}

#[tokio::test]
async fn paused_or_plan_only_holds_a_deletion_back() {
    let bench = Bench::deleting().await;
    bench.annotate(PAUSED_ANNOTATION, Some("true"));
    bench.pass().await.unwrap();
    bench.story(&["hold", "status Ready=Unknown PausedByUser", "event Normal PausedByUser"]);

    bench.annotate(PAUSED_ANNOTATION, None);
    bench.annotate(PLAN_ONLY_ANNOTATION, Some("true"));
    bench.pass().await.unwrap();
    bench.story(&["observe, to plan only", "status Ready=False PlanOnly", "event Normal PlanOnly"]);
    assert_eq!((bench.server.status()["plan"].clone(), bench.rows()), (json!(["remove row 0"]), 1));

    bench.annotate(PLAN_ONLY_ANNOTATION, None);
    bench.pass().await.unwrap();
    bench.story(&["observe", "apply: remove row 0", "observe", LETS_GO]);
}

#[tokio::test]
async fn a_finalizer_that_cannot_be_taken_off_is_tried_again() {
    let bench = Bench::deleting().await;
    bench.server.fail(Call::Finalizers, Fault::Code(409));
    let failure = bench.pass().await.unwrap_err();
    assert!(crate::bench::is_about(&bench.policy(&failure), Duration::from_secs(1)));
    bench.server.story.take();
    bench.pass().await.unwrap();
    bench.story(&["observe", LETS_GO]);
}

#[tokio::test]
async fn an_object_that_went_meanwhile_is_no_failure() {
    let bench = Bench::deleting().await;
    bench.server.fail(Call::Finalizers, Fault::Code(404));
    assert_eq!(bench.pass().await.unwrap(), Action::await_change());
}

#[tokio::test]
async fn what_stays_behind_is_said_before_the_object_goes() {
    let bench = Bench::deleting().await;
    bench.world(|world| {
        world.rows = 0;
        world.note =
            Some(Note { warning: false, reason: "Retained".into(), message: "the row stays on edge".into() });
    });
    bench.pass().await.unwrap();
    bench.story(&["observe", "event Normal Retained", LETS_GO]);
}
