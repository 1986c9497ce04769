//! What holds a value and is named by nothing: files that no snapshot has, bodies that no envelope names, files torn by a crash.

use std::collections::BTreeSet;

use sluice_model::Digest;

use super::{World, erase, places};

#[test]
fn what_no_snapshot_and_no_response_names_goes_too() {
    let world = World::new(&["awin", "tradetracker"], 59);
    let operator = &world.operator;
    let tables = "lake/tables/tradetracker";
    let table = std::fs::read_dir(operator.join(tables)).unwrap().next().unwrap().unwrap().file_name();
    let table = format!("{tables}/{}", table.to_str().unwrap());
    let value = BTreeSet::from(["nobody-but-me-17".to_owned()]);
    let text = value.first().unwrap().as_bytes();
    let body = |text: &[u8]| {
        let hex = Digest::of(text).to_hex();
        (format!("lake/raw/bodies/{}/{hex}.zst", &hex[..2]), zstd::encode_all(text, 3).unwrap())
    };
    // Of a process that died between body and envelope; of one that died in a file; and of a version that a replay took back.
    let (orphan, packed) = body(text);
    for (path, bytes) in [
        (orphan.clone(), packed),
        (format!("{table}/left-over.parquet"), text.to_vec()),
        (format!("{table}/part.parquet#1"), text.to_vec()),
    ] {
        let path = operator.join(&path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    assert_eq!(places(operator, &value).len(), 3, "{:?}", places(operator, &value));
    let planned = erase(operator, &value, &["--dry-run"]);
    assert_eq!((&planned["responses"], &planned["deleted_bodies"]), (&0.into(), &1.into()), "{planned}");
    assert_eq!(places(operator, &value).len(), 3, "a dry run deletes nothing");
    erase(operator, &value, &["--yes"]);
    assert_eq!(places(operator, &value), BTreeSet::new());
    assert!(!operator.join(&orphan).exists());
    assert_eq!(world.run(operator), 0, "nothing else is gone");
}
