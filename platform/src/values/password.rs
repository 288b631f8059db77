//! Passwords as they are sent. They never show in `Debug` and are taken as they are: no trimming, no truncation.
use super::{At, Email, Faults, Input, Parse, Reference, string_schema};
use secrecy::{ExposeSecret, SecretString};
use utoipa::openapi::schema::{KnownFormat, SchemaFormat};

const SHORTEST: usize = 8;
const LONGEST: usize = 128;

/// The most common passwords of at least eight characters, one a line, sorted. See `docs/common-passwords.md`.
const COMMON: &str = include_str!("common_passwords.txt");

/// A password to compare with the one that is known. Only its length is looked at.
#[derive(Clone, Debug)]
pub struct Password(SecretString);

/// A password to be set: 8 to 128 characters of any Unicode but NUL, and not among the most common.
#[derive(Clone, Debug)]
pub struct NewPassword(SecretString);

impl Password {
    /// The secret.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl NewPassword {
    /// The secret.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What is wrong with it as this person's password.
    pub fn fault_for(&self, email: &Email) -> Option<&'static str> {
        let local = email.local_part();
        let contained = local.chars().count() >= 4 && self.expose().to_lowercase().contains(local);
        contained.then_some("must not contain the name in your e-mail address")
    }
}

fn is_common(password: &str) -> bool {
    let lower = password.to_lowercase();
    let lines: &[&str] = {
        static LINES: std::sync::LazyLock<Vec<&str>> = std::sync::LazyLock::new(|| COMMON.lines().collect());
        &LINES
    };
    lines.binary_search(&lower.as_str()).is_ok()
}

fn secret_schema(min: usize) -> Reference {
    let format = SchemaFormat::KnownFormat(KnownFormat::Password);
    string_schema()
        .format(Some(format))
        .min_length(Some(min))
        .max_length(Some(LONGEST))
        .write_only(true)
        .into()
}

impl Parse for Password {
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let text = input.string(at, faults)?;
        if text.is_empty() || text.chars().count() > LONGEST {
            faults.add(at, format!("must be 1 to {LONGEST} characters"));
            return None;
        }
        Some(Self(text.into_owned().into()))
    }
    fn schema() -> Reference {
        secret_schema(1)
    }
    fn example() -> serde_json::Value {
        "a long walk in the rain".into()
    }
}

impl Parse for NewPassword {
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let text = input.string(at, faults)?;
        let fault = if !(SHORTEST..=LONGEST).contains(&text.chars().count()) {
            "must be 8 to 128 characters"
        } else if text.contains('\0') {
            "must not contain U+0000"
        } else if is_common(&text) {
            "too common: it is among those that are tried first"
        } else {
            return Some(Self(text.into_owned().into()));
        };
        faults.add(at, fault);
        None
    }
    fn schema() -> Reference {
        secret_schema(SHORTEST)
    }
    fn example() -> serde_json::Value {
        Password::example()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_known() {
        let lines: Vec<_> = COMMON.lines().collect();
        assert!(lines.is_sorted() && lines.len() > 1000);
        for common in ["password", "Password", "12345678", "iloveyou", "sunshine"] {
            assert!(is_common(common), "{common}");
        }
        assert!(!is_common("a long walk in the rain"));
    }
}
