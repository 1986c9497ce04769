//! Links of the description: which value of an answer is the parameter of which other route. Programs find their way by them.

use serde_json::{Value, json};

/// A route that answers with a name, and the routes that take it.
struct Links {
    path: &'static str,
    method: &'static str,
    status: &'static str,
    /// Where the name is in the answer, as a JSON pointer.
    place: &'static str,
    parameter: &'static str,
    operations: &'static [&'static str],
}

/// One that starts a job.
const fn job(path: &'static str) -> Links {
    Links { path, method: "post", status: "202", place: "/id", parameter: "id", operations: &["job"] }
}

/// One that lists what has names, the first of which is taken.
const fn list(
    path: &'static str,
    place: &'static str,
    parameter: &'static str,
    operations: &'static [&'static str],
) -> Links {
    Links { path, method: "get", status: "200", place, parameter, operations }
}

const LINKS: &[Links] = &[
    job("/v1/runs"),
    job("/v1/backfills"),
    job("/v1/rebuilds"),
    job("/v1/replays"),
    job("/v1/replays/apply"),
    list("/v1/jobs", "/0/id", "id", &["job"]),
    list("/v1/runs", "/0/run_id", "id", &["run"]),
    list("/v1/requests", "/0/raw_object", "digest", &["raw", "envelope", "rows"]),
    list("/v1/doubts", "/0/doubt_id", "id", &["doubt"]),
    list("/v1/alarms", "/0/alarm_id", "id", &["acknowledge"]),
];

/// The description with its links.
pub(super) fn with_links(mut description: Value) -> Value {
    for Links { path, method, status, place, parameter, operations } in LINKS {
        let Some(answer) = description["paths"][path][method]["responses"].get_mut(status) else { continue };
        for operation in *operations {
            answer["links"][operation] =
                json!({"operationId": operation, "parameters": {*parameter: format!("$response.body#{place}")}});
        }
    }
    description
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_beside_the_answer_that_has_the_name() {
        let described = json!({"paths": {"/v1/runs": {"post": {"responses": {"202": {}}}}}});
        let link = json!({"job": {"operationId": "job", "parameters": {"id": "$response.body#/id"}}});
        let with = with_links(described);
        assert_eq!(with["paths"]["/v1/runs"]["post"]["responses"]["202"], json!({"links": link}));
    }
}
