//! Stripe's encoding of parameters: `application/x-www-form-urlencoded`, with brackets for what is nested
//! (`line_items[0][price]`), in bodies and in queries alike.
use crate::error::{Error, Result};
use serde::Serialize;
use serde_json::Value;
use url::form_urlencoded::Serializer;

/// The parameters as text. What is `None` is left out.
pub(super) fn encode(parameters: &impl Serialize) -> Result<String> {
    let mut pairs = Serializer::new(String::new());
    append(&mut pairs, "", &serde_json::to_value(parameters).map_err(Error::internal)?);
    Ok(pairs.finish())
}

fn append(pairs: &mut Serializer<'_, String>, name: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Bool(flag) => _ = pairs.append_pair(name, if *flag { "true" } else { "false" }),
        Value::Number(number) => _ = pairs.append_pair(name, &number.to_string()),
        Value::String(text) => _ = pairs.append_pair(name, text),
        Value::Array(elements) => {
            elements
                .iter()
                .enumerate()
                .for_each(|(i, element)| append(pairs, &format!("{name}[{i}]"), element));
        }
        Value::Object(members) => members.iter().for_each(|(member, value)| {
            let nested = if name.is_empty() { member.clone() } else { format!("{name}[{member}]") };
            append(pairs, &nested, value);
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn what_is_nested_stands_in_brackets() {
        let parameters = json!({
            "mode": "subscription",
            "line_items": [{ "price": "price_1", "quantity": 1 }],
            "metadata": { "tenant_id": "a&b=c" },
            "flag": true,
            "left_out": null,
        });
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(super::encode(&parameters).unwrap().as_bytes())
                .into_owned()
                .collect();
        let mut found: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [
                ("flag", "true"),
                ("line_items[0][price]", "price_1"),
                ("line_items[0][quantity]", "1"),
                ("metadata[tenant_id]", "a&b=c"),
                ("mode", "subscription"),
            ]
        );
    }
}
