//! Mail: where it goes.
use secrecy::SecretString;

/// What is done with mail.
#[derive(Clone, Debug)]
pub enum Mail {
    /// Nothing: tokens come back in answers.
    Off,
    /// It is shown in the log, as the demo does.
    Log,
    /// It is handed to a server.
    Smtp(SmtpSettings),
}

/// The server that takes mail.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    /// `SMTP_URL`.
    pub url: SecretString,
    /// `MAIL_FROM`.
    pub from: String,
}

impl Mail {
    /// Whether it reaches people, so that tokens need not come back in answers.
    pub fn reaches_people(&self) -> bool {
        matches!(self, Self::Smtp(_))
    }
}
