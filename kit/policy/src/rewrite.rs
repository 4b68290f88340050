//! Replacing the principals in a policy's text: for keeping it with unique ids in place of ARNs,
//! and for showing it with ARNs again.

use serde_json::Value;

/// The text with some `AWS` principals replaced, `None` when none was. A text that is no JSON has
/// none.
pub fn rewrite_principals(
    text: &str,
    mut swap: impl FnMut(&str) -> Option<String>,
) -> Option<String> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    let mut changed = false;
    let mut visit = |name: &mut Value| {
        if let Some(new) = name.as_str().and_then(&mut swap) {
            *name = Value::String(new);
            changed = true;
        }
    };
    for statement in one_or_many(value.get_mut("Statement")) {
        for element in ["Principal", "NotPrincipal"] {
            let named = statement.get_mut(element).and_then(|p| p.get_mut("AWS"));
            one_or_many(named).iter_mut().for_each(&mut visit);
        }
    }
    changed.then(|| value.to_string())
}

fn one_or_many(value: Option<&mut Value>) -> &mut [Value] {
    match value {
        None => &mut [],
        Some(Value::Array(many)) => many,
        Some(one) => std::slice::from_mut(one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_are_replaced_and_nothing_else() {
        let swap = |name: &str| (name == "x").then(|| "y".to_owned());
        let text = r#"{"Statement":[{"Principal":{"AWS":["x","z"]},"Action":"x"},{"NotPrincipal":{"AWS":"x","Service":"x"}}]}"#;
        let wanted = r#"{"Statement":[{"Principal":{"AWS":["y","z"]},"Action":"x"},{"NotPrincipal":{"AWS":"y","Service":"x"}}]}"#;
        assert_eq!(rewrite_principals(text, swap).as_deref(), Some(wanted));
        for untouched in [r#"{"Statement":{"Principal":"x"}}"#, "{", "[]", "null"] {
            assert_eq!(rewrite_principals(untouched, swap), None, "{untouched}");
        }
    }
}
