//! Compares answers of the API with their description: what commands print is passed on as it is, so only a test can tell
//! that both have the same fields.

use serde_json::Value;

/// What differs between the answer of `GET` on a route and its description.
pub(crate) fn differences(description: &Value, route: &str, answer: &Value) -> Vec<String> {
    let media = &description["paths"][route]["get"]["responses"]["200"]["content"]["application/json"];
    let mut found = Vec::new();
    if media["schema"].is_null() {
        found.push(format!("{route} isn't described"));
    }
    compare(description, &media["schema"], answer, route, &mut found);
    found
}

/// The schema itself, where another one refers to it, or allows null beside it.
fn resolved<'a>(description: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.trim_start_matches('#');
        return resolved(description, description.pointer(pointer).unwrap_or(&Value::Null));
    }
    let parts = schema["oneOf"].as_array().into_iter().flatten();
    match parts.into_iter().find(|part| part["type"] != "null") {
        Some(part) => resolved(description, part),
        None => schema,
    }
}

fn compare(description: &Value, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    let schema = resolved(description, schema);
    match value {
        Value::Array(values) => {
            for value in values {
                compare(description, &schema["items"], value, &format!("{place}[]"), found);
            }
        }
        Value::Object(fields) => {
            let Some(properties) = schema["properties"].as_object() else {
                let of_each = &schema["additionalProperties"];
                for value in fields.values().filter(|_| of_each.is_object()) {
                    compare(description, of_each, value, &format!("{place}.*"), found);
                }
                return;
            };
            for (name, value) in fields {
                match properties.get(name) {
                    Some(property) => compare(description, property, value, &format!("{place}.{name}"), found),
                    None => found.push(format!("{place}.{name} isn't described")),
                }
            }
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let missing = required.filter(|name| !fields.contains_key(*name));
            found.extend(missing.map(|name| format!("{place}.{name} is described and missing")));
        }
        _ => {}
    }
}
