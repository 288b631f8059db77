//! E-mail addresses in one normal form.
use super::{At, Faults, Input, Parse, Reference, string_schema, text::trimmed};
use unicode_normalization::UnicodeNormalization;
use utoipa::openapi::schema::{KnownFormat, SchemaFormat};

/// An e-mail address in the form in which it is stored and compared: trimmed, lower-cased, the domain as A-labels
/// (RFC 5890). Two addresses that look alike are one or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

/// RFC 5321, 4.5.3.1.
const LONGEST_LOCAL: usize = 64;
const LONGEST: usize = 254;

impl Email {
    /// The normal form, if this is an address.
    pub fn new(text: &str) -> Option<Self> {
        let (local, domain) = trimmed(text).rsplit_once('@')?;
        let local = local.to_lowercase();
        // a look-alike: `ﬁ` for `fi`, full-width letters, `K` (Kelvin) for `k`
        let steady = local.nfkc().collect::<String>().to_lowercase() == local;
        let plain = |c: char| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(c);
        let dotted = local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(plain));
        let domain = idna::domain_to_ascii_strict(domain).ok()?;
        let hosted =
            domain.contains('.') && !domain.ends_with('.') && domain.parse::<std::net::Ipv4Addr>().is_err();
        let address = format!("{local}@{domain}");
        let fits = local.len() <= LONGEST_LOCAL && address.len() <= LONGEST;
        (steady && dotted && hosted && fits).then_some(Self(address))
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address.
    pub fn into_string(self) -> String {
        self.0
    }

    /// What stands before the `@`.
    pub fn local_part(&self) -> &str {
        self.0.rsplit_once('@').map_or(&self.0, |(local, _)| local)
    }
}

impl Parse for Email {
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let text = input.string(at, faults)?;
        let email = Self::new(&text);
        if email.is_none() {
            faults.add(at, "not an e-mail address");
        }
        email
    }
    fn schema() -> Reference {
        let format = SchemaFormat::KnownFormat(KnownFormat::Email);
        string_schema().format(Some(format)).max_length(Some(LONGEST)).into()
    }
    fn example() -> serde_json::Value {
        "ada@initech.test".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_normal_form() {
        for (text, normal) in [
            (" Ada@Acme.Test ", "ada@acme.test"),
            ("ada+x.y@acme.test", "ada+x.y@acme.test"),
            ("jürgen@bücher.example", "jürgen@xn--bcher-kva.example"),
            ("o'neil@acme.test", "o'neil@acme.test"),
        ] {
            assert_eq!(Email::new(text).unwrap().as_str(), normal);
        }
        for text in [
            "",
            "@",
            "ada",
            "ada@",
            "@acme.test",
            "ada@acme",
            "a b@acme.test",
            "a..b@acme.test",
            ".a@acme.test",
            "a@acme.test.",
            "a@-acme.test",
            "a@127.0.0.1",
            "a@b@acme.test",
            "ad\0a@acme.test",
            "\nada@acme.test",
            "ada@acme.test\r\n",
            "ａda@acme.test",
            "ﬁn@acme.test",
            "a\u{200b}da@acme.test",
            "\"a\"@acme.test",
            "a@acme_x.test",
            &format!("{}@acme.test", "a".repeat(65)),
            &format!("a@{}.test", "b.".repeat(130)),
        ] {
            assert_eq!(Email::new(text), None, "{text:?}");
        }
    }
}
