//! Where mail goes.
use super::reader::Reader;
use crate::infra::mail::{Mail, SmtpServer};

pub(super) fn mail(r: &mut Reader<'_>, demo: bool) -> Mail {
    let url = r.secret("SMTP_URL", &[]);
    let from = r.text("MAIL_FROM", "");
    match url {
        Some(_) if from.is_empty() => {
            r.fault("MAIL_FROM", "required with SMTP_URL: the address that mail comes from");
            Mail::Off
        }
        Some(url) => match SmtpServer::new(&url, &from) {
            Ok(server) => Mail::Smtp(Box::new(server)),
            Err((name, why)) => {
                r.fault(name, why);
                Mail::Off
            }
        },
        None if demo => Mail::Log,
        None => Mail::Off,
    }
}
