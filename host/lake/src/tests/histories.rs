//! Random histories, against a model that keeps everything in memory and looks at everything each time.
//!
//! Two ledgers write one lake in turns, each with several flushes; between them files are merged, replays are applied
//! and taken back, and all tables are made anew from raw. After each event the tables are what the model says.

mod claims;
mod model;
mod named;
mod world;

use proptest::prelude::*;

use self::model::{Reported, Response, View};
use self::world::{NETWORKS, World};

/// What happens.
#[derive(Clone, Debug)]
enum Event {
    /// A response comes to a lane: after all others, or at a place among them.
    Answer { lane: usize, order: Option<u16>, retried: bool, response: Response },
    /// What a lane's ledger has gathered is committed.
    Flush { lane: usize },
    /// A lane's run ends; its ledger may serve the next one.
    End { lane: usize, keep: bool },
    /// A lane's process dies, and another one resumes the run.
    Crash { lane: usize },
    Maintain,
    Replay { network: &'static str, salt: u8 },
    RollBack,
    Rebuild,
}

const DAYS: [i64; 6] = [3, 11, 20, 35, 50, 80];

fn lane() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(0), 2 => Just(1)]
}

fn network() -> impl Strategy<Value = &'static str> {
    prop_oneof![5 => Just(NETWORKS[0]), 1 => Just(NETWORKS[1])]
}

fn answer() -> impl Strategy<Value = Event> {
    let row = (0..14_u8, 0..6_usize, 0..3_i64, prop::bool::weighted(0.2));
    let rows = prop::collection::vec(row, 0..10);
    let view = prop_oneof![Just(View::January), Just(View::Spring), Just(View::Modified)];
    // Most are received in order, and without rejects.
    let order = prop_oneof![5 => Just(None), 1 => any::<u16>().prop_map(Some)];
    let flags = [0.6, 0.1, 0.1].map(prop::bool::weighted);
    (lane(), order, network(), view, rows, flags).prop_map(
        |(lane, order, network, view, rows, [whole, rejected, retried])| {
            let day = |place: usize| match view {
                View::January => DAYS[place % 3],
                View::Spring => DAYS[3 + place % 3],
                View::Modified => DAYS[place],
            };
            let rows = rows
                .into_iter()
                .map(|(id, place, commission, order)| Reported { id, day: day(place), commission, order })
                .collect();
            let response = Response { run: String::new(), network, time: 0, view, rows, whole, rejected };
            Event::Answer { lane, order, retried, response }
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let end = (lane(), any::<bool>()).prop_map(|(lane, keep)| Event::End { lane, keep });
    let replay = (network(), any::<u8>()).prop_map(|(network, salt)| Event::Replay { network, salt });
    prop_oneof![
        20 => answer(),
        10 => lane().prop_map(|lane| Event::Flush { lane }),
        5 => end,
        2 => lane().prop_map(|lane| Event::Crash { lane }),
        1 => Just(Event::Maintain),
        1 => replay,
        1 => Just(Event::RollBack),
        1 => Just(Event::Rebuild),
    ]
}

async fn happen(world: &mut World, event: &Event) {
    match event {
        Event::Answer { lane, order, retried, response } => {
            world.answer(*lane, *order, *retried, response.clone()).await;
        }
        Event::Flush { lane } => world.flush(*lane).await,
        Event::End { lane, keep } => world.end(*lane, *keep).await,
        Event::Crash { lane } => world.crash(*lane).await,
        Event::Maintain => world.maintain().await,
        Event::Replay { network, salt } => world.replay(network, *salt).await,
        Event::RollBack => world.roll_back().await,
        Event::Rebuild => world.rebuild().await,
    }
}

async fn check(events: &[Event]) {
    let mut world = World::new().await;
    for (number, event) in events.iter().enumerate() {
        happen(&mut world, event).await;
        if !matches!(event, Event::Answer { .. } | Event::Crash { .. }) {
            let faults = world.faults().await;
            assert!(faults.is_empty(), "after event {number}, the model has - and the lake +:\n{faults}");
        }
    }
    world.end_all().await;
    let faults = world.faults().await;
    assert!(faults.is_empty(), "at the end, the model has - and the lake +:\n{faults}");
    // Building all of raw again, into tables beside, is no other than the model's.
    world.rebuild().await;
    let faults = world.faults().await;
    assert!(faults.is_empty(), "after a rebuild, the model has - and the lake +:\n{faults}");
}

/// A few, for each writes many tables; `PROPTEST_CASES` asks for another number.
fn cases() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    // A history is told by its events, not by a seed in a file.
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(asked.unwrap_or(60)) }
}

proptest! {
    #![proptest_config(cases())]
    #[test]
    fn the_ledger_is_that_of_a_naive_model(events in prop::collection::vec(event(), 1..24)) {
        tokio::runtime::Runtime::new().unwrap().block_on(check(&events));
    }
}
