//! What a head has to be beyond what the parser sees to.
use crate::error::{Code, Error};
use axum::{
    extract::Request,
    http::{Method, Version, header::HOST},
};

/// The longest target of a request, in bytes.
const LONGEST_TARGET: usize = 8 * 1024;
/// The largest head, in bytes, its first line included.
pub(super) const LARGEST: usize = 32 * 1024;

/// Why it is not for the service.
pub(super) fn fault(request: &Request) -> Option<Error> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > LONGEST_TARGET {
        let why = format!("The address is longer than {LONGEST_TARGET} bytes");
        return Some(Error::new(Code::UriTooLong, why));
    }
    // RFC 9112, section 3.2: a name without a scheme is for tunnels alone, and an asterisk for one method
    let form_fits = match request.uri().path() {
        "" => request.method() == Method::CONNECT,
        "*" => request.method() == Method::OPTIONS,
        path => path.starts_with('/'),
    };
    if !form_fits {
        return Some(Error::new(Code::BadRequest, "The address is not one that can be asked for"));
    }
    let hosts = request.headers().get_all(HOST).iter().count();
    // RFC 9112, section 3.2: two could be read as one or as the other
    let fits = if request.version() == Version::HTTP_11 { hosts == 1 } else { hosts <= 1 };
    (!fits).then(|| Error::new(Code::BadRequest, "Send exactly one Host header"))
}

/// The same for what the parser refused.
pub(super) fn refused(code: Code) -> Error {
    match code {
        Code::HeadersTooLarge => {
            Error::new(code, format!("The headers are more than 100, or larger than {LARGEST} bytes"))
        }
        Code::UriTooLong => Error::new(code, "The address is too long"),
        _ => Error::new(code, "This is not a valid HTTP request"),
    }
}
