//! Money: a decimal with two places on the wire, whole minor units inside. Binary floating point touches it nowhere.
use super::{At, Faults, Input, Parse, Reference, digits::Digits, string_schema};
use serde::{Serialize, Serializer};
use std::fmt;
use utoipa::{PartialSchema, ToSchema};

/// An amount in hundredths of its currency's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(i64);

/// An amount from `MIN` to `MAX` hundredths, as a client sends it: a JSON string or a JSON number, in plain decimal with
/// at most two places.
#[derive(Clone, Copy, Debug)]
pub struct Amount<const MIN: i64, const MAX: i64>(Money);

impl Money {
    /// From hundredths.
    pub const fn from_minor(minor: i64) -> Self {
        Self(minor)
    }

    /// Hundredths.
    pub const fn minor(self) -> i64 {
        self.0
    }

    /// The sum, unless it cannot be represented.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// So many times this amount, unless that cannot be represented.
    #[must_use]
    pub fn checked_mul(self, times: i64) -> Option<Self> {
        self.0.checked_mul(times).map(Self)
    }

    fn text(self) -> Digits<21> {
        let text = if self.0 < 0 { Digits::new().then(b'-') } else { Digits::new() };
        let minor = self.0.unsigned_abs();
        text.number(minor / 100, 1).then(b'.').number(minor % 100, 2)
    }

    /// Reads a plain decimal with at most two places: `12`, `12.5`, `12.50`.
    fn from_decimal(text: &str) -> Result<Self, &'static str> {
        const SHAPE: &str = "must be a decimal number such as 12.50";
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (units, places) =
            digits.split_once('.').map_or((digits, None), |(units, places)| (units, Some(places)));
        let numeric = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !numeric(units) || !places.is_none_or(numeric) {
            return Err(SHAPE);
        }
        let places = places.unwrap_or_default();
        if places.len() > 2 {
            return Err("must have at most two decimal places");
        }
        let minor = format!("{units}{places:0<2}").parse::<i64>().map_err(|_| "too large")?;
        Ok(Self(if negative { -minor } else { minor }))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text().as_str())
    }
}

impl PartialSchema for Money {
    fn schema() -> Reference {
        string_schema().pattern(Some(r"^-?\d+\.\d{2}$")).examples([serde_json::json!("59.98")]).into()
    }
}
impl ToSchema for Money {}

impl<const MIN: i64, const MAX: i64> Amount<MIN, MAX> {
    /// The amount.
    pub fn get(self) -> Money {
        self.0
    }
}

impl<const MIN: i64, const MAX: i64> Parse for Amount<MIN, MAX> {
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let amount = match input.number() {
            Some(text) => Money::from_decimal(text),
            None => {
                let mut own = Faults::default();
                let text = input.string(&At::ROOT, &mut own);
                text.map_or(Err("must be a decimal number, as a string or a number"), |text| {
                    Money::from_decimal(&text)
                })
            }
        };
        match amount {
            Ok(money) if (MIN..=MAX).contains(&money.minor()) => Some(Self(money)),
            Ok(_) => {
                faults.add(at, format!("must be {} to {}", Money(MIN), Money(MAX)));
                None
            }
            Err(fault) => {
                faults.add(at, fault);
                None
            }
        }
    }

    fn schema() -> Reference {
        use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, SchemaType, Type};
        let limits = format!("From {} to {}, with at most two decimal places", Money(MIN), Money(MAX));
        OneOfBuilder::new()
            .item(string_schema().pattern(Some(r"^\d+(\.\d{1,2})?$")))
            .item(ObjectBuilder::new().schema_type(SchemaType::Type(Type::Number)))
            .description(Some(limits))
            .into()
    }

    fn example() -> serde_json::Value {
        Money(MIN.max(2999.min(MAX))).to_string().into()
    }
}

/// A currency of ISO 4217, read in any case, kept in upper case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// United States dollar.
    pub const USD: Self = Self(iso_currency::Currency::USD);

    /// The code, such as `USD`.
    pub fn code(&self) -> &'static str {
        self.0.code()
    }
}

impl Parse for Currency {
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let text = input.string(at, faults)?;
        let currency = iso_currency::Currency::from_code(&text.to_ascii_uppercase());
        if currency.is_none() {
            faults.add(at, "not a currency code of ISO 4217");
        }
        currency.map(Self)
    }
    fn schema() -> Reference {
        string_schema().pattern(Some("^[A-Za-z]{3}$")).into()
    }
    fn example() -> serde_json::Value {
        "USD".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_shown_is_read(minor: i64) {
            let shown = Money(minor).to_string();
            let (sign, minor_of) = (if minor < 0 { "-" } else { "" }, minor.unsigned_abs());
            prop_assert_eq!(&shown, &format!("{sign}{}.{:02}", minor_of / 100, minor_of % 100));
            prop_assert_eq!(serde_json::to_value(Money(minor)).unwrap(), shown.as_str());
            // the least has no positive counterpart, and no amount comes near it
            prop_assert!(minor == i64::MIN || Money::from_decimal(&shown) == Ok(Money(minor)));
        }
    }

    #[test]
    fn decimals_are_exact() {
        for (text, minor) in
            [("0.01", 1), ("59.98", 5998), ("12", 1200), ("12.5", 1250), ("-0.05", -5), ("007", 700)]
        {
            assert_eq!(Money::from_decimal(text), Ok(Money(minor)), "{text}");
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "1.234",
            "1e2",
            "1e400",
            "+1",
            " 1",
            "1_000",
            "0x1",
            "NaN",
            "٣",
            "99999999999999999999",
        ] {
            assert!(Money::from_decimal(text).is_err(), "{text}");
        }
        assert_eq!(Money(5998).to_string(), "59.98");
        assert_eq!(Money(-5).to_string(), "-0.05");
        assert_eq!(Money(i64::MIN).to_string(), "-92233720368547758.08");
    }
}
