//! Whole numbers within limits.
use super::{At, Faults, Input, Parse, Reference};
use utoipa::openapi::{
    ObjectBuilder,
    schema::{SchemaType, Type},
};

/// A whole number from `MIN` to `MAX`, sent as a JSON number without fraction or exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int<const MIN: i64, const MAX: i64>(i64);

impl<const MIN: i64, const MAX: i64> Int<MIN, MAX> {
    /// The number.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl<const MIN: i64, const MAX: i64> Parse for Int<MIN, MAX> {
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let text = input.number().unwrap_or_default();
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            faults.add(at, "must be a whole number");
            return None;
        }
        match text.parse() {
            Ok(number) if (MIN..=MAX).contains(&number) => Some(Self(number)),
            _ => {
                faults.add(at, format!("must be {MIN} to {MAX}"));
                None
            }
        }
    }
    fn schema() -> Reference {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Integer))
            .minimum(Some(MIN))
            .maximum(Some(MAX))
            .into()
    }
    fn example() -> serde_json::Value {
        MIN.max(2.min(MAX)).into()
    }
}
