//! The stack machine that evaluates a template to bytes and to their display form.
//!
//! Every value has its bytes, its display form, and the slots of the secrets that it contains. A function of a secret is
//! a secret: its display form is `***slot***`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::{self, Write};

use chrono::{DateTime, Utc};
use sluice_model::{Op, Part, Secret};
use zeroize::Zeroizing;

use crate::function;

/// The most bytes of what the functions of one request make of secrets: each is searched for in its response, in every
/// form.
const MAX_DERIVED_BYTES: usize = 8 << 10;
/// The most values of that kind: each has some 15 forms, and more than 56 forms are another pass over each body.
const MAX_DERIVED_VALUES: usize = 64;
/// Bytes that one template may push in total: each `hex` doubles a value.
const MAX_PUSHED_BYTES: usize = 8 << 20;
/// The same of all templates of a request: a hundred headers may each hash its body.
const MAX_PRODUCED_BYTES: usize = 32 << 20;
/// The longest strftime pattern: a letter of it may become thirty, and takes memory while it is read.
const MAX_PATTERN_BYTES: usize = 256;

/// A value on the stack, or the result of a template.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Value {
    /// The bytes that are sent.
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// The text that is stored and logged.
    pub(crate) display: String,
    /// The slots of the secrets in it, in the order in which they were added.
    pub(crate) slots: Vec<String>,
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", self.display)
    }
}

impl Value {
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        let display = text.into();
        Self { bytes: Zeroizing::new(display.clone().into_bytes()), display, slots: Vec::new() }
    }

    fn tainted(bytes: &[u8], slot: &str) -> Self {
        let slots = vec![slot.to_owned()];
        Self { bytes: Zeroizing::new(bytes.to_vec()), display: mask(&slots), slots }
    }

    /// The result of a function: masked if one of its arguments contains a secret.
    fn computed(bytes: Vec<u8>, slots: Vec<String>) -> Self {
        let display = if slots.is_empty() { String::from_utf8_lossy(&bytes).into_owned() } else { mask(&slots) };
        Self { bytes: Zeroizing::new(bytes), display, slots }
    }

    pub(crate) fn is_tainted(&self) -> bool {
        !self.slots.is_empty()
    }

    fn append(&mut self, other: Self) {
        self.bytes.extend_from_slice(&other.bytes);
        self.display.push_str(&other.display);
        add_slots(&mut self.slots, other.slots);
    }
}

fn add_slots(slots: &mut Vec<String>, more: Vec<String>) {
    for slot in more {
        if !slots.contains(&slot) {
            slots.push(slot);
        }
    }
}

fn mask(slots: &[String]) -> String {
    format!("***{}***", slots.join("+"))
}

/// The tokens that a template may name.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenValues {
    pub(crate) live: BTreeMap<String, Secret>,
    pub(crate) refresh: BTreeMap<String, Secret>,
}

/// The parts of the request that are already rendered, for templates that sign them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) method: Value,
    pub(crate) path: Option<Value>,
    pub(crate) query: Option<Value>,
    /// The body, empty without one; none if it isn't rendered yet.
    pub(crate) body: Option<Value>,
}

/// Why a template can't be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TemplateError {
    MissingSecret(String),
    MissingSetting(String),
    Other(String),
}

impl From<&str> for TemplateError {
    fn from(text: &str) -> Self {
        Self::Other(text.to_owned())
    }
}

/// The values that a template can refer to. `now` is the same for all templates of one attempt.
pub(crate) struct Machine<'a> {
    pub(crate) secrets: &'a BTreeMap<String, Secret>,
    pub(crate) settings: &'a [(String, String)],
    pub(crate) tokens: &'a TokenValues,
    pub(crate) now: DateTime<Utc>,
    pub(crate) parts: Parts,
    /// What functions made of secrets, intermediate values too: a response that echoes one is masked.
    pub(crate) derived: RefCell<Vec<Zeroizing<Vec<u8>>>>,
    /// Bytes that the request's templates have pushed so far.
    pub(crate) produced: Cell<usize>,
}

impl Machine<'_> {
    /// Runs a template and joins the values on the stack.
    pub(crate) fn run(&self, template: &[Op]) -> Result<Value, TemplateError> {
        let mut stack: Vec<Value> = Vec::with_capacity(template.len());
        let mut pushed = 0_usize;
        for op in template {
            let value = self.step(op, &mut stack)?;
            // What is shown in place of a short secret may be longer.
            let bytes = value.bytes.len().max(value.display.len());
            pushed = pushed.saturating_add(bytes);
            if pushed > MAX_PUSHED_BYTES {
                return Err(TemplateError::Other(format!("the template produces more than {MAX_PUSHED_BYTES} bytes")));
            }
            self.produced.set(self.produced.get().saturating_add(bytes));
            if self.produced.get() > MAX_PRODUCED_BYTES {
                let reason = format!("the templates of the request produce more than {MAX_PRODUCED_BYTES} bytes");
                return Err(TemplateError::Other(reason));
            }
            stack.push(value);
        }
        Ok(join(stack))
    }

    /// The value that one op pushes, after popping its arguments.
    fn step(&self, op: &Op, stack: &mut Vec<Value>) -> Result<Value, TemplateError> {
        Ok(match op {
            Op::Text(text) => Value::plain(text),
            Op::Secret(slot) => self
                .secrets
                .get(slot)
                .map(|secret| Value::tainted(secret.expose().as_bytes(), slot))
                .ok_or_else(|| TemplateError::MissingSecret(slot.clone()))?,
            Op::Setting(name) => self
                .settings
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| Value::plain(value))
                .ok_or_else(|| TemplateError::MissingSetting(name.clone()))?,
            Op::Token(name) => token(&self.tokens.live, name, "token")?,
            Op::RefreshToken(name) => token(&self.tokens.refresh, name, "refresh token")?,
            Op::Now(pattern) => Value::plain(moment(self.now, pattern)?),
            Op::Part(part) => self.part(*part)?,
            Op::Join(count) => {
                let start = stack.len().checked_sub(*count as usize).ok_or_else(|| underflow("join"))?;
                join(stack.split_off(start))
            }
            Op::Apply(of) => {
                let argument = stack.pop().ok_or_else(|| underflow("apply"))?;
                self.computed(function::apply(*of, &argument.bytes)?, argument.slots)?
            }
            Op::Hmac(hash) => {
                let message = stack.pop().ok_or_else(|| underflow("hmac"))?;
                let key = stack.pop().ok_or_else(|| underflow("hmac"))?;
                let mut slots = key.slots;
                add_slots(&mut slots, message.slots);
                self.computed(function::hmac(*hash, &key.bytes, &message.bytes), slots)?
            }
        })
    }

    /// The result of a function, remembered if it is one of secrets.
    fn computed(&self, bytes: Vec<u8>, slots: Vec<String>) -> Result<Value, TemplateError> {
        let value = Value::computed(bytes, slots);
        let mut derived = self.derived.borrow_mut();
        if value.is_tainted() && !derived.contains(&value.bytes) {
            if derived.len() == MAX_DERIVED_VALUES {
                let reason = format!("its functions of secrets give more than {MAX_DERIVED_VALUES} values");
                return Err(TemplateError::Other(reason));
            }
            let total: usize = derived.iter().map(|bytes| bytes.len()).sum();
            if total + value.bytes.len() > MAX_DERIVED_BYTES {
                let reason = format!("its functions of secrets give more than {MAX_DERIVED_BYTES} bytes");
                return Err(TemplateError::Other(reason));
            }
            derived.push(value.bytes.clone());
        }
        Ok(value)
    }

    fn part(&self, part: Part) -> Result<Value, TemplateError> {
        let known = match part {
            Part::Method => Some(&self.parts.method),
            Part::Path => self.parts.path.as_ref(),
            Part::Query => self.parts.query.as_ref(),
            Part::Body => self.parts.body.as_ref(),
        };
        known
            .cloned()
            .ok_or_else(|| TemplateError::Other(format!("it refers to the {part:?} of itself").to_lowercase()))
    }
}

fn token(values: &BTreeMap<String, Secret>, name: &str, kind: &str) -> Result<Value, TemplateError> {
    values
        .get(name)
        .map(|secret| Value::tainted(secret.expose().as_bytes(), name))
        .ok_or_else(|| TemplateError::Other(format!("there is no {kind} `{name}`")))
}

fn underflow(op: &str) -> TemplateError {
    TemplateError::Other(format!("`{op}` takes more values than there are on the stack"))
}

fn join(values: Vec<Value>) -> Value {
    let mut values = values.into_iter();
    let mut joined = values.next().unwrap_or_default();
    values.for_each(|value| joined.append(value));
    joined
}

/// `now` by a strftime pattern. chrono reports some invalid patterns only while formatting.
fn moment(now: DateTime<Utc>, pattern: &str) -> Result<String, TemplateError> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(TemplateError::Other(format!("a strftime pattern is longer than {MAX_PATTERN_BYTES} bytes")));
    }
    let bad = || TemplateError::Other(format!("`{pattern}` is no strftime pattern"));
    let items = chrono::format::StrftimeItems::new(pattern).parse().map_err(|_| bad())?;
    let mut text = String::new();
    write!(text, "{}", now.format_with_items(items.iter())).map_err(|_| bad())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;
    use sluice_model::{Function, Hash};

    use super::*;

    fn run(template: &[Op]) -> Result<Value, TemplateError> {
        let secrets = BTreeMap::from([
            ("user".to_owned(), Secret::new("Aladdin".into())),
            ("password".to_owned(), Secret::new("open sesame".into())),
        ]);
        let settings = [("site".to_owned(), "42".to_owned())];
        let now = DateTime::parse_from_rfc3339("2026-03-04T05:06:07Z").unwrap().to_utc();
        let parts = Parts { method: Value::plain("GET"), ..Parts::default() };
        Machine {
            secrets: &secrets,
            settings: &settings,
            tokens: &TokenValues::default(),
            now,
            parts,
            derived: RefCell::default(),
            produced: Cell::default(),
        }
        .run(template)
    }

    fn text(text: &str) -> Op {
        Op::Text(text.into())
    }

    #[test]
    fn basic_credentials_are_those_of_rfc_7617() {
        let program = [
            text("Basic "),
            Op::Secret("user".into()),
            text(":"),
            Op::Secret("password".into()),
            Op::Join(3),
            Op::Apply(Function::Base64),
        ];
        let value = run(&program).unwrap();
        assert_eq!(value.bytes.as_slice(), b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(value.display, "Basic ***user+password***");
        assert_eq!(value.slots, ["user", "password"]);
    }

    #[test]
    fn what_holds_no_secret_is_shown() {
        let value = run(&[Op::Setting("site".into()), text("/"), Op::Now("%Y-%m-%d".into())]).unwrap();
        assert_eq!((value.display.as_str(), value.is_tainted()), ("42/2026-03-04", false));
        assert_eq!(run(&[text("a b"), Op::Apply(Function::UrlEncode)]).unwrap().display, "a%20b");
    }

    #[test]
    fn a_signature_under_a_secret_key_is_masked() {
        let program =
            [Op::Secret("user".into()), Op::Part(Part::Method), Op::Hmac(Hash::Sha256), Op::Apply(Function::Hex)];
        let value = run(&program).unwrap();
        assert_eq!(value.bytes.len(), 64);
        assert_eq!(value.display, "***user***");
    }

    #[test]
    fn faults_name_what_is_missing() {
        assert_eq!(run(&[Op::Secret("key".into())]), Err(TemplateError::MissingSecret("key".into())));
        assert_eq!(run(&[Op::Setting("zone".into())]), Err(TemplateError::MissingSetting("zone".into())));
        let reason_of = |template: &[Op]| match run(template) {
            Err(TemplateError::Other(text)) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason_of(&[Op::Token("session".into())]), "there is no token `session`");
        assert_eq!(reason_of(&[Op::Part(Part::Path)]), "it refers to the path of itself");
        assert_eq!(reason_of(&[text("a"), Op::Join(2)]), "`join` takes more values than there are on the stack");
        assert_eq!(
            reason_of(&[text("a"), Op::Hmac(Hash::Sha1)]),
            "`hmac` takes more values than there are on the stack"
        );
        assert_eq!(reason_of(&[Op::Now("%!".into())]), "`%!` is no strftime pattern");
    }

    #[test]
    fn a_value_can_not_be_doubled_forever() {
        let mut program = vec![text("aaaa")];
        program.extend(std::iter::repeat_n(Op::Apply(Function::Hex), 60));
        assert!(matches!(run(&program), Err(TemplateError::Other(text)) if text.contains("more than")));
        program[0] = Op::Secret("user".into());
        assert!(matches!(run(&program), Err(TemplateError::Other(text)) if text.contains("more than 8192 bytes")));
    }

    #[test]
    fn a_request_makes_no_more_values_of_secrets_than_are_searched_for() {
        let signed =
            |n: usize| [Op::Secret("user".into()), text(&n.to_string()), Op::Join(2), Op::Apply(Function::UrlEncode)];
        let program = |values: usize| (0..values).flat_map(signed).collect::<Vec<_>>();
        assert!(run(&program(MAX_DERIVED_VALUES)).is_ok());
        let refused = run(&program(MAX_DERIVED_VALUES + 1));
        assert!(matches!(refused, Err(TemplateError::Other(text)) if text.contains("more than 64 values")));
    }

    #[test]
    fn a_long_pattern_is_not_even_read() {
        assert!(run(&[Op::Now("%c".repeat(128))]).is_ok());
        let refused = run(&[Op::Now("%c".repeat(4 << 20))]);
        assert_eq!(refused, Err(TemplateError::Other("a strftime pattern is longer than 256 bytes".to_owned())));
    }

    fn ops() -> impl Strategy<Value = Op> {
        prop_oneof![
            ".{0,8}".prop_map(Op::Text),
            prop_oneof![Just("user"), Just("none")].prop_map(|slot| Op::Secret(slot.into())),
            Just(Op::Setting("site".into())),
            Just(Op::Token("session".into())),
            "(%.?.?){0,3}".prop_map(Op::Now),
            Just(Op::Part(Part::Method)),
            Just(Op::Part(Part::Body)),
            (0_u32..4).prop_map(Op::Join),
            Just(Op::Join(u32::MAX)),
            proptest::sample::select(function::ALL.to_vec()).prop_map(Op::Apply),
            Just(Op::Hmac(Hash::Sha512)),
        ]
    }

    proptest! {
        #[test]
        fn no_template_panics_or_shows_a_secret(template in proptest::collection::vec(ops(), 0..12)) {
            if let Ok(value) = run(&template) {
                let names_secret = template.iter().any(|op| matches!(op, Op::Secret(_)));
                prop_assert!(!value.display.contains("Aladdin"));
                prop_assert!(names_secret || !value.is_tainted());
            }
        }
    }
}
