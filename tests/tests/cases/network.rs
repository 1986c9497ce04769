//! A network that answers from a case's `script.json`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use serde_json::Value;

/// How long something may take that has to come.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) query: String,
}

/// A running network. Its threads end with the test.
pub(crate) struct Network {
    address: SocketAddr,
    played: Arc<Played>,
}

struct Played {
    case: PathBuf,
    script: Value,
    state: Mutex<PlayState>,
    changed: Condvar,
}

#[derive(Default)]
struct PlayState {
    step: usize,
    used: BTreeMap<(usize, usize), u64>,
    asked: Vec<Asked>,
    /// Requests whose answer is held back, and whether such answers go out by now.
    held: usize,
    is_released: bool,
}

/// A request's parts that a rule looks at.
struct Parts {
    method: String,
    path: String,
    query: String,
    head: String,
    body: String,
}

impl Network {
    pub(crate) fn start(case: &Path) -> Self {
        let script = std::fs::read_to_string(case.join("script.json")).unwrap();
        let played = Arc::new(Played {
            case: case.to_owned(),
            script: serde_json::from_str(&script).unwrap(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = played.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let played = served.clone();
                // A client that is killed breaks its connection.
                std::thread::spawn(move || played.serve(stream).ok());
            }
        });
        Self { address, played }
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on these rules answer.
    pub(crate) fn set_step(&self, step: usize) {
        self.played.state().step = step;
    }

    /// What it was asked until now.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.played.state().asked.clone()
    }

    /// Waits until so many answers are held back at once, or `is_enough`.
    pub(crate) fn wait_for_held(&self, held: usize, is_enough: impl Fn() -> bool) -> usize {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.played.state();
        while state.held < held && !is_enough() {
            assert!(Instant::now() < deadline, "{} of {held} requests came", state.held);
            state = self.played.changed.wait_timeout(state, Duration::from_millis(50)).unwrap().0;
        }
        state.held
    }

    /// Answers with a `delay` are held back, or not.
    pub(crate) fn release(&self, is_released: bool) {
        self.played.state().is_released = is_released;
        self.played.changed.notify_all();
    }
}

impl Played {
    fn state(&self) -> MutexGuard<'_, PlayState> {
        self.state.lock().unwrap()
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let Some(parts) = read(&stream)? else { return Ok(()) };
        let rule = self.rule(&parts);
        if rule["delay"].is_number() {
            self.hold();
        }
        let answer = self.answer(&rule);
        stream.write_all(&answer)?;
        stream.flush()
    }

    /// The first rule that matches and isn't used up; 599 if there is none.
    fn rule(&self, parts: &Parts) -> Value {
        let mut state = self.state();
        state.asked.push(Asked { at: Instant::now(), query: parts.query.clone() });
        self.changed.notify_all();
        let step = state.step;
        for (at, rule) in self.script["steps"][step].as_array().unwrap().iter().enumerate() {
            let used = state.used.entry((step, at)).or_default();
            if parts.match_rule(rule) && *used < rule["times"].as_u64().unwrap_or(u64::MAX) {
                *used += 1;
                return rule.clone();
            }
        }
        serde_json::json!({"status": 599, "text": "no rule"})
    }

    fn hold(&self) {
        let mut state = self.state();
        state.held += 1;
        self.changed.notify_all();
        while !state.is_released {
            state = self.changed.wait(state).unwrap();
        }
        state.held -= 1;
    }

    fn answer(&self, rule: &Value) -> Vec<u8> {
        let body = match rule["file"].as_str() {
            Some(file) => std::fs::read(self.case.join(file)).unwrap(),
            None => rule["text"].as_str().unwrap_or_default().as_bytes().to_vec(),
        };
        let mut body = filled(&body);
        let status = rule["status"].as_u64().unwrap_or(200);
        // The date is what Python's server of the cases' kit sends too: the host looks at it.
        let date = Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
        let mut head = format!("HTTP/1.1 {status} X\r\ndate: {date}\r\nconnection: close\r\n");
        for (name, value) in rule["headers"].as_object().into_iter().flatten() {
            head.push_str(&format!("{name}: {}\r\n", value.as_str().unwrap()));
        }
        if rule["close"] == true {
            body.truncate(rule["cut"].as_u64().unwrap_or(u64::MAX) as usize);
        } else {
            let length = rule["claim"].as_u64().unwrap_or(body.len() as u64);
            head.push_str(&format!("content-length: {length}\r\n"));
        }
        [head.as_bytes(), b"\r\n", &body].concat()
    }
}

impl Parts {
    fn match_rule(&self, rule: &Value) -> bool {
        let parts = [
            ("method", &self.method),
            ("path", &self.path),
            ("query", &self.query),
            ("head", &self.head),
            ("body", &self.body),
        ];
        parts.iter().all(|(name, text)| rule[*name].as_str().is_none_or(|pattern| holds(text, pattern)))
    }
}

/// Whether a text holds a pattern: a literal that `^` and `$` bind to the beginning and the end.
fn holds(text: &str, pattern: &str) -> bool {
    let (begins, ends) = (pattern.starts_with('^'), pattern.ends_with('$'));
    let literal = pattern.trim_start_matches('^').trim_end_matches('$');
    assert!(!literal.contains(['\\', '*', '+', '(', '[', '|', '.', '^', '$']), "`{pattern}` is no literal");
    match (begins, ends) {
        (true, true) => text == literal,
        (true, false) => text.starts_with(literal),
        (false, true) => text.ends_with(literal),
        (false, false) => text.contains(literal),
    }
}

/// A body whose `{{now-10d}}` are filled with that time, without an offset.
fn filled(body: &[u8]) -> Vec<u8> {
    let Ok(mut rest) = std::str::from_utf8(body) else { return body.to_vec() };
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once("{{now") {
        let (back, after) = after.split_once("}}").unwrap();
        let days = back.trim_start_matches('-').trim_end_matches('d');
        let at = Utc::now() - TimeDelta::days(if days.is_empty() { 0 } else { days.parse().unwrap() });
        out.push_str(before);
        out.push_str(&at.format("%Y-%m-%dT%H:%M:%S").to_string());
        rest = after;
    }
    out.push_str(rest);
    out.into_bytes()
}

/// The request of a connection; none if it ends before one is whole.
fn read(stream: &TcpStream) -> std::io::Result<Option<Parts>> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let first = lines.remove(0);
    let headers = lines.iter().filter_map(|line| line.split_once(':'));
    let headers: Vec<(String, &str)> = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim())).collect();
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut first = first.split(' ');
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let head = headers.iter().map(|(name, value)| format!("{name}: {value}"));
    Ok(Some(Parts {
        method: method.to_owned(),
        path: path.to_owned(),
        query: decoded(query),
        head: head.collect::<Vec<_>>().join("\n"),
        body: String::from_utf8_lossy(&body).into_owned(),
    }))
}

/// A query without its percent-encoding.
fn decoded(query: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = query.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}
