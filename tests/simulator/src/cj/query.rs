//! As much of GraphQL as one field needs: operations, variables, arguments, nested selections, aliases.

use std::collections::BTreeMap;

/// A value in a document or among the variables.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    /// A text, a name (enum, boolean) or a number: as its text.
    Scalar(String),
    List(Vec<Value>),
    Object,
    Variable(String),
}

impl Value {
    /// From the variables' JSON.
    pub(crate) fn of(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::String(text) => Self::Scalar(text.clone()),
            serde_json::Value::Array(items) => Self::List(items.iter().map(Self::of).collect()),
            serde_json::Value::Object(_) => Self::Object,
            other => Self::Scalar(other.to_string()),
        }
    }
}

/// A selected field.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    alias: Option<String>,
    pub(crate) name: String,
    pub(crate) arguments: Vec<(String, Value)>,
    selections: Option<Vec<Selection>>,
}

impl Selection {
    /// The name of the member in the answer.
    pub(crate) fn key(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }

    /// The fields below it, which must be there.
    pub(crate) fn children(&self, kind: &str) -> Result<&[Selection], String> {
        self.selections
            .as_deref()
            .ok_or_else(|| format!("Field \"{}\" of type \"{kind}\" must have a selection of subfields.", self.name))
    }

    /// Refuses a selection below a scalar.
    pub(crate) fn leaf(&self) -> Result<(), String> {
        match self.selections {
            None => Ok(()),
            Some(_) => Err(format!("Field \"{}\" must not have a selection since it has no subfields.", self.name)),
        }
    }
}

/// An operation.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) selections: Vec<Selection>,
    /// The declared variables with their defaults.
    pub(crate) variables: BTreeMap<String, Option<Value>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Number(String),
    Mark(char),
}

/// Parses a document of one query.
pub(crate) fn parse(text: &str) -> Result<Document, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let mut variables = BTreeMap::new();
    if let Some(Token::Name(word)) = parser.peek().cloned() {
        if word != "query" {
            return Err(format!("Syntax Error: Unexpected Name \"{word}\"."));
        }
        parser.at += 1;
        if matches!(parser.peek(), Some(Token::Name(_))) {
            parser.at += 1;
        }
        if parser.takes('(') {
            variables = parser.declarations()?;
        }
    }
    parser.expect('{')?;
    let selections = parser.selections()?;
    match parser.peek() {
        None => Ok(Document { selections, variables }),
        Some(token) => Err(format!("Syntax Error: Unexpected {token:?} after the operation.")),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '#' => while rest.next_if(|it| *it != '\n').is_some() {},
            '"' => tokens.push(Token::Text(string(&mut rest)?)),
            '{' | '}' | '(' | ')' | '[' | ']' | ':' | '$' | '!' | '=' | '.' | '@' => {
                tokens.push(Token::Mark(character))
            }
            it if it.is_whitespace() || it == ',' || it == '\u{feff}' => {}
            it if it.is_ascii_alphabetic() || it == '_' => {
                let mut name = it.to_string();
                while let Some(next) = rest.next_if(|it| it.is_ascii_alphanumeric() || *it == '_') {
                    name.push(next);
                }
                tokens.push(Token::Name(name));
            }
            it if it.is_ascii_digit() || it == '-' => {
                let mut number = it.to_string();
                while let Some(next) = rest.next_if(|it| it.is_ascii_digit() || ".eE+-".contains(*it)) {
                    number.push(next);
                }
                tokens.push(Token::Number(number));
            }
            other => return Err(format!("Syntax Error: Cannot parse the unexpected character \"{other}\".")),
        }
    }
    Ok(tokens)
}

fn string(rest: &mut impl Iterator<Item = char>) -> Result<String, String> {
    let mut text = String::new();
    while let Some(character) = rest.next() {
        match character {
            '"' => return Ok(text),
            '\n' => break,
            '\\' => match rest.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('u') => {
                    let code: String = rest.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&code, 16).map_err(|_| "Syntax Error: Invalid escape.")?;
                    text.push(char::from_u32(code).unwrap_or('\u{fffd}'));
                }
                Some(other) => text.push(other),
                None => break,
            },
            other => text.push(other),
        }
    }
    Err("Syntax Error: Unterminated string.".to_owned())
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn takes(&mut self, mark: char) -> bool {
        let found = self.peek() == Some(&Token::Mark(mark));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, mark: char) -> Result<(), String> {
        if self.takes(mark) {
            return Ok(());
        }
        Err(match self.peek() {
            Some(token) => format!("Syntax Error: Expected \"{mark}\", found {token:?}."),
            None => format!("Syntax Error: Expected \"{mark}\", found <EOF>."),
        })
    }

    fn name(&mut self) -> Result<String, String> {
        match self.peek().cloned() {
            Some(Token::Name(name)) => {
                self.at += 1;
                Ok(name)
            }
            Some(token) => Err(format!("Syntax Error: Expected Name, found {token:?}.")),
            None => Err("Syntax Error: Expected Name, found <EOF>.".to_owned()),
        }
    }

    /// `$a: [String!]! = default …)`
    fn declarations(&mut self) -> Result<BTreeMap<String, Option<Value>>, String> {
        let mut declared = BTreeMap::new();
        while !self.takes(')') {
            self.expect('$')?;
            let name = self.name()?;
            self.expect(':')?;
            let mut depth = 0;
            while self.takes('[') {
                depth += 1;
            }
            self.name()?;
            self.takes('!');
            for _ in 0..depth {
                self.expect(']')?;
                self.takes('!');
            }
            let default = if self.takes('=') { Some(self.value()?) } else { None };
            declared.insert(name, default);
        }
        Ok(declared)
    }

    fn selections(&mut self) -> Result<Vec<Selection>, String> {
        let mut selections = Vec::new();
        while !self.takes('}') {
            if self.peek() == Some(&Token::Mark('.')) || self.peek() == Some(&Token::Mark('@')) {
                return Err("fragments and directives are not supported".to_owned());
            }
            let first = self.name()?;
            let (alias, name) = if self.takes(':') { (Some(first), self.name()?) } else { (None, first) };
            let mut arguments = Vec::new();
            if self.takes('(') {
                while !self.takes(')') {
                    let argument = self.name()?;
                    self.expect(':')?;
                    arguments.push((argument, self.value()?));
                }
            }
            let below = if self.takes('{') { Some(self.selections()?) } else { None };
            selections.push(Selection { alias, name, arguments, selections: below });
        }
        if selections.is_empty() { Err("Syntax Error: Expected Name, found }.".to_owned()) } else { Ok(selections) }
    }

    fn value(&mut self) -> Result<Value, String> {
        if self.takes('$') {
            return Ok(Value::Variable(self.name()?));
        }
        if self.takes('[') {
            let mut items = Vec::new();
            while !self.takes(']') {
                items.push(self.value()?);
            }
            return Ok(Value::List(items));
        }
        if self.takes('{') {
            while !self.takes('}') {
                self.name()?;
                self.expect(':')?;
                self.value()?;
            }
            return Ok(Value::Object);
        }
        let value = match self.peek().cloned() {
            Some(Token::Name(name)) if name == "null" => Value::Null,
            Some(Token::Name(text) | Token::Text(text) | Token::Number(text)) => Value::Scalar(text),
            Some(token) => return Err(format!("Syntax Error: Unexpected {token:?}.")),
            None => return Err("Syntax Error: Unexpected <EOF>.".to_owned()),
        };
        self.at += 1;
        Ok(value)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn reads_variables_aliases_and_nested_fields() {
        let text = r#"query Q($ids: [String!]!, $s: String = "x") { # why
            p: publisherCommissions(forPublishers: $ids, sincePostingDate: "2026-01-01T00:00:00Z", adIds: [1, "2"]) {
                count records { commissionId items { sku } } } }"#;
        let document = parse(text).unwrap();
        assert_eq!(document.variables["s"], Some(Value::Scalar("x".to_owned())));
        let root = &document.selections[0];
        assert_eq!((root.key(), root.name.as_str()), ("p", "publisherCommissions"));
        assert_eq!(root.arguments[0].1, Value::Variable("ids".to_owned()));
        assert_eq!(root.children("x").unwrap()[1].children("y").unwrap()[1].children("z").unwrap()[0].name, "sku");
    }

    #[test]
    fn refuses_what_does_not_close() {
        assert!(parse("{ publisherCommissions { count }").is_err());
        assert!(parse("mutation { a }").is_err());
        assert!(parse("{ a(b: \"c) }").is_err());
    }
}
