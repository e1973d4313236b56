//! What a node shows of itself, on standard error, when it is asked (SIGUSR1) and when it ends.

use serde_json::Value;

/// One line for each actor: its name, then every counter that is not zero. Nested counters are named by their path. Where
/// several roles are in one process, each name begins with its role.
pub fn counters(pictures: &[Value]) {
    for picture in pictures {
        eprintln!("{}", line(picture));
    }
}

fn line(picture: &Value) -> String {
    let word = |name| picture.get(name).and_then(Value::as_str);
    let actor = word("actor").unwrap_or("actor");
    let mut text = match word("role") {
        Some(role) if role != actor => format!("{role} {actor}"),
        Some(_) | None => actor.to_owned(),
    };
    if let Some(shard) = picture.get("shard").and_then(Value::as_u64) {
        text.push_str(&format!(" {shard}"));
    }
    text.push(':');
    if let Some(members) = picture.as_object() {
        for (name, value) in members {
            if name != "actor" && name != "shard" {
                let path = if name == "counters" {
                    ""
                } else {
                    name.as_str()
                };
                numbers(path, value, &mut text);
            }
        }
    }
    text
}

fn numbers(path: &str, value: &Value, text: &mut String) {
    match value {
        Value::Number(number) if number.as_f64() != Some(0.0) => {
            text.push_str(&format!(" {path}={number}"))
        }
        Value::Object(members) => {
            for (name, value) in members {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                numbers(&path, value, text);
            }
        }
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_shown() {
        let picture = serde_json::json!({
            "actor": "endpoint", "shard": 1, "connections": 3, "listening": ["udp:127.0.0.1:5060"],
            "counters": { "core": { "requests": 7, "merged": 0 }, "panics": 0 },
        });
        assert_eq!(line(&picture), "endpoint 1: connections=3 core.requests=7");
    }

    #[test]
    fn of_several_roles_in_one_process_each_line_says_which() {
        let line = |actor| line(&serde_json::json!({ "actor": actor, "role": "manager", "a": 1 }));
        assert_eq!(line("endpoint"), "manager endpoint: a=1");
        assert_eq!(line("manager"), "manager: a=1");
    }
}
