//! Where Stripe sends people back to: to pages of ours and to no others, or the API would lend its name to a stranger's
//! page.
use super::{OpenPortal, StartCheckout};
use crate::{
    error::{Error, Fault, Result},
    values::Text,
};
use url::Url;

/// What Stripe puts the session's identifier in the place of.
const SESSION_ID: &str = "{CHECKOUT_SESSION_ID}";

/// The origins that pages of ours are on, and where the product's own page is.
pub struct Redirects<'a> {
    allowed_origins: &'a [String],
    public_url: &'a str,
}

type Given = Option<Text<1, 2000>>;

impl<'a> Redirects<'a> {
    /// `ALLOWED_ORIGINS`, and that of `PUBLIC_URL`.
    pub fn new(allowed_origins: &'a [String], public_url: &'a str) -> Self {
        Self { allowed_origins, public_url }
    }

    /// Where those who have paid and those who have not are sent.
    pub fn of_checkout(&self, body: &StartCheckout) -> Result<(String, String)> {
        let mut faults = Vec::new();
        let paid = format!("/billing?checkout=success&session_id={SESSION_ID}");
        let success = self.checked("success_url", &body.success_url, &paid, &mut faults);
        let cancel = self.checked("cancel_url", &body.cancel_url, "/billing?checkout=cancelled", &mut faults);
        if faults.is_empty() { Ok((success, cancel)) } else { Err(Error::validation(faults)) }
    }

    /// Where those who are done with the portal are sent.
    pub fn of_portal(&self, body: &OpenPortal) -> Result<String> {
        let mut faults = Vec::new();
        let back = self.checked("return_url", &body.return_url, "/billing", &mut faults);
        if faults.is_empty() { Ok(back) } else { Err(Error::validation(faults)) }
    }

    /// In its normal form, so that nobody can read it otherwise than it was read here.
    fn checked(&self, field: &str, given: &Given, default: &str, faults: &mut Vec<Fault>) -> String {
        let Some(given) = given else { return format!("{}{default}", self.public_url) };
        match Url::parse(given.as_str()) {
            Ok(url) if self.allows(&url) => url.as_str().replace("%7BCHECKOUT_SESSION_ID%7D", SESSION_ID),
            _ => {
                let message = "must be a page on one of ALLOWED_ORIGINS or on PUBLIC_URL's origin";
                faults.push(Fault { field: field.to_owned(), message: message.into() });
                String::new()
            }
        }
    }

    fn allows(&self, url: &Url) -> bool {
        let origin = url.origin();
        let own = Url::parse(self.public_url).is_ok_and(|own| own.origin() == origin);
        let listed = self.allowed_origins.iter().any(|allowed| *allowed == origin.ascii_serialization());
        let anonymous = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && anonymous && (own || listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirected(url: &str) -> Option<String> {
        let origins = ["https://app.example.com".to_owned(), "http://localhost:3000".to_owned()];
        let redirects = Redirects::new(&origins, "https://www.example.com/saas");
        let quoted = serde_json::to_string(url).unwrap();
        let raw: Box<serde_json::value::RawValue> = serde_json::from_str(&quoted).unwrap();
        let mut found = crate::values::Faults::default();
        let at = &crate::values::At::ROOT;
        let given = <Given as crate::values::Parse>::parse(crate::values::Input::Json(&raw), at, &mut found)?;
        let mut faults = Vec::new();
        let url = redirects.checked("return_url", &given, "/billing", &mut faults);
        faults.is_empty().then_some(url)
    }

    #[test]
    fn pages_of_ours_are_taken() {
        for (url, sent) in [
            ("https://app.example.com/done", "https://app.example.com/done"),
            ("HTTPS://APP.example.com:443", "https://app.example.com/"),
            ("http://localhost:3000/a?b=c#d", "http://localhost:3000/a?b=c#d"),
            ("https://www.example.com/elsewhere", "https://www.example.com/elsewhere"),
            (
                "https://app.example.com/?s={CHECKOUT_SESSION_ID}",
                "https://app.example.com/?s={CHECKOUT_SESSION_ID}",
            ),
            (
                "https://app.example.com/{CHECKOUT_SESSION_ID}",
                "https://app.example.com/{CHECKOUT_SESSION_ID}",
            ),
            ("https://app.example.com\\@evil.test/", "https://app.example.com/@evil.test/"),
        ] {
            assert_eq!(redirected(url).as_deref(), Some(sent), "{url}");
        }
        let redirects = Redirects::new(&[], "https://www.example.com/saas");
        let body = OpenPortal { return_url: None };
        assert_eq!(redirects.of_portal(&body).unwrap(), "https://www.example.com/saas/billing");
    }

    #[test]
    fn pages_of_others_are_not() {
        for url in [
            "https://evil.test/",
            "https://app.example.com.evil.test/",
            "https://evil.test/https://app.example.com/",
            "https://app.example.com@evil.test/",
            "https://user:word@app.example.com/",
            "http://app.example.com/",
            "https://app.example.com:8443/",
            "http://localhost/",
            "//app.example.com/",
            "/billing",
            "app.example.com",
            "javascript:alert(1)//https://app.example.com",
            "data:text/html,x",
            "blob:https://app.example.com/x",
            "https://",
            "https://app.example.com\u{7}/",
            "https://app.exa\tmple.com/",
        ] {
            assert_eq!(redirected(url), None, "{url}");
        }
    }
}
