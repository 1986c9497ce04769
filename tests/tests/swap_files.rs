//! Files that come, change and go under a running service: written in pieces, linked, renamed, doubled, deleted. What
//! served goes on until something better is whole, and the lake has every version that ever served.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use sluice_guests::Guest;
use sluice_model::Digest;
use sluice_tests::{HostileServer, Operator, Service, response};

struct Bench {
    operator: Operator,
    service: Service,
    _server: HostileServer,
}

fn version(version: &str) -> Vec<u8> {
    Guest::new("shop", &json!({"manifest": {"version": version}})).component().unwrap()
}

impl Bench {
    /// A network that is looked at every second, served by 1.0.0 from `shop.wasm`.
    fn new() -> Self {
        let operator = Operator::empty().unwrap();
        let server = HostileServer::saying(response(200, &[], br#"{"data":[{"id":"1"},{"id":"2"}]}"#)).unwrap();
        let file = json!({
            "connector": "shop", "schedule": "* * * * * *", "look_back": [{"every": "1s", "days": 1}],
            "base_url": server.origin(), "rate": {"requests": 1000, "per_secs": 1, "concurrency": 4},
            "accounts": [{"name": "main", "settings": {}, "secrets": {}}],
        });
        operator.write("networks/shop.json", &file.to_string()).unwrap();
        operator.put_connector("shop.wasm", &version("1.0.0")).unwrap();
        let service = Service::start(&operator).unwrap();
        let mut bench = Self { operator, service, _server: server };
        bench.runs("1.0.0");
        bench
    }

    fn file(&self, name: &str) -> PathBuf {
        self.operator.join("connectors.d").join(name)
    }

    fn says(&mut self, words: &[&str]) {
        self.service.wait_for(words).unwrap();
    }

    /// Waits for a whole run by this version, begun from now on.
    fn runs(&mut self, version: &str) {
        self.says(&["run begins", &format!("version=\"{version}\"")]);
        self.says(&["shop: ", "new versions"]);
    }
}

#[test]
fn what_serves_goes_on_whatever_becomes_of_its_file() {
    let mut bench = Bench::new();
    // Written in place and in pieces, as `cp` does.
    let whole = version("1.1.0");
    fs::write(bench.file("shop.wasm"), &whole[..whole.len() / 2]).unwrap();
    bench.says(&["connector is refused", "shop.wasm"]);
    bench.runs("1.0.0");
    fs::write(bench.file("shop.wasm"), &whole).unwrap();
    bench.says(&["connector serves", "shop.wasm", "1.1.0"]);
    bench.runs("1.1.0");

    // In its place a link, and then the link leads elsewhere.
    for (folder, number) in [("one", "1.2.0"), ("two", "1.3.0")] {
        fs::create_dir(bench.operator.join(folder)).unwrap();
        fs::write(bench.operator.join(folder).join("shop.wasm"), version(number)).unwrap();
        let link = bench.file(".link");
        std::os::unix::fs::symlink(bench.operator.join(folder).join("shop.wasm"), &link).unwrap();
        fs::rename(link, bench.file("shop.wasm")).unwrap();
        bench.says(&["connector serves", "shop.wasm", number]);
        bench.runs(number);
    }

    fs::rename(bench.file("shop.wasm"), bench.file("renamed.wasm")).unwrap();
    bench.says(&["connector serves", "renamed.wasm", "1.3.0"]);
    bench.runs("1.3.0");

    // A second one of the network waits, though it is newer, until the first is gone.
    bench.operator.put_connector("another.wasm", &version("1.4.0")).unwrap();
    bench.says(&["connector is refused", "another.wasm", "already served by `renamed.wasm`"]);
    bench.runs("1.3.0");
    fs::remove_file(bench.file("renamed.wasm")).unwrap();
    bench.says(&["connector serves", "another.wasm", "1.4.0"]);
    bench.runs("1.4.0");

    fs::remove_file(bench.file("another.wasm")).unwrap();
    bench.says(&["no connector `shop`"]);
    bench.operator.put_connector("shop.wasm", &version("1.4.0")).unwrap();
    bench.says(&["connector serves", "shop.wasm", "1.4.0"]);
    bench.runs("1.4.0");

    let Bench { operator, service, .. } = bench;
    assert!(!service.seen().contains("a slice failed"), "{}", service.seen());
    drop(service);
    let ran = operator.sql("SELECT DISTINCT connector_version AS v FROM meta.runs ORDER BY 1").unwrap();
    let ran: Vec<&Value> = ran.iter().map(|row| &row["v"]).collect();
    let all = ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"];
    assert_eq!(ran, all);
    for number in all {
        let digest = Digest::of(&version(number)).to_hex();
        assert!(operator.join(&format!("lake/connectors/{digest}.wasm")).is_file(), "{number} isn't kept");
    }
    assert_eq!(operator.sql("SELECT * FROM meta.runs WHERE outcome <> 'done'").unwrap(), Vec::<Value>::new());
}

#[test]
fn two_files_that_change_their_names_with_each_other_change_nothing() {
    let mut bench = Bench::new();
    let mall = Guest::new("mall", &json!({})).component().unwrap();
    bench.operator.put_connector("mall.wasm", &mall).unwrap();
    bench.says(&["connector serves", "mall.wasm"]);
    for (from, to) in [("shop.wasm", ".aside"), ("mall.wasm", "shop.wasm"), (".aside", "mall.wasm")] {
        fs::rename(bench.file(from), bench.file(to)).unwrap();
    }
    bench.runs("1.0.0");
    bench.runs("1.0.0");
    let text = bench.operator.succeed(&["--output", "json", "connectors"]).unwrap();
    let entries: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut served: Vec<&str> = entries
        .iter()
        .filter(|entry| entry["version"] == "1.0.0")
        .map(|entry| entry["network"].as_str().unwrap())
        .collect();
    served.sort_unstable();
    assert_eq!(served, ["mall", "shop"], "{entries:#?}");
}
