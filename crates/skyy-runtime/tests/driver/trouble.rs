//! What a pass does when things go wrong: conditions, back-off, and nobody else suffers.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use skyy_api::Reason;
use skyy_runtime::{Class, Failure};

use crate::{
    bench::{Acting, Bench, LIMIT, RESYNC, Trouble, World, is_about},
    server::{Call, Fault},
};

fn transient() -> Failure {
    Failure::transient(Reason::EndpointUnavailable, "edge does not answer")
}

fn waiting() -> Failure {
    Failure::waiting(Reason::DependencyMissing, "Firewall edge does not exist")
}

fn terminal() -> Failure {
    Failure::terminal(Reason::Refused, "edge refused the row")
}

#[tokio::test]
async fn a_failure_says_who_must_act_next() {
    for (failure, second, other) in [
        (transient(), "Reconciling", "Stalled"),
        (waiting(), "Reconciling", "Stalled"),
        (terminal(), "Stalled", "Reconciling"),
    ] {
        for world in [
            World { observe: Some(Trouble::Fails(failure.clone())), ..World::default() },
            World { plan: Some(failure.clone()), ..World::default() },
            World { acting: Acting::Trouble(Trouble::Fails(failure.clone())), ..World::default() },
        ] {
            let bench = Bench::new();
            bench.world(|now| *now = world);
            assert_eq!(bench.pass().await.unwrap_err(), failure);
            bench.check("Ready", "False", failure.reason.as_str(), &failure.message);
            bench.check(second, "True", failure.reason.as_str(), &failure.message);
            assert_eq!(bench.condition(other), None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_or_a_hang_is_a_condition_and_over_with_the_next_pass() {
    let panicking = World { plan_panics: true, ..World::default() };
    let looking = |trouble| World { observe: Some(trouble), ..World::default() };
    let acting = |trouble| World { acting: Acting::Trouble(trouble), ..World::default() };
    for (world, reason, message) in [
        (looking(Trouble::Panics), "Panicked", "defect"),
        (acting(Trouble::Panics), "Panicked", "defect"),
        (panicking, "Panicked", "defect"),
        (looking(Trouble::Hangs), "TimedOut", "longer than 60 s"),
        (acting(Trouble::Hangs), "TimedOut", "longer than 60 s"),
    ] {
        let bench = Bench::new();
        bench.world(|now| *now = world);
        let began = tokio::time::Instant::now();
        let failure = bench.pass().await.unwrap_err();
        assert_eq!((failure.class, failure.reason.as_str()), (Class::Transient, reason));
        assert!(began.elapsed() <= LIMIT + Duration::from_secs(1), "{:?}", began.elapsed());
        bench.check("Ready", "False", reason, message);
        bench.check("Reconciling", "True", reason, message);
        assert!(!bench.server.status().to_string().contains("on purpose"), "a panic's words are for the log");

        bench.world(|now| *now = World::default());
        bench.pass().await.unwrap();
        bench.check("Ready", "True", "InSync", "");
        assert_eq!(bench.condition("Reconciling"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn while_one_object_hangs_another_goes_on() {
    let (slow, fine) = (Bench::new(), Bench::new());
    slow.world(|world| world.observe = Some(Trouble::Hangs));
    let hanging = async { slow.pass().await.unwrap_err().reason };
    let going = async {
        fine.pass().await.unwrap();
        tokio::time::Instant::now()
    };
    let began = tokio::time::Instant::now();
    let (reason, done) = tokio::join!(hanging, going);
    assert_eq!((reason, done), (Reason::TimedOut, began));
}

#[tokio::test]
async fn coming_back_depends_on_who_must_act() {
    let bench = Bench::settled().await;
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        let action = bench.policy(&transient());
        assert!(is_about(&action, Duration::from_secs(seconds)), "{seconds}: {action:?}");
    }
    assert!(is_about(&bench.policy(&waiting()), Duration::from_secs(30)));
    assert!(is_about(&bench.policy(&waiting()), Duration::from_secs(30)));
    assert!(is_about(&bench.policy(&terminal()), RESYNC));
    assert!(is_about(&bench.policy(&transient()), Duration::from_mins(5)));

    bench.pass().await.unwrap();
    assert!(is_about(&bench.policy(&transient()), Duration::from_secs(1)), "a good pass starts it anew");
}

#[tokio::test]
async fn an_endpoint_that_says_when_is_not_asked_sooner() {
    let bench = Bench::new();
    let minutes = Duration::from_mins(5);
    let action = bench.policy(&transient().not_before(Some(minutes)));
    assert_eq!(action, kube::runtime::controller::Action::requeue(minutes));
    let action = bench.policy(&terminal().not_before(Some(Duration::from_secs(1))));
    assert!(is_about(&action, RESYNC), "a shorter wait than ours shortens nothing: {action:?}");
}

#[tokio::test]
async fn an_event_marks_the_beginning_and_the_end_of_trouble() {
    let bench = Bench::settled().await;
    bench.world(|world| world.observe = Some(Trouble::Fails(transient())));
    for _ in 0..3 {
        bench.pass().await.unwrap_err();
    }
    bench.story(&[
        "observe",
        "status Ready=False EndpointUnavailable",
        "event Warning EndpointUnavailable",
        "observe",
        "observe",
    ]);
    bench.world(|world| world.observe = None);
    bench.pass().await.unwrap();
    bench.pass().await.unwrap();
    bench.story(&["observe", "status Ready=True InSync", "event Normal InSync", "observe"]);
    let notes: Vec<_> = bench.server.events().iter().map(|event| event["note"].clone()).collect();
    assert_eq!(notes, [json!("edge does not answer"), json!("what is outside matches the spec")]);
}

#[tokio::test]
async fn another_trouble_is_another_event_and_the_time_of_transition_stays() {
    let bench = Bench::settled().await;
    bench.world(|world| world.observe = Some(Trouble::Fails(transient())));
    bench.pass().await.unwrap_err();
    let first = bench.server.status()["conditions"][0]["lastTransitionTime"].clone();
    bench.world(|world| world.observe = Some(Trouble::Fails(terminal())));
    bench.pass().await.unwrap_err();
    let second = bench.server.status()["conditions"][0].clone();
    assert_eq!((&second["reason"], &second["lastTransitionTime"]), (&json!("Refused"), &first));
    assert_eq!(bench.server.events().len(), 2);
}

#[tokio::test]
async fn a_status_that_cannot_be_written_is_a_failure_unless_the_object_went() {
    let bench = Bench::new();
    bench.server.fail(Call::Status, Fault::Code(500));
    let failure = bench.pass().await.unwrap_err();
    assert_eq!((failure.class, failure.reason), (Class::Transient, Reason::ApiServerError));

    bench.server.fail(Call::Status, Fault::Code(403));
    let failure = bench.pass().await.unwrap_err();
    assert_eq!((failure.class, failure.reason), (Class::Terminal, Reason::ApiServerError));
    assert_eq!(failure.message, "the Kubernetes API server did not do it: the API server says 403");

    bench.server.fail(Call::Status, Fault::Code(404));
    bench.pass().await.unwrap();
    assert_eq!(bench.server.statuses().len(), 0);
    assert_eq!(bench.metrics.status_writes("virtualip"), 0);
}

#[tokio::test(start_paused = true)]
async fn from_any_outcome_to_any_other_the_conditions_keep_to_the_rules() {
    let worlds = || -> Vec<World> {
        let failing = |failure| World { observe: Some(Trouble::Fails(failure)), ..World::default() };
        vec![
            World { rows: 1, programmed: Some(true), ..World::default() },
            World { acting: Acting::Works, programmed: Some(false), ..World::default() },
            World { acting: Acting::Quiet, ..World::default() },
            World { acting: Acting::Nothing, ..World::default() },
            World { plan: Some(terminal()), ..World::default() },
            failing(transient()),
            failing(waiting()),
            failing(terminal()),
            World { observe: Some(Trouble::Panics), ..World::default() },
            World { observe: Some(Trouble::Hangs), ..World::default() },
        ]
    };
    for first in worlds() {
        for second in worlds() {
            let bench = Bench::new();
            for world in [&first, &second, &first] {
                bench.world(|now| *now = world.clone());
                bench.edit();
                let _ = bench.pass().await; // every status is checked where it is written
            }
            let silent = |world: &World| world.acting == Acting::Quiet;
            assert_eq!(
                bench.server.statuses().is_empty(),
                silent(&first) && silent(&second),
                "{first:?} {second:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_pass_that_knows_less_than_what_is_stored_does_not_write_over_it() {
    let bench = Bench::settled().await;
    let before = Arc::new(bench.server.object());
    bench.world(|world| world.observe = Some(Trouble::Fails(transient())));
    bench.pass_over(before.clone()).await.unwrap_err();
    let written = bench.server.status();
    // The watch has not brought that status yet when something wakes the object again.
    let _ = bench.pass_over(before).await;
    assert_eq!(bench.server.status(), written);
    assert_eq!((bench.server.statuses().len(), bench.server.events().len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_never_answers_does_not_keep_a_pass_for_ever() {
    for call in [Call::Finalizers, Call::Status] {
        let bench = Bench::new();
        bench.server.fail(call, Fault::Silence);
        let failure = tokio::time::timeout(LIMIT * 3, bench.pass())
            .await
            .unwrap_or_else(|_| panic!("{call:?}: the pass does not end"))
            .unwrap_err();
        assert_eq!(failure.class, Class::Transient, "{call:?}");
    }
}
