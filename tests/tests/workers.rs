//! Heavy queries on two services with the role `query`: the answers of one host, to the cent, also when one of them dies meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use chrono::{DateTime, TimeDelta, Utc};
use sluice_simulator::{Options, Simulator};
use sluice_tests::{
    ASKED_TRANSACTION, Answer, Background, Operator, QUESTIONS, Service, naming_tables, runtime, sorted_lines,
    whole_window,
};

const HISTORY_DAYS: u32 = 30;
const PLAIN: &str = "[lake]\nurl = \"file:./lake\"\n[state]\nurl = \"sqlite:./state.db\"\nkey = \"env:STATE_KEY\"\n";
/// Every query that reads a file is heavy.
const SHARED: &str = "[query]\nlisten = \"127.0.0.1:0\"\nspread_from_mb = 0\n";
const KEY: &str = "0123456789abcdef0123456789abcdef";
/// What a query warns of that couldn't be shared after all.
const ONCE_MORE: &str = "tried once more, on this host alone";
/// What a worker logs.
const A_PART: &str = "takes a part of a query";
/// How often a status is asked for something that has to come.
const PATIENCE: usize = 200;

fn start() -> DateTime<Utc> {
    "2025-12-20T12:00:00Z".parse().unwrap()
}

/// A lake with a history, the questions, and their answers on one host.
struct Asked {
    operator: Operator,
    questions: Vec<(String, String)>,
}

impl Asked {
    fn collect() -> Self {
        let runtime = runtime();
        let options = Options { start: start(), history_days: HISTORY_DAYS, rows_per_day: 4, ..Options::default() };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        let networks = ["awin", "tradetracker"];
        let mut operator = Operator::of(&simulator, &networks).unwrap();
        operator.set("STATE_KEY", KEY);
        operator.write("sluice.toml", PLAIN).unwrap();
        for _ in 0..3 {
            let window = whole_window(&simulator, start(), HISTORY_DAYS.into());
            for network in networks {
                operator.run(network, &window).unwrap();
            }
            simulator.advance(TimeDelta::days(6));
        }
        let changed = "SELECT transaction_id AS id FROM unified.transaction_versions WHERE month = '2025-12'
                       GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1";
        let changed = operator.sql(changed).unwrap();
        let id = changed[0]["id"].as_str().unwrap();
        let sql = |sql: &str| {
            let sql = naming_tables(sql, |schema, table| Ok(format!("{schema}.{table}"))).unwrap();
            sql.replace(ASKED_TRANSACTION, id)
        };
        let mut questions: Vec<String> = QUESTIONS.iter().map(|(_, text)| sql(text)).collect();
        // Views with joins, and one whose rows are worked out, which no worker can.
        questions.push("SELECT * FROM unified.earnings_daily".to_owned());
        questions.push(
            "SELECT network, kind, count(*) FROM unified.live_transactions GROUP BY 1, 2 ORDER BY 1, 2".to_owned(),
        );
        questions.push("SELECT count(*) FROM meta.gaps".to_owned());
        let answered = questions.into_iter().map(|sql| (operator.succeed(&ask(&sql)).unwrap(), sql));
        let questions = answered.map(|(rows, sql)| (sql, rows)).collect();
        operator.write("sluice.toml", &format!("{PLAIN}{SHARED}")).unwrap();
        Self { operator, questions }
    }

    /// The answer of a command that succeeds.
    fn answer(&self, sql: &str) -> Answer {
        let answer = self.operator.sluice(&ask(sql)).unwrap();
        assert_eq!(answer.code, 0, "{sql}: {answer:?}");
        answer
    }

    /// Starts a worker, and waits until others see it.
    fn worker(&self) -> Service {
        let mut worker = Service::start_as(&self.operator, &["--role", "query"]).unwrap();
        worker.wait_for(&["parts of queries are taken at"]).unwrap();
        worker.wait_for(&["serving"]).unwrap();
        let is_seen = || worker.vitals(&self.operator).is_ok_and(|vitals| vitals["query_address"].is_string());
        assert!((0..PATIENCE).any(|_| is_seen()), "the worker isn't in the state store:\n{}", worker.seen());
        worker
    }
}

fn ask(sql: &str) -> [&str; 4] {
    ["sql", sql, "--format", "csv"]
}

#[test]
fn two_workers_answer_as_one_host_does() {
    let mut asked = Asked::collect();
    let mut workers = [asked.worker(), asked.worker()];
    for (sql, rows) in &asked.questions {
        let answer = asked.answer(sql);
        assert_eq!(sorted_lines(&answer.stdout), sorted_lines(rows), "{sql}");
        assert!(!answer.stderr.contains(ONCE_MORE), "{sql}: {answer:?}");
    }
    for worker in &mut workers {
        worker.wait_for(&[A_PART]).unwrap();
    }
    for sql in [
        "SELECT (SELECT transaction_id FROM unified.transactions)",
        "SELECT sum(commission_amount) FROM unified.transactions
         WHERE network = (SELECT network FROM unified.transaction_versions)",
    ] {
        let answer = asked.operator.sluice(&ask(sql)).unwrap();
        assert!(answer.code != 0 && answer.stderr.contains("more than one row"), "{answer:?}");
    }
    // With one core no step may believe that its part of a scan is all of it.
    let numbered = "SELECT x.n FROM (SELECT row_number() OVER (ORDER BY transaction_key, version) n
        FROM unified.transaction_versions) x
        JOIN (SELECT min(version) m FROM unified.transaction_versions) s ON s.m <= x.n ORDER BY 1 LIMIT 50";
    let mut one_core = std::process::Command::new("taskset");
    let whole = asked.operator.command(&ask(numbered));
    one_core.args(["-c", "0"]).arg(whole.get_program()).args(whole.get_args()).current_dir(asked.operator.path());
    one_core.env_clear().envs(whole.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let answer = one_core.output().unwrap();
    let expected = (1..=50).fold("n\n".to_owned(), |lines, number| format!("{lines}{number}\n"));
    assert_eq!(String::from_utf8_lossy(&answer.stdout), expected, "{answer:?}");
    // A host that doesn't know the key gets nothing from them, and answers by itself.
    asked.operator.set("STATE_KEY", &KEY.replace('0', "1"));
    let (sql, rows) = &asked.questions[0];
    let answer = asked.answer(sql);
    assert_eq!(&answer.stdout, rows);
    assert!(answer.stderr.contains(ONCE_MORE), "{answer:?}");
    let refused = "without a proof of this installation was refused";
    assert!(workers.iter_mut().any(|worker| worker.log().contains(refused)), "nobody refused the stranger");
}

#[test]
fn a_query_outlives_a_worker_that_dies_meanwhile() {
    let asked = Asked::collect();
    let (mut alive, mut dying) = (asked.worker(), asked.worker());
    dying.pause().unwrap();
    let (sql, rows) = &asked.questions[0];
    let query = Background::start(asked.operator.command(&ask(sql))).unwrap();
    // The other one has its part, so that this one's is on its way.
    alive.wait_for(&[A_PART]).unwrap();
    dying.kill();
    let ended = query.end().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(&ended.stdout, rows);
    assert!(ended.stderr.contains(ONCE_MORE), "{ended:?}");
    // Who is gone isn't asked again, though the state store still has it.
    let answer = asked.answer(sql);
    assert_eq!(&answer.stdout, rows);
    assert!(!answer.stderr.contains(ONCE_MORE), "{answer:?}");
    // A light query looks for nobody; a heavy one does without those that the state store doesn't name.
    let lost = PLAIN.replace("sqlite:./state.db", "postgres://127.0.0.1:1/lost");
    for (mb, is_warned) in [(0, true), (256, false)] {
        let shared = SHARED.replace("= 0", &format!("= {mb}"));
        asked.operator.write("sluice.toml", &format!("{lost}{shared}")).unwrap();
        let answer = asked.answer(sql);
        assert_eq!(&answer.stdout, rows);
        assert_eq!(answer.stderr.contains("queries aren't shared with other hosts"), is_warned, "{mb}: {answer:?}");
    }
}
