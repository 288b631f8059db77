//! Reading variables: each with its default, its check, and what is wrong with it.
use secrecy::SecretString;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

/// The variables a start sees.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// Variables whose value is not text.
    unreadable: BTreeSet<String>,
}

impl Environment {
    /// The process's variables over those of `.env` in the working directory. A line of `.env` that does not parse is a
    /// fault, which does not repeat the line: there may be a secret in it.
    pub fn load() -> Result<Self, Vec<String>> {
        let mut this = Self::default();
        let mut faults = Vec::new();
        match std::fs::read_to_string(".env") {
            Ok(text) => {
                for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
                    match dotenvy::from_read_iter(line.as_bytes()).collect::<Result<Vec<_>, _>>() {
                        Ok(pairs) => this.variables.extend(pairs),
                        Err(_) => faults.push(format!(
                            ".env: line {number} is not NAME=value; a value with spaces or $ stands in single quotes"
                        )),
                    }
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => faults.push(format!(".env: {e}")),
        }
        #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
        let variables = std::env::vars_os();
        for (name, value) in variables {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => _ = this.variables.insert(name, value),
                Err(_) => _ = this.unreadable.insert(name),
            }
        }
        if faults.is_empty() { Ok(this) } else { Err(faults) }
    }

    /// Exactly these: for tests.
    pub fn of<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let variables =
            variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { variables, unreadable: BTreeSet::new() }
    }
}

/// A setting as `tenantry config` shows it.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// Its value; a secret is masked.
    pub shown: String,
    /// Whether it was set, or is the default.
    pub set: bool,
}

/// Reads variables and collects what is wrong with them.
pub(super) struct Reader<'e> {
    environment: &'e Environment,
    pub faults: Vec<String>,
    pub warnings: Vec<String>,
    pub settings: Vec<Setting>,
}

impl<'e> Reader<'e> {
    pub fn new(environment: &'e Environment) -> Self {
        Self { environment, faults: Vec::new(), warnings: Vec::new(), settings: Vec::new() }
    }

    /// A set and empty variable is as good as none.
    fn raw(&self, name: &str) -> Option<&'e str> {
        self.environment.variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    pub fn fault(&mut self, name: &str, why: impl fmt::Display) {
        self.faults.push(format!("{name}: {why}"));
    }

    fn show(&mut self, name: &'static str, shown: impl fmt::Display, set: bool) {
        for name in [name.to_owned(), format!("{name}_FILE")] {
            if self.environment.unreadable.contains(&name) {
                self.fault(&name, "is not valid UTF-8");
            }
        }
        self.settings.push(Setting { name, shown: shown.to_string(), set });
    }

    /// A variable read by `parse`, or the default.
    pub fn parsed<T: fmt::Display>(
        &mut self,
        name: &'static str,
        default: T,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let value = match self.raw(name).map(parse) {
            None => None,
            Some(Ok(value)) => Some(value),
            Some(Err(why)) => {
                self.fault(name, why);
                None
            }
        };
        let set = value.is_some();
        let value = value.unwrap_or(default);
        self.show(name, &value, set);
        value
    }

    /// A number from `least` to `most`.
    pub fn number<T: FromStr + PartialOrd + fmt::Display + Copy>(
        &mut self,
        name: &'static str,
        default: T,
        least: T,
        most: T,
    ) -> T {
        self.parsed(name, default, |text| match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(format!("must be a whole number from {least} to {most}, not {text:?}")),
        })
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &'static str, default: bool) -> bool {
        self.parsed(name, default, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(format!("must be true or false, not {text:?}")),
        })
    }

    /// Any text.
    pub fn text(&mut self, name: &'static str, default: &str) -> String {
        self.parsed(name, default.to_owned(), |text| Ok(text.to_owned()))
    }

    /// Comma-separated, or a JSON list of strings.
    pub fn list(&mut self, name: &'static str, default: &str) -> Vec<String> {
        let joined = self.parsed(name, default.to_owned(), |text| {
            if text.starts_with('[') {
                let list: Result<Vec<String>, _> = serde_json::from_str(text);
                list.map(|list| list.join(",")).map_err(|e| format!("is not a JSON list of strings: {e}"))
            } else {
                Ok(text.to_owned())
            }
        });
        joined.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// The secret in a file, without the end of its line; one that others can read is told.
    fn read(&mut self, name: &str, path: &str) -> Result<String, String> {
        let cannot = |e| format!("cannot read {path}: {e}");
        let value = std::fs::read_to_string(path).map_err(cannot)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(path).map_err(cannot)?.permissions().mode();
            if mode & 0o007 != 0 {
                self.warnings
                    .push(format!("{name}: {path} is open to everybody on this machine: chmod 0400"));
            }
        }
        Ok(value.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// A secret, from the variable, one of its other names, or the file that `…_FILE` names. Shown as set or not.
    pub fn secret(&mut self, name: &'static str, others: &[&'static str]) -> Option<SecretString> {
        let mut found = None;
        for name in std::iter::once(&name).chain(others) {
            let file = format!("{name}_FILE");
            let from_file = self.raw(&file).map(|path| self.read(&file, path));
            match (self.raw(name), from_file) {
                (Some(_), Some(_)) => self.fault(name, format!("set either {name} or {file}, not both")),
                (Some(value), None) => _ = found.get_or_insert(value.to_owned()),
                (None, Some(Ok(value))) => _ = found.get_or_insert(value),
                (None, Some(Err(why))) => self.fault(&file, why),
                (None, None) => {}
            }
        }
        self.show(name, if found.is_some() { "********" } else { "" }, found.is_some());
        found.map(SecretString::from)
    }

    /// A URL that may hold a password: shown without it.
    pub fn url(&mut self, name: &'static str) -> Option<String> {
        let file = format!("{name}_FILE");
        let value = match (self.raw(name), self.raw(&file)) {
            (Some(value), None) => Some(value.to_owned()),
            (Some(value), Some(_)) => {
                self.fault(name, format!("set either {name} or {file}, not both"));
                Some(value.to_owned())
            }
            (None, Some(path)) => match self.read(&file, path) {
                Ok(value) => Some(value.trim().to_owned()),
                Err(why) => {
                    self.fault(&file, why);
                    None
                }
            },
            (None, None) => None,
        };
        self.show(name, value.as_deref().map_or(String::new(), masked_url), value.is_some());
        value
    }
}

/// `postgres://user:********@host/database`; what is no URL is not shown at all.
fn masked_url(text: &str) -> String {
    const MASK: &str = "********";
    let Ok(mut url) = url::Url::parse(text) else { return MASK.to_owned() };
    if url.password().is_some() {
        let _ = url.set_password(Some(MASK));
    }
    if url.query().is_some() {
        let secret = |name: &str| name.to_ascii_lowercase().contains("password");
        let pairs =
            url.query_pairs().map(|(name, value)| (if secret(&name) { MASK.into() } else { value }, name));
        let pairs: Vec<_> = pairs.map(|(value, name)| format!("{name}={value}")).collect();
        url.set_query(Some(&pairs.join("&")));
    }
    url.to_string()
}
