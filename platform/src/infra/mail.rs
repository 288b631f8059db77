//! Mail: where it goes, and how a message is put together. What is in it belongs to the domains.
use super::jobs::Failure;
use crate::data::is_loopback;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, MultiPart},
    transport::smtp,
};
use secrecy::{ExposeSecret, SecretString};
use std::{fmt, time::Duration};
use url::Url;
use uuid::Uuid;

/// How long the server may take for each step.
const STEP: Duration = Duration::from_secs(10);

/// What is done with mail.
#[derive(Clone, Debug)]
pub enum Mail {
    /// Nothing: tokens come back in answers.
    Off,
    /// It is shown in the log, as the demo does.
    Log,
    /// It is handed to a server.
    Smtp(Box<SmtpServer>),
}

/// The server that takes mail.
#[derive(Clone)]
pub struct SmtpServer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl fmt::Debug for SmtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpServer").field("from", &self.from.email).finish_non_exhaustive()
    }
}

impl SmtpServer {
    /// `SMTP_URL` and `MAIL_FROM`; what is wrong with them comes with the variable's name and without its value.
    ///
    /// `smtps://` is TLS from the start. `smtp://` demands STARTTLS where it has a password and the host is not
    /// loopback; without a password it is used where it is offered. `?tls=none|opportunistic|required` says otherwise.
    pub fn new(url: &SecretString, from: &str) -> Result<Self, (&'static str, String)> {
        let wrong = |why: String| ("SMTP_URL", why);
        let form = "must be smtp://user:password@host:port or smtps://user:password@host:port";
        let mut parsed = Url::parse(url.expose_secret()).map_err(|_| wrong(form.to_owned()))?;
        if !matches!(parsed.scheme(), "smtp" | "smtps") || parsed.host_str().is_none_or(str::is_empty) {
            return Err(wrong(form.to_owned()));
        }
        let stated =
            parsed.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value.into_owned());
        let has_password = parsed.password().is_some();
        match (parsed.scheme(), stated.as_deref()) {
            ("smtp", None) if !parsed.host_str().is_some_and(is_loopback) => {
                parsed.set_query(Some(if has_password { "tls=required" } else { "tls=opportunistic" }));
            }
            ("smtp", Some("none")) => parsed.set_query(None),
            _ => {}
        }
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(parsed.as_str());
        let builder = builder
            .map_err(|_| wrong(format!("{form}, with ?tls=none, opportunistic or required at most")))?;
        let from = from.parse().map_err(|_| {
            (
                "MAIL_FROM",
                "must be an address such as no-reply@example.com or Example <no-reply@example.com>"
                    .to_owned(),
            )
        })?;
        Ok(Self { transport: builder.timeout(Some(STEP)).build(), from })
    }
}

/// A mail to one person.
pub struct Letter {
    /// Their name.
    pub name: String,
    /// Their address.
    pub address: String,
    /// One line.
    pub subject: String,
    /// For those who read text.
    pub text: String,
    /// The same as a page.
    pub html: String,
}

impl Mail {
    /// Whether it reaches people, so that tokens need not come back in answers.
    pub fn reaches_people(&self) -> bool {
        matches!(self, Self::Smtp(_))
    }

    /// Whether anything is done with it.
    pub fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }

    /// Hands it on. `id` becomes its Message-ID: the same mail sent again can be told by it.
    pub async fn send(&self, id: Uuid, letter: Letter) -> Result<(), Failure> {
        match self {
            Self::Off => Err(Failure::Permanent("no mailer is configured: set SMTP_URL".to_owned())),
            Self::Log => {
                let Letter { address, subject, text, .. } = letter;
                tracing::info!("a mail to {address}: {subject}\n\n{text}");
                Ok(())
            }
            Self::Smtp(server) => {
                let message = message(&server.from, id, letter)?;
                server.transport.send(message).await.map(drop).map_err(|error| failure(&error))
            }
        }
    }
}

fn message(from: &Mailbox, id: Uuid, letter: Letter) -> Result<Message, Failure> {
    let address = letter.address.parse().map_err(|_| Failure::Permanent("no address for mail".to_owned()))?;
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(Some(one_line(&letter.name)), address))
        .subject(one_line(&letter.subject))
        .message_id(Some(format!("<{id}@{}>", from.email.domain())))
        .multipart(MultiPart::alternative_plain_html(letter.text, letter.html))
        .map_err(|_| Failure::Permanent("a mail could not be put together".to_owned()))
}

/// Replies that say that something is wrong between us and the server (RFC 5321, RFC 4954), not with the recipient.
const NOT_THE_RECIPIENT: [&str; 9] = ["500", "502", "503", "504", "521", "530", "534", "535", "538"];

/// What the server said beside its code may name people, so the code alone is kept.
fn failure(error: &smtp::Error) -> Failure {
    match error.status().map(|code| code.to_string()) {
        Some(code) if error.is_permanent() && !NOT_THE_RECIPIENT.contains(&code.as_str()) => {
            Failure::Permanent(format!("the mail server refused the mail: {code}"))
        }
        Some(code) => Failure::Passing(format!("the mail server did not take the mail: {code}")),
        None if error.is_timeout() => Failure::Passing("the mail server did not answer in time".to_owned()),
        None => Failure::Passing("the mail server is out of reach".to_owned()),
    }
}

/// What people call themselves must not begin another header.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Puts values into a template in the places of `{{name}}`. A value is not looked into again.
pub fn fill(template: &str, values: &[(&str, &str)]) -> String {
    fill_with(template, values, one_line)
}

/// The same for a page: nothing in a value is markup.
pub fn fill_html(template: &str, values: &[(&str, &str)]) -> String {
    fill_with(template, values, |value| {
        let mut escaped = String::with_capacity(value.len());
        for c in one_line(value).chars() {
            match c {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                '\'' => escaped.push_str("&#39;"),
                c => escaped.push(c),
            }
        }
        escaped
    })
}

fn fill_with(template: &str, values: &[(&str, &str)], form: impl Fn(&str) -> String) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        let Some((name, behind)) = after.split_once("}}") else { break };
        let value = values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        filled.push_str(&form(value));
        rest = behind;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_call_themselves_is_neither_markup_nor_a_template_nor_a_header() {
        let values = [("name", "<b>\"{{link}}\"</b>\r\nBcc: x"), ("link", "https://a.test/?a&b")];
        assert_eq!(
            fill_html("<p>{{name}} {{link}}</p>", &values),
            "<p>&lt;b&gt;&quot;{{link}}&quot;&lt;/b&gt;  Bcc: x https://a.test/?a&amp;b</p>"
        );
        assert_eq!(fill("{{name}}.", &values), "<b>\"{{link}}\"</b>  Bcc: x.");
        let letter = Letter {
            name: "Eve\r\nBcc: all@acme.test".to_owned(),
            address: "eve@acme.test".to_owned(),
            subject: "Hello\nBcc: all@acme.test".to_owned(),
            text: "text".to_owned(),
            html: "html".to_owned(),
        };
        let from = "Us <us@acme.test>".parse().unwrap();
        let sent = message(&from, Uuid::nil(), letter).unwrap().formatted();
        assert!(!String::from_utf8(sent).unwrap().to_lowercase().contains("\nbcc"));
    }

    #[test]
    fn a_wrong_setting_is_named_without_its_secret() {
        for (url, from, named) in [
            ("http://user:hunter2@mail.test", "us@acme.test", "SMTP_URL"),
            ("hunter2", "us@acme.test", "SMTP_URL"),
            ("smtp://", "us@acme.test", "SMTP_URL"),
            ("smtp://user:hunter2@mail.test?tls=maybe", "us@acme.test", "SMTP_URL"),
            ("smtp://127.0.0.1:25", "nobody", "MAIL_FROM"),
            ("smtp://127.0.0.1:25", "us@acme.test\r\nBcc: x@acme.test", "MAIL_FROM"),
        ] {
            let (name, why) = SmtpServer::new(&SecretString::from(url), from).unwrap_err();
            assert_eq!(name, named, "{url} {from}");
            assert!(!why.contains("hunter2"));
        }
        SmtpServer::new(&SecretString::from("smtp://127.0.0.1:2525"), "Us <us@acme.test>").unwrap();
    }
}
