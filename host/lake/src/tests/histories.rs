//! Random histories, against a model that keeps everything in memory and looks at everything each time.
//!
//! Two ledgers write one lake in turns, each with several flushes; between them files are merged, replays are applied
//! and taken back, all tables are made anew from raw, and processes die at any write. After each event the tables are what the model says.

mod claims;
mod model;
mod named;
mod world;

use std::fmt;

use proptest::prelude::*;

use self::model::{Reported, Response, View};
use self::world::{NETWORKS, World};

/// What happens.
#[derive(Clone)]
enum Event {
    /// A response comes to a lane, after all others or at a place among them; what has gathered may be committed.
    Answer {
        lane: usize,
        order: Option<u16>,
        retried: bool,
        flushed: bool,
        response: Response,
    },
    /// What a lane's ledger has gathered is committed.
    Flush {
        lane: usize,
    },
    /// What both have gathered is committed at once.
    FlushBoth,
    /// A lane's run ends; its ledger may serve the next one.
    End {
        lane: usize,
        keep: bool,
    },
    /// A lane's process dies, and another one resumes the run.
    Crash {
        lane: usize,
    },
    Maintain,
    Replay {
        network: &'static str,
        salt: u8,
    },
    RollBack,
    Rebuild,
    /// A lane's process dies after so many writes, as it commits or ends its run, and another one resumes the run.
    Die {
        lane: usize,
        writes: u8,
        ends: bool,
    },
    /// So does one that applies a replay, and another one applies it again.
    DieInReplay {
        network: &'static str,
        salt: u8,
        writes: u8,
    },
    /// So does one that takes a replay back.
    DieInRollBack {
        writes: u8,
    },
}

/// One line: a history is read as a whole.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer { lane, order, retried, flushed, response } => {
                let Response { network, view, rows, whole, rejected, .. } = response;
                let row = |row: &Reported| {
                    let order = if row.order { " o1" } else { "" };
                    format!("{} day {} = {}{order}", row.id, row.day, row.commission)
                };
                let flags =
                    [(*whole, " whole"), (*rejected, " rejected"), (*retried, " twice"), (*flushed, " flushed")];
                let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
                let order = order.map_or(String::new(), |order| format!(" at {order}"));
                let rows: Vec<String> = rows.iter().map(row).collect();
                write!(f, "answer to {lane}{order}: {network} {view:?}{flags} [{}]", rows.join(", "))
            }
            Self::Flush { lane } => write!(f, "flush {lane}"),
            Self::FlushBoth => f.write_str("flush both at once"),
            Self::End { lane, keep } => write!(f, "end {lane}{}", if *keep { ", its ledger stays open" } else { "" }),
            Self::Crash { lane } => write!(f, "crash {lane}"),
            Self::Maintain => f.write_str("maintain"),
            Self::Replay { network, salt } => write!(f, "replay {network} by {salt}"),
            Self::RollBack => f.write_str("roll back"),
            Self::Rebuild => f.write_str("rebuild"),
            Self::Die { lane, writes, ends } => {
                let of = if *ends { "the end" } else { "a flush" };
                write!(f, "die in {of} of {lane} after {writes} writes")
            }
            Self::DieInReplay { network, salt, writes } => {
                write!(f, "die in a replay of {network} by {salt} after {writes} writes")
            }
            Self::DieInRollBack { writes } => write!(f, "die in a rollback after {writes} writes"),
        }
    }
}

/// Histories of each test: together the 60 of `just test`.
const CASES: u32 = 15;
/// From how many writes on a process that is to die while it writes has done all that it writes.
const MAX_WRITES: u8 = 24;
const DAYS: [i64; 6] = [3, 11, 20, 35, 50, 80];

/// Which events a history has, by weight.
#[derive(Clone, Copy)]
struct Weights {
    /// Of answers that come to the second ledger, against two to the first.
    second: u32,
    flush_both: u32,
    /// Of what is done to the tables beside the ledgers.
    beside: u32,
    /// Whether runs are short and read one window again and again, so that much is missing twice.
    short: bool,
}

fn lane(weights: Weights) -> impl Strategy<Value = usize> {
    (0..2 + weights.second).prop_map(|drawn| usize::from(drawn >= 2))
}

fn network() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(NETWORKS[0]), 1 => Just(NETWORKS[1])]
}

/// A response. A few transactions are in most of them, so that they change often.
fn response(weights: Weights) -> impl Strategy<Value = Response> {
    let id = prop_oneof![0..4_u8, 0..20_u8];
    let (january, flags) = if weights.short { (9, [0.9, 0.03]) } else { (2, [0.6, 0.1]) };
    let row = (id, 0..6_usize, 0..3_i64, prop::bool::weighted(0.2));
    let rows = prop::collection::vec(row, 0..7);
    let view = prop_oneof![january => Just(View::January), 2 => Just(View::Spring), 1 => Just(View::Modified)];
    let flags = flags.map(prop::bool::weighted);
    (network(), view, rows, flags).prop_map(|(network, view, rows, [whole, rejected])| {
        let day = |place: usize| match view {
            View::January => DAYS[place % 3],
            View::Spring => DAYS[3 + place % 3],
            View::Modified => DAYS[place],
        };
        let rows = rows
            .into_iter()
            .map(|(id, place, commission, order)| Reported { id, day: day(place), commission, order })
            .collect();
        Response { run: String::new(), network, time: 0, view, rows, whole, rejected }
    })
}

fn answer(weights: Weights) -> impl Strategy<Value = Event> {
    // Most are received in order.
    let order = prop_oneof![6 => Just(None), 1 => any::<u16>().prop_map(Some)];
    let flags = [0.1, 0.7].map(prop::bool::weighted);
    (lane(weights), order, flags, response(weights)).prop_map(|(lane, order, [retried, flushed], response)| {
        Event::Answer { lane, order, retried, flushed, response }
    })
}

fn event(weights: Weights) -> impl Strategy<Value = Event> {
    let end = (lane(weights), any::<bool>()).prop_map(|(lane, keep)| Event::End { lane, keep });
    let replay = (network(), any::<u8>()).prop_map(|(network, salt)| Event::Replay { network, salt });
    let die = (lane(weights), 0..MAX_WRITES, any::<bool>());
    let die = die.prop_map(|(lane, writes, ends)| Event::Die { lane, writes, ends });
    let die_in_replay = (network(), any::<u8>(), 0..MAX_WRITES);
    let die_in_replay = die_in_replay.prop_map(|(network, salt, writes)| Event::DieInReplay { network, salt, writes });
    let die_in_roll_back = (0..MAX_WRITES).prop_map(|writes| Event::DieInRollBack { writes });
    let Weights { flush_both, beside, short, .. } = weights;
    prop_oneof![
        24 => answer(weights),
        2 => lane(weights).prop_map(|lane| Event::Flush { lane }),
        (if short { 20 } else { 4 }) => end,
        1 => lane(weights).prop_map(|lane| Event::Crash { lane }),
        1 => die,
        flush_both => Just(Event::FlushBoth),
        beside => prop_oneof![
            2 => Just(Event::Maintain),
            2 => replay,
            2 => Just(Event::RollBack),
            2 => Just(Event::Rebuild),
            1 => die_in_replay,
            1 => die_in_roll_back,
        ],
    ]
}

fn events(weights: Weights) -> impl Strategy<Value = Vec<Event>> {
    let count = if weights.short { 12..32 } else { 4..28 };
    prop::collection::vec(event(weights), count)
}

async fn happen(world: &mut World, event: &Event) {
    match event {
        Event::Answer { lane, order, retried, flushed, response } => {
            world.answer(*lane, *order, *retried, response.clone()).await;
            if *flushed {
                world.flush(*lane).await;
            }
        }
        Event::Flush { lane } => world.flush(*lane).await,
        Event::FlushBoth => world.flush_both().await,
        Event::End { lane, keep } => world.end(*lane, *keep).await,
        Event::Crash { lane } => world.crash(*lane).await,
        Event::Maintain => world.maintain().await,
        Event::Replay { network, salt } => world.replay(network, *salt).await,
        Event::RollBack => world.roll_back().await,
        Event::Rebuild => world.rebuild().await,
        Event::Die { lane, writes, ends } => _ = world.die(*lane, *writes, *ends).await,
        Event::DieInReplay { network, salt, writes } => _ = world.die_in_replay(network, *salt, *writes).await,
        Event::DieInRollBack { writes } => _ = world.die_in_roll_back(*writes).await,
    }
}

async fn check(events: &[Event], rebuilds: bool) {
    let mut world = World::new().await;
    for (number, event) in events.iter().enumerate() {
        happen(&mut world, event).await;
        if !matches!(event, Event::Answer { flushed: false, .. } | Event::Crash { .. }) {
            let faults = world.faults().await;
            assert!(faults.is_empty(), "after event {number}, the model has - and the lake +:\n{faults}");
        }
    }
    world.end_all().await;
    let faults = world.faults().await + &world.native_faults().await;
    assert!(faults.is_empty(), "at the end, the model has - and the lake +:\n{faults}");
    if rebuilds {
        world.rebuild().await;
        let faults = world.faults().await;
        assert!(faults.is_empty(), "after a rebuild, the model has - and the lake +:\n{faults}");
    }
}

/// A few, for each writes many tables; `PROPTEST_CASES` asks for another number, of all tests together.
fn cases() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse::<u32>().ok());
    let cases = asked.map_or(CASES, |cases| cases.div_ceil(4));
    // A history is shown as its events, not by a seed in a file.
    ProptestConfig { failure_persistence: None, max_shrink_iters: 400, ..ProptestConfig::with_cases(cases) }
}

/// On a thread of its own: proptest and a debug build take more than a test's stack between them.
fn run(events: &[Event], rebuilds: bool) {
    let run = || tokio::runtime::Runtime::new().unwrap().block_on(check(events, rebuilds));
    let outcome = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(16 << 20).spawn_scoped(scope, run);
        thread.unwrap().join()
    });
    outcome.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked));
}

const ONE: Weights = Weights { second: 0, flush_both: 0, beside: 0, short: false };
const TWO: Weights = Weights { second: 2, flush_both: 3, beside: 0, short: false };
const ALL: Weights = Weights { second: 1, flush_both: 2, beside: 5, short: false };
const MISSING: Weights = Weights { second: 1, flush_both: 0, beside: 2, short: true };

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_ledger_writes_what_a_naive_model_does(events in events(ONE), rebuilds in prop::bool::weighted(0.2)) {
        run(&events, rebuilds);
    }

    #[test]
    fn two_ledgers_in_turns_write_what_a_naive_model_does(events in events(TWO)) {
        run(&events, false);
    }

    #[test]
    fn short_runs_that_miss_what_others_saw_write_what_a_naive_model_does(events in events(MISSING)) {
        run(&events, true);
    }

    #[test]
    fn ledgers_beside_replays_merges_and_rebuilds_write_what_a_naive_model_does(events in events(ALL)) {
        run(&events, false);
    }
}

/// The candidate finds another month for the record than its first row has: all rows of a record stay in one partition.
#[tokio::test]
async fn a_replay_puts_a_record_into_the_month_of_its_first_row() {
    let mut world = World::new().await;
    let row = |id, day, commission| Reported { id, day, commission, order: false };
    for (view, rows) in [(View::Spring, vec![row(3, 35, 1)]), (View::January, vec![row(2, 3, 0), row(3, 3, 0)])] {
        let (network, run) = (NETWORKS[0], String::new());
        let response = Response { run, network, time: 0, view, rows, whole: false, rejected: false };
        world.answer(0, None, false, response).await;
    }
    // The ledger writes them later, and finds them there.
    world.replay(NETWORKS[0], 188).await;
    world.end_all().await;
    assert_eq!(world.native_faults().await, "");
}

/// A response of the first network that was read to its end.
fn whole(view: View, rows: &[(u8, i64)]) -> Response {
    let rows = rows.iter().map(|(id, day)| Reported { id: *id, day: *day, commission: 0, order: false });
    let (network, run) = (NETWORKS[0], String::new());
    Response { run, network, time: 0, view, rows: rows.collect(), whole: true, rejected: false }
}

/// Runs of one response each.
async fn runs(world: &mut World, responses: impl IntoIterator<Item = Response>) {
    for response in responses {
        world.answer(0, None, false, response).await;
        world.end(0, false).await;
        assert_eq!(world.faults().await, "");
    }
}

/// The next run that reads its window finds it gone: it waits for nothing.
#[tokio::test]
async fn what_a_replay_removed_is_absent_no_more_after_the_next_read_of_its_window() {
    let mut world = World::new().await;
    let january = |ids: &[u8]| whole(View::January, &ids.iter().map(|id| (*id, 3)).collect::<Vec<_>>());
    runs(&mut world, [january(&[0, 4]), january(&[0])]).await;
    // The candidate gives nothing of 4.
    world.replay(NETWORKS[0], 178).await;
    assert_eq!(world.faults().await, "");
    runs(&mut world, [january(&[0])]).await;
}

/// A file may hold transactions of several windows: a read tells only of those in its own.
#[tokio::test]
async fn what_a_replay_removed_stays_absent_while_other_windows_are_read() {
    let mut world = World::new().await;
    let first = whole(View::January, &[(0, 3), (4, 3), (6, 3)]);
    // 4 is of Spring now, and stays in the partition of its first row.
    let responses = [first, whole(View::Spring, &[(1, 35), (4, 35)]), whole(View::Spring, &[(1, 35)])];
    runs(&mut world, responses).await;
    // The candidate gives nothing of 4, and 6 comes into the same file.
    world.replay(NETWORKS[0], 178).await;
    world.maintain().await;
    runs(&mut world, [whole(View::January, &[(0, 3)])]).await;
    assert_eq!(world.absent().await.len(), 2, "6 is missing, and 4 still named");
    runs(&mut world, [whole(View::Spring, &[(1, 35)])]).await;
    assert_eq!(world.absent().await.len(), 1);
}

/// Of two transactions one vanishes, and one is missing for the first time: the run that is resumed finds the same.
#[tokio::test]
async fn a_run_that_dies_at_any_write_is_resumed_exactly() {
    let mut died = 0;
    for writes in 0..MAX_WRITES {
        let mut world = World::new().await;
        let january = |ids: &[u8]| whole(View::January, &ids.iter().map(|id| (*id, 3)).collect::<Vec<_>>());
        runs(&mut world, [january(&[0, 4]), january(&[0]), january(&[0])]).await;
        for response in [whole(View::Spring, &[(1, 35), (7, 50)]), january(&[2])] {
            world.answer(0, None, false, response).await;
        }
        died += u8::from(world.die(0, writes, true).await);
        assert_eq!(world.faults().await + &world.native_faults().await, "", "after {writes} writes");
    }
    assert!(died > 1, "no process died");
}

#[tokio::test]
async fn a_replay_and_a_rollback_that_die_at_any_write_are_made_again_exactly() {
    let mut died = [0, 0];
    for writes in 0..MAX_WRITES {
        let mut world = World::new().await;
        let responses = [whole(View::January, &[(0, 3), (4, 3), (6, 3)]), whole(View::Spring, &[(1, 35), (7, 50)])];
        runs(&mut world, responses).await;
        died[0] += u8::from(world.die_in_replay(NETWORKS[0], 178, writes).await);
        assert_eq!(world.faults().await, "", "a replay after {writes} writes");
        died[1] += u8::from(world.die_in_roll_back(writes).await);
        assert_eq!(world.faults().await + &world.native_faults().await, "", "a rollback after {writes} writes");
    }
    assert!(died.iter().all(|died| *died > 1), "no process died: {died:?}");
}
