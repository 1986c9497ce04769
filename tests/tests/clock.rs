//! A service whose machine's clock jumps by minutes, hours and days, and through both changes of summer time: each moment of the
//! schedule is read once, and nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{Operator, Service, WallClock, check_exact, check_runs_once, runtime};
use tokio::runtime::Runtime;

const NETWORK: &str = "awin";
/// Alarms as soon as a fault is found; nothing but runs.
const SETTINGS: &str = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\n[schedule]\nretry_secs = 1\n\
                        [maintain]\nevery = \"never\"\n[alarms]\nevery = \"1s\"\n";
/// What a service logs once it has seen that the clock was set by more than half a minute.
const JUMPED: &str = "the clock of this machine jumped from";
/// How long a run takes to begin at most, once its moment has come.
const SLACK: TimeDelta = TimeDelta::minutes(5);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A service that goes by a clock of the test's.
struct World {
    simulator: Simulator,
    operator: Operator,
    clock: WallClock,
    service: Service,
    _runtime: Runtime,
}

impl World {
    /// The service begins at a moment, and has read the network. The networks' last transaction is of `last`.
    fn new(last: DateTime<Utc>, begins_at: DateTime<Utc>, schedule: &Value) -> Self {
        let runtime = runtime();
        let options = Options { start: last, history_days: 1, rows_per_day: 4, ..Options::default() };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        let mut operator = Operator::of(&simulator, &[NETWORK]).unwrap();
        operator.write("sluice.toml", SETTINGS).unwrap();
        let file = json!({
            "connector": NETWORK, "schedule": schedule, "look_back": [{"every": "1s", "days": 3}],
            "base_url": simulator.origin(NETWORK), "rate": {"requests": 100, "per_secs": 1, "concurrency": 4},
            "accounts": operator.accounts(&simulator, NETWORK),
        });
        operator.write(&format!("networks/{NETWORK}.json"), &file.to_string()).unwrap();
        let clock = WallClock::of(&mut operator).unwrap();
        clock.set(begins_at).unwrap();
        let mut service = Service::start(&operator).unwrap();
        // What was never read is due at once.
        service.wait_for(&[NETWORK, "new version"]).unwrap();
        Self { simulator, operator, clock, service, _runtime: runtime }
    }

    fn jump(&mut self, to: DateTime<Utc>) {
        self.clock.set(to).unwrap();
        self.service.wait_for(&[JUMPED]).unwrap();
    }

    /// Sets the clock to a moment at which a run begins, and waits for its end.
    fn is_read_at(&mut self, moment: &str) {
        self.clock.set(at(moment)).unwrap();
        let logged = [(JUMPED, ""), (NETWORK, "new version")];
        self.service.wait_for_all(&logged.map(|(text, more)| (text.to_owned(), more.to_owned()))).unwrap();
    }

    /// Sets the clock to a moment, and ten minutes on once the service has seen it: before that it looked for what was due.
    fn passes(&mut self, moment: &str) {
        self.jump(at(moment));
        self.jump(at(moment) + TimeDelta::minutes(10));
    }

    /// Ends the service, and checks that runs began at these moments and at no others.
    fn ends_with_runs_at(mut self, moments: &[&str]) {
        assert_eq!(self.service.terminate().unwrap(), Some(0));
        let query = format!("SELECT started_at FROM meta.runs WHERE network = '{NETWORK}' ORDER BY started_at");
        let rows = self.operator.sql(&query).unwrap();
        let began: Vec<DateTime<Utc>> = rows.iter().map(|row| at(row["started_at"].as_str().unwrap())).collect();
        let mut moments: Vec<DateTime<Utc>> = moments.iter().map(|moment| at(moment)).collect();
        moments.sort();
        let each = moments.iter().zip(&began).all(|(moment, began)| moment <= began && *began < *moment + SLACK);
        assert!(each && moments.len() == began.len(), "{began:#?}, not {moments:#?}");
        self.is_exact();
    }

    fn is_exact(&self) {
        check_exact(&self.operator, &self.simulator, &[NETWORK]).unwrap();
        check_runs_once(&self.operator).unwrap();
    }
}

/// At half past two in Amsterdam.
fn night() -> Value {
    json!({"cron": "30 2 * * *", "timezone": "Europe/Amsterdam"})
}

#[test]
fn a_time_that_summer_time_leaves_out_is_read_once_right_after_it() {
    let begin = "2026-03-28T12:00:00Z";
    let mut world = World::new(at(begin), at(begin), &night());
    world.passes("2026-03-29T00:45:00Z");
    // Three o'clock, before which it was two.
    world.is_read_at("2026-03-29T01:00:05Z");
    world.passes("2026-03-29T01:25:00Z");
    world.passes("2026-03-30T00:15:00Z");
    world.is_read_at("2026-03-30T00:30:05Z");
    world.ends_with_runs_at(&[begin, "2026-03-29T01:00:05Z", "2026-03-30T00:30:05Z"]);
}

#[test]
fn a_time_that_winter_time_repeats_is_read_once_and_so_is_one_to_which_the_clock_goes_back() {
    let begin = "2026-10-24T12:00:00Z";
    let mut world = World::new(at(begin), at(begin), &night());
    world.passes("2026-10-25T00:15:00Z");
    world.is_read_at("2026-10-25T00:30:05Z");
    // Half past two again.
    world.passes("2026-10-25T01:25:00Z");
    world.passes("2026-10-26T01:15:00Z");
    world.is_read_at("2026-10-26T01:30:05Z");
    // As far as clocks of hosts differ.
    world.passes("2026-10-26T01:27:00Z");
    // Of the moments of three days one is made up for.
    world.is_read_at("2026-10-29T12:00:00Z");
    world.passes("2026-10-29T12:30:00Z");
    // What was noted by a clock that was ahead counts for nothing: it is read at once, and once.
    world.is_read_at("2026-10-29T06:30:00Z");
    world.passes("2026-10-29T07:00:00Z");
    world.ends_with_runs_at(&[
        begin,
        "2026-10-25T00:30:05Z",
        "2026-10-26T01:30:05Z",
        "2026-10-29T12:00:00Z",
        "2026-10-29T06:30:00Z",
    ]);
}

#[test]
fn missed_moments_are_not_made_up_for_where_none_shall() {
    let begin = "2026-06-10T12:00:00Z";
    let mut schedule = night();
    schedule["missed"] = "none".into();
    let mut world = World::new(at(begin), at(begin), &schedule);
    world.passes("2026-06-12T12:00:00Z");
    world.is_read_at("2026-06-13T00:30:05Z");
    world.ends_with_runs_at(&[begin, "2026-06-13T00:30:05Z"]);
}

#[test]
fn a_clock_that_jumps_by_hours_while_it_is_read_is_an_alarm_and_loses_nothing() {
    // What is advanced by is past, too: it is read by three days.
    let start = Utc::now() - TimeDelta::hours(21);
    let mut world = World::new(start, Utc::now(), &json!("* * * * * *"));
    for (hours, alarm) in [(5, Some("the clock jumped forward by")), (-6, None), (0, None)] {
        world.simulator.advance(TimeDelta::hours(6));
        world.clock.set(Utc::now() + TimeDelta::hours(hours)).unwrap();
        // The alarm lasts for ten minutes: the next jump is of the same.
        let logged = [Some((JUMPED, "")), alarm.map(|alarm| ("alarm: ", alarm))];
        let logged = logged.into_iter().flatten().map(|(text, more)| (text.to_owned(), more.to_owned()));
        world.service.wait_for_all(&logged.collect::<Vec<_>>()).unwrap();
        // Of all accounts: those that failed are read again in runs of their own before.
        world.service.wait_for(&["run begins", NETWORK, "accounts=0"]).unwrap();
        world.service.wait_for(&[NETWORK, "new version"]).unwrap();
    }
    assert_eq!(world.service.terminate().unwrap(), Some(0));
    world.is_exact();
    let alarms = world.operator.sql("SELECT state FROM meta.alarms WHERE rule = 'clock'").unwrap();
    assert_eq!(alarms, [json!({"state": "open"})]);
}
