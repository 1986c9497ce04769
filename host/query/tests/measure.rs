#![allow(missing_docs, clippy::unwrap_used)]
use arrow::array::*;
use arrow::datatypes::*;
use deltalake::DeltaTable;
use sluice_query::*;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use url::Url;

fn batch(network: &str, start: usize, count: usize, version: i32) -> RecordBatch {
    let key = |i: usize| {
        format!(
            "{:016x}{:016x}",
            (i as u64).wrapping_mul(0x9E3779B97F4A7C15),
            (i as u64).wrapping_mul(0xC2B2AE3D27D4EB4F)
        )
    };
    let text = |f: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((start..start + count).map(f)))
    };
    let ts = |o: i64| -> ArrayRef {
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(
                (start..start + count).map(|i| 1_767_225_600_000_000 + o + i as i64 * 1000),
            )
            .with_timezone("UTC"),
        )
    };
    let mut cols: Vec<(String, ArrayRef)> = vec![
        ("transaction_key".into(), text(&key)),
        ("network".into(), text(&|_| network.to_owned())),
        ("month".into(), text(&|_| "2026-01".to_owned())),
        ("transaction_id".into(), text(&|i| format!("{i}"))),
        ("validation_status".into(), text(&|i| ["pending", "approved", "declined"][i % 3].to_owned())),
        (
            "commission_effective".into(),
            Arc::new(
                Decimal128Array::from_iter_values((start..start + count).map(|i| i as i128 * 1000))
                    .with_precision_and_scale(18, 6)
                    .unwrap(),
            ),
        ),
        ("transacted_at".into(), ts(0)),
        ("observed_at".into(), ts(5)),
        ("version".into(), Arc::new(Int32Array::from(vec![version; count]))),
    ];
    for c in 0..20 {
        cols.push((format!("text_{c}"), text(&move |i| format!("value {} {}", c, i % (7 * (c + 1))))));
    }
    let fields: Vec<Field> = cols.iter().map(|(n, c)| Field::new(n, c.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), cols.into_iter().map(|(_, c)| c).collect()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore]
async fn measure() {
    let dir = std::path::PathBuf::from("/tmp/measure-query/tables/unified/transaction_versions");
    let url = Url::from_directory_path(&dir).unwrap();
    if !dir.exists() {
        std::fs::create_dir_all(&dir).unwrap();
        for (net, n) in [("awin", 0), ("cj", 1)] {
            for part in 0..4 {
                let t = DeltaTable::try_from_url(url.clone()).await.unwrap();
                t.write([batch(net, n * 10_000_000 + part * 25_000, 25_000, 1)])
                    .with_partition_columns(["network", "month"])
                    .await
                    .unwrap();
            }
            for v in 2..4 {
                let t = DeltaTable::try_from_url(url.clone()).await.unwrap();
                t.write([batch(net, n * 10_000_000 + 12_500, 25_000 / (v as usize - 1), v)])
                    .with_partition_columns(["network", "month"])
                    .await
                    .unwrap();
            }
        }
    }
    let mb = std::env::var("MB").map_or(512, |v| v.parse::<usize>().unwrap());
    let options = SessionOptions { target_partitions: Some(2), memory_bytes: mb << 20, ..SessionOptions::default() };
    let session = Session::open(
        vec![TableLocation { schema: "unified".into(), name: "transaction_versions".into(), url }],
        HashMap::new(),
        options,
    )
    .await
    .unwrap();
    let v = "unified.transaction_versions";
    let sources = [
        ("view", "unified.transactions".to_owned()),
        (
            "anti >",
            format!(
                "(select * from {v} a where not exists (select 1 from {v} n where n.version > 1 and n.transaction_key = a.transaction_key and n.version > a.version))"
            ),
        ),
        (
            "anti =",
            format!(
                "(select * from {v} a where not exists (select 1 from {v} n where n.version > 1 and n.transaction_key = a.transaction_key and n.version = a.version + 1))"
            ),
        ),
        (
            "max join",
            format!(
                "(select a.* from {v} a join (select transaction_key k, max(version) m from {v} group by 1) n on a.transaction_key = n.k and a.version = n.m)"
            ),
        ),
        (
            "last_value",
            format!(
                "(select transaction_key, last_value(network order by version) network, last_value(validation_status order by version) validation_status, last_value(commission_effective order by version) commission_effective, last_value(text_1 order by version) text_1, last_value(text_2 order by version) text_2 from {v} group by 1)"
            ),
        ),
        (
            "window",
            format!(
                "(select * from (select *, row_number() over (partition by transaction_key order by version desc) rn from {v}) where rn = 1)"
            ),
        ),
    ];
    let only = std::env::var("ONLY").ok();
    for (name, source) in sources {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        for q in [
            format!("select count(*), sum(commission_effective) from {source} t"),
            format!(
                "select network, validation_status, sum(commission_effective), count(*) from {source} t where network = 'awin' group by 1,2 order by 1,2"
            ),
            format!(
                "select transaction_key, commission_effective, text_1, text_2 from {source} t where validation_status = 'approved' order by transaction_key limit 5"
            ),
        ] {
            let t = Instant::now();
            let r = match session.query(&q).await {
                Ok(r) => r.collect().await,
                Err(e) => Err(e),
            };
            match r {
                Ok(b) => println!(
                    "{name:12} {:6} ms  {} rows {:?}",
                    t.elapsed().as_millis(),
                    b.iter().map(|b| b.num_rows()).sum::<usize>(),
                    b.first().map(|b| b
                        .columns()
                        .iter()
                        .map(|c| arrow::util::display::array_value_to_string(c, 0).unwrap())
                        .collect::<Vec<_>>())
                ),
                Err(e) => println!("{name:12} {:6} ms  {e} {:?}", t.elapsed().as_millis(), e),
            }
        }
    }
    if std::env::var("PLAN").is_ok() {
        for q in [
            "explain select sum(commission_effective) from unified.transactions where network = 'awin' and validation_status = 'approved'",
        ] {
            let mut out = Vec::new();
            write(session.query(q).await.unwrap(), Format::Table, &mut out).await.unwrap();
            println!("{}", String::from_utf8(out).unwrap());
        }
    }
}
