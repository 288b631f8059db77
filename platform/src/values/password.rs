//! Passwords as they are sent. They never show in `Debug` and are taken as they are: no trimming, no truncation.
use super::{At, Checked, Email, Faults, Input, Parse, Reference, string_schema};
use secrecy::{ExposeSecret, SecretString};
use utoipa::openapi::schema::{KnownFormat, SchemaFormat};

const SHORTEST: usize = 8;
const LONGEST: usize = 128;

/// What this is called.
const PRODUCT: &str = "tenantry";

/// bcrypt would end there, without a word.
const NUL: &str = "must not contain U+0000";

/// The most common passwords of at least eight characters, one a line, sorted. See `docs/common-passwords.md`.
const COMMON: &str = include_str!("common_passwords.txt");

/// A password to compare with the one that is known: any that could ever have been set.
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
}

/// A password must not hold the name in its person's address; one of up to three characters may well occur.
pub fn without_name(email: &Email, password: &NewPassword) -> Checked {
    let local = email.local_part();
    if local.chars().count() >= 4 && password.expose().to_lowercase().contains(local) {
        return Err(("password", "must not contain the name in your e-mail address".into()));
    }
    Ok(())
}

/// A password that is the tenant's or this product's name, with digits or signs around it, is guessed first of all.
pub fn other_than_names(tenant_slug: &str, password: &NewPassword) -> Checked {
    let letters = |text: &str| {
        let kept = text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect::<String>();
        kept.trim_matches(|c: char| c.is_ascii_digit()).to_owned()
    };
    let password = letters(password.expose());
    if !password.is_empty() && [tenant_slug, PRODUCT].iter().any(|name| letters(name) == password) {
        return Err(("password", "must be more than the name of the tenant or of this product".into()));
    }
    Ok(())
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
        let fault = if !(1..=LONGEST).contains(&text.chars().count()) {
            "must be 1 to 128 characters"
        } else if text.contains('\0') {
            NUL
        } else {
            return Some(Self(text.into_owned().into()));
        };
        faults.add(at, fault);
        None
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
            NUL
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
