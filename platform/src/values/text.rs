//! Text within limits. Lengths are counted in characters (Unicode scalar values), as a person would.
use super::{At, Faults, Input, Parse, Reference, string_schema};

fn length_fault(min: usize, max: usize, length: usize) -> Option<String> {
    if length > max {
        Some(format!("must be at most {max} characters, not {length}"))
    } else if length < min {
        Some(if min == 1 {
            "must not be empty".to_owned()
        } else {
            format!("must be at least {min} characters")
        })
    } else {
        None
    }
}

fn checked(
    text: &str,
    min: usize,
    max: usize,
    allowed: impl Fn(char) -> bool,
    at: &At<'_>,
    faults: &mut Faults,
) -> bool {
    let mut fine = true;
    if let Some(fault) = length_fault(min, max, text.chars().count()) {
        faults.add(at, fault);
        fine = false;
    }
    if text.chars().any(|c| c.is_control() && !allowed(c)) {
        faults.add(at, "must not contain control characters");
        fine = false;
    }
    fine
}

/// Without the spaces around it. A line break is no space: it is refused at the ends as it is in the middle.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() && !c.is_control())
}

fn schema(min: usize, max: usize) -> Reference {
    string_schema().min_length(Some(min)).max_length(Some(max)).into()
}

/// One line of `MIN` to `MAX` characters after trimming, such as a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<const MIN: usize, const MAX: usize>(String);

impl<const MIN: usize, const MAX: usize> Line<MIN, MAX> {
    /// The text.
    pub fn into_string(self) -> String {
        self.0
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> Parse for Line<MIN, MAX> {
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let text = input.string(at, faults)?;
        let text = trimmed(&text);
        checked(text, MIN, MAX, |_| false, at, faults).then(|| Self(text.to_owned()))
    }
    fn schema() -> Reference {
        schema(MIN, MAX)
    }
    fn example() -> serde_json::Value {
        "Example".chars().take(MAX).collect::<String>().into()
    }
}

/// One line of `MIN` to `MAX` characters kept as it is, such as another system's identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<const MIN: usize, const MAX: usize>(String);

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    /// The text, as it was sent.
    pub fn into_string(self) -> String {
        self.0
    }

    /// The text, as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> Parse for Text<MIN, MAX> {
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let text = input.string(at, faults)?;
        checked(&text, MIN, MAX, |_| false, at, faults).then(|| Self(text.into_owned()))
    }
    fn schema() -> Reference {
        schema(MIN, MAX)
    }
    fn example() -> serde_json::Value {
        "EX-1".chars().take(MAX).collect::<String>().into()
    }
}

/// Up to `MAX` characters over several lines: line breaks and tabs are the only control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines<const MAX: usize>(String);

impl<const MAX: usize> Lines<MAX> {
    /// The text, as it was sent.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl<const MAX: usize> Parse for Lines<MAX> {
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let text = input.string(at, faults)?;
        checked(&text, 0, MAX, |c| matches!(c, '\n' | '\r' | '\t'), at, faults)
            .then(|| Self(text.into_owned()))
    }
    fn schema() -> Reference {
        schema(0, MAX)
    }
    fn example() -> serde_json::Value {
        "Leave it at the door".into()
    }
}

/// A tenant's name in addresses and at sign-in: 3 to 63 of `a-z`, `0-9` and `-`, no `-` at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slug(String);

/// Names that would be taken for a part of the service.
const RESERVED: [&str; 32] = [
    "about",
    "account",
    "admin",
    "api",
    "app",
    "assets",
    "auth",
    "billing",
    "blog",
    "cdn",
    "dashboard",
    "docs",
    "ftp",
    "health",
    "help",
    "login",
    "mail",
    "metrics",
    "new",
    "null",
    "public",
    "register",
    "root",
    "settings",
    "signup",
    "smtp",
    "static",
    "status",
    "support",
    "system",
    "tenantry",
    "www",
];

impl Slug {
    const LONGEST: usize = 63;

    /// The slug, if it is one that may be taken.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let shaped = (3..=Self::LONGEST).contains(&text.len())
            && text.bytes().all(inner)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if !shaped {
            return Err(
                "must be 3 to 63 lower-case letters, digits and hyphens, with no hyphen at either end",
            );
        }
        if RESERVED.contains(&text) {
            return Err("reserved");
        }
        Ok(Self(text.to_owned()))
    }

    /// A slug made from a tenant's name. `suffix` tells it from one that is taken, and makes up for a name that gives
    /// too little.
    pub fn from_name(name: &str, suffix: Option<&str>) -> Self {
        let mut stem = String::new();
        for c in name.to_lowercase().chars() {
            if c.is_ascii_alphanumeric() {
                stem.push(c);
            } else if !stem.ends_with('-') && !stem.is_empty() {
                stem.push('-');
            }
        }
        let room = Self::LONGEST - suffix.map_or(0, |s| s.len() + 1);
        stem.truncate(room);
        let mut stem = stem.trim_end_matches('-').to_owned();
        if stem.len() < 3 || (suffix.is_none() && RESERVED.contains(&stem.as_str())) {
            stem = if stem.is_empty() { "tenant".to_owned() } else { format!("{stem}-team") };
        }
        match suffix {
            Some(suffix) => Self(format!("{stem}-{suffix}")),
            None => Self(stem),
        }
    }

    /// The slug.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Parse for Slug {
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let text = input.string(at, faults)?;
        Self::new(&text).map_err(|fault| faults.add(at, fault)).ok()
    }
    fn schema() -> Reference {
        string_schema()
            .min_length(Some(3))
            .max_length(Some(63))
            .pattern(Some("^[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])$"))
            .into()
    }
    fn example() -> serde_json::Value {
        "initech".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_from_names_are_always_slugs() {
        for name in
            ["Acme", "API", "ä", "", "x", "Ünïcödé & Sons", "-- a --", &"long name ".repeat(20), "日本"]
        {
            for suffix in [None, Some("0f3a9c")] {
                let slug = Slug::from_name(name, suffix);
                assert_eq!(Slug::new(slug.as_str()).as_ref(), Ok(&slug), "{name} {suffix:?}");
            }
        }
        assert_eq!(Slug::from_name("Acme, Inc.", None).as_str(), "acme-inc");
    }
}
