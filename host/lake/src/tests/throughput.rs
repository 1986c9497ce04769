//! `cargo test --release -p sluice-lake throughput -- --ignored --nocapture`
use std::time::Instant;

use super::*;

const RESPONSES: i64 = 1200;
const RECORDS: i64 = 500;

fn cpu_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn wide(response: i64, changed: bool) -> Mapped {
    let first = response * RECORDS;
    let mut sales: Vec<Sale> =
        (first..first + RECORDS).map(|n| sale(&format!("10{n:09}"), response / 40, n * 10_000)).collect();
    if changed {
        sales[0].commission += 1;
    }
    let mut mapped = mapped(&sales);
    for column in 0..47 {
        let cell = |n: i64| match column % 6 {
            0 => format!("{}", n % 7),
            1 => format!("{}.{:02}", n % 500, n % 100),
            2 => format!("\"https://www.example.com/product/{}\"", n * 31),
            3 => format!("\"status-{}\"", n % 4),
            4 => "true".to_owned(),
            _ => format!("\"2026-01-{:02}T10:{:02}:{:02}\"", 1 + n % 28, n % 60, n % 59),
        };
        let texts: Vec<String> = (first..first + RECORDS).map(cell).collect();
        let cells: Vec<Option<&str>> = texts.iter().map(|text| Some(text.as_str())).collect();
        mapped.native.columns.push(native_column(&format!("field{column}.value"), &cells));
    }
    mapped
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn throughput() {
    let (_folder, lake) = new_lake().await;
    for round in 0..3 {
        let mut ledger = lake.ledger();
        let (mut making, mut cpu) = (0.0, 0.0);
        let began = Instant::now();
        for number in 0..RESPONSES {
            let before = cpu_secs();
            // Nothing is new in the second round, a row of each response in the third.
            let mapped = wide(number, round == 2);
            making += cpu_secs() - before;
            let before = cpu_secs();
            let origin = response("run", &format!("{round}-{number}"), number + round * RESPONSES);
            ledger.add(origin, &layout(&["id"]), &connector(), mapped).await.unwrap();
            cpu += cpu_secs() - before;
        }
        let before = cpu_secs();
        ledger.flush().await.unwrap();
        cpu += cpu_secs() - before;
        let before = cpu_secs();
        let counts = ledger.commit().await.unwrap();
        let catching_up = cpu_secs() - before;
        println!(
            "{counts:?}: {cpu:.1} CPU s, {catching_up:.2} for the latest state ({making:.1} making rows), {:.1} s, {} MiB",
            began.elapsed().as_secs_f64(),
            peak_mib()
        );
    }
}
