//! What the controller decides by itself: who goes first, what is shown, what must be stored before anything is done.

use skyy_api::deployment::Guest as Record;
use skyy_plan::guest::{Config, Guest};

use super::*;

fn record(name: &str, phase: GuestPhase) -> Record {
    Record { name: name.into(), vmid: 100, phase, ..Record::default() }
}

fn view(stored: bool, sight: Sight, goal: GuestGoal) -> GuestView {
    let spec = Failure::transient(Reason::SecretMissing, "no keys");
    GuestView {
        record: record("a-0", GuestPhase::Reserved),
        spec: Err(spec),
        sight,
        goal,
        stored,
        published: true,
    }
}

#[test]
fn the_guest_that_costs_least_to_lose_goes_first() {
    let records = [
        record("a-0", GuestPhase::Running),
        record("a-1", GuestPhase::Running),
        record("a-2", GuestPhase::Cloning),
        record("a-10", GuestPhase::Running),
    ];
    assert_eq!(leaving(&records, 4), Vec::<usize>::new());
    assert_eq!(leaving(&records, 3), [2], "one that does not run yet");
    assert_eq!(leaving(&records, 2), [2, 3], "then the newest by number, not by letter");
    assert_eq!(leaving(&records, 0).len(), 4);
    let mut chosen = records.to_vec();
    chosen[0].phase = GuestPhase::Deleting;
    assert_eq!(leaving(&chosen, 3), [0], "one that goes already is not exchanged for another");
}

#[test]
fn nothing_is_done_under_an_id_that_is_not_stored() {
    let action = next(&view(false, Sight::Absent, GuestGoal::Running)).unwrap();
    assert!(matches!(action, Some(Action::Step(Step::Wait(_)))), "{action:?}");
}

#[test]
fn a_guest_that_cannot_be_described_can_still_go_but_only_if_it_is_seen_and_ours() {
    let ours =
        |running| Sight::Ours(Guest { node: "n".into(), running, config: Config::default(), lock: None });
    let says = |sight| next(&view(true, sight, GuestGoal::Gone));
    assert!(matches!(says(ours(true)), Ok(Some(Action::Step(Step::Stop)))));
    assert!(matches!(says(ours(false)), Ok(Some(Action::Step(Step::Destroy)))));
    assert!(matches!(says(Sight::Absent), Ok(Some(Action::Forget))));
    assert!(matches!(says(Sight::Foreign { name: "x".into() }), Ok(Some(Action::Forget))));
    assert!(says(Sight::Unknown("offline".into())).is_err());
}

#[test]
fn lists_for_people_are_short() {
    assert_eq!(short_list(&[]), "");
    assert_eq!(short_list(&["a", "b"]), "a, b");
    assert_eq!(short_list(&["a", "b", "c", "d"]), "a, b, +2");
}
