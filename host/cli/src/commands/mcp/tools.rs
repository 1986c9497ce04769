//! The tools: each a command that reads.

use serde_json::{Map, Value, json};

/// A value that a tool takes.
struct Parameter {
    name: &'static str,
    description: &'static str,
}

/// A tool: a command, with a required operand and options `--name`.
pub(super) struct ReadTool {
    pub(super) name: &'static str,
    description: &'static str,
    command: &'static [&'static str],
    operand: Option<Parameter>,
    options: &'static [Parameter],
}

pub(super) const TOOLS: [ReadTool; 7] = [
    ReadTool {
        name: "query_lake",
        description: "Run a SQL query against the lake: one SELECT, in DataFusion's dialect. Answers rows, and warnings of what they may lack.",
        command: &["sql", "--format", "json"],
        operand: Some(Parameter {
            name: "query",
            description: "one SELECT, or SHOW TABLES; with a LIMIT where there may be many rows",
        }),
        options: &[],
    },
    ReadTool {
        name: "list_tables",
        description: "List the tables of the lake.",
        command: &["tables"],
        operand: None,
        options: &[],
    },
    ReadTool {
        name: "explain_transaction",
        description: "Show the history of a transaction: each version, its cause, and the record that it came from.",
        command: &["explain"],
        operand: Some(Parameter {
            name: "transaction",
            description: "its transaction_key, the beginning of it, or `network/account/transaction_id`",
        }),
        options: &[],
    },
    ReadTool {
        name: "status",
        description: "Show what was read and when, what is missing, and what could not be mapped.",
        command: &["status", "--all"],
        operand: None,
        options: &[],
    },
    ReadTool {
        name: "plan",
        description: "Show the requests that a run would send, with secrets masked, and why. Sends nothing.",
        command: &["plan"],
        operand: Some(Parameter { name: "network", description: "the name of its file in networks/" }),
        options: &[
            Parameter { name: "account", description: "only this account" },
            Parameter { name: "since", description: "start of the window: a day or RFC 3339, UTC" },
            Parameter { name: "until", description: "end of the window, not part of it" },
        ],
    },
    ReadTool {
        name: "list_doubts",
        description: "List answers of networks that are held back because they would change money implausibly.",
        command: &["doubts", "list"],
        operand: None,
        options: &[],
    },
    ReadTool {
        name: "show_doubt",
        description: "Show the evidence of a doubtful answer.",
        command: &["doubts", "show"],
        operand: Some(Parameter { name: "doubt", description: "its id, from list_doubts" }),
        options: &[],
    },
];

impl ReadTool {
    fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.operand.iter().chain(self.options)
    }

    /// As `tools/list` shows it.
    pub(super) fn described(&self) -> Value {
        let property = |parameter: &Parameter| {
            (parameter.name.to_owned(), json!({"type": "string", "description": parameter.description}))
        };
        let properties: Map<String, Value> = self.parameters().map(property).collect();
        let required: Vec<_> = self.operand.iter().map(|operand| operand.name).collect();
        json!({
            "name": self.name,
            "description": self.description,
            "inputSchema": {
                "type": "object", "properties": properties, "required": required, "additionalProperties": false,
            },
            // It reads, changes nothing, gives the same again, and reaches nothing but the lake.
            "annotations": {
                "readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false,
            },
        })
    }

    /// The command line for what a client gave.
    pub(super) fn arguments(&self, given: &Map<String, Value>) -> Result<Vec<String>, String> {
        if let Some(unknown) = given.keys().find(|name| self.parameters().all(|known| known.name != *name)) {
            let known: Vec<_> = self.parameters().map(|parameter| parameter.name).collect();
            return Err(format!("`{}` takes no `{unknown}`; it takes: {}", self.name, known.join(", ")));
        }
        let text = |parameter: &Parameter| match given.get(parameter.name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if !text.contains('\0') => Ok(Some(text.as_str())),
            Some(_) => Err(format!("`{}` is no text", parameter.name)),
        };
        let mut arguments: Vec<String> = self.command.iter().map(|&word| word.to_owned()).collect();
        for option in self.options {
            arguments.extend(text(option)?.map(|value| format!("--{}={value}", option.name)));
        }
        if let Some(operand) = &self.operand {
            let value = text(operand)?.ok_or_else(|| format!("`{}` needs `{}`", self.name, operand.name))?;
            arguments.extend(["--".to_owned(), value.to_owned()]);
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn arguments(tool: &str, given: Value) -> Result<Vec<String>, String> {
        let tool = TOOLS.iter().find(|known| known.name == tool).unwrap();
        tool.arguments(given.as_object().unwrap())
    }

    #[test]
    fn what_a_client_gives_never_becomes_an_option() {
        let words = arguments("query_lake", json!({"query": "--help"})).unwrap();
        assert_eq!(words, ["sql", "--format", "json", "--", "--help"]);
        let words = arguments("plan", json!({"network": "awin", "since": "--until", "account": null})).unwrap();
        assert_eq!(words, ["plan", "--since=--until", "--", "awin"]);
        assert!(arguments("query_lake", json!({})).unwrap_err().contains("needs `query`"));
        assert!(arguments("query_lake", json!({"query": 1})).unwrap_err().contains("is no text"));
        assert!(arguments("status", json!({"config": "x"})).unwrap_err().contains("takes no `config`"));
    }
}
