//! A JSON body, read whole and checked whole.
use super::describe::{DescribeInput, Doc};
use crate::{
    core::Core,
    error::{Code, Error, Result},
    values::{At, Body as Members, Faults, Input, Parse},
};
use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::{FromRequest, Request},
    http::{
        HeaderMap, HeaderValue,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::value::RawValue;

/// A JSON object as a [`body!`](crate::body) type. Refused are other media types (415), what is too large (413), what
/// does not parse (400), and wrong values, all of them at once (422).
pub struct Json<T>(pub T);

impl<T: Members + Parse> FromRequest<Core> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, core: &Core) -> Result<Self> {
        media_type(request.headers())?;
        let bytes = read(request.into_body(), core.settings.max_body_bytes).await?;
        parse(&bytes).map(Self)
    }
}

pub(super) fn media_type(headers: &HeaderMap) -> Result<()> {
    let refused = |why: &'static str| Err(Error::new(Code::UnsupportedMediaType, why));
    let header = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = header.split(';').map(str::trim);
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return refused("Send JSON with Content-Type: application/json");
    }
    let charset = parts.find_map(|part| {
        part.to_ascii_lowercase().strip_prefix("charset=").map(|c| c.trim_matches('"').to_owned())
    });
    if charset.is_some_and(|charset| charset != "utf-8") {
        return refused("Send JSON in UTF-8");
    }
    let plain = |encoding: &HeaderValue| encoding.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(plain) {
        return refused("Send the body uncompressed");
    }
    Ok(())
}

/// The body's bytes as they come, up to so many.
pub(super) async fn read(body: Body, limit: usize) -> Result<Bytes> {
    let too_large = || Error::new(Code::PayloadTooLarge, format!("The body is larger than {limit} bytes"));
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large()); // before it is sent, where its length is told
    }
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => Err(too_large()),
        Err(e) => Err(Error::new(Code::BadRequest, "The body ended before it was complete").caused_by(e)),
    }
}

pub(super) fn parse<T: Parse>(bytes: &[u8]) -> Result<T> {
    let unparsable =
        |e: serde_json::Error| Error::new(Code::BadRequest, format!("The body is not valid JSON: {e}"));
    let raw: &RawValue = serde_json::from_slice(bytes).map_err(unparsable)?;
    let mut faults = Faults::default();
    let value = T::parse(Input::Json(raw), &At::ROOT, &mut faults);
    faults.check(value)
}

impl<T: Members + Parse> DescribeInput for Json<T> {
    fn describe(doc: &mut Doc) {
        doc.takes_body(T::schema(), T::example());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{Int, Line, List};

    crate::body! {
        /// A part.
        pub struct Part {
            /// Its name.
            name: Line<1, 5>,
            /// How many.
            count: Int<1, 9>,
        }
    }
    crate::body! {
        /// A whole.
        pub struct Whole {
            /// Its parts.
            parts: List<Part, 1, 3>,
            /// Words.
            note: Option<Line<0, 9>>,
        }
    }

    #[test]
    fn what_is_right_is_read() {
        let whole = parse::<Whole>(br#" {"note":null,"parts":[{"count":9,"name":" ab "}]} "#).unwrap();
        let parts = whole.parts.into_vec();
        assert_eq!((parts[0].name.as_str(), parts[0].count.get(), whole.note.is_none()), ("ab", 9, true));
    }

    fn refusal(body: &str) -> (Code, Vec<String>) {
        let error = parse::<Whole>(body.as_bytes()).unwrap_err();
        (error.code(), error.details().iter().map(|f| f.field.clone()).collect())
    }

    #[test]
    fn all_faults_at_once_with_their_paths() {
        let body = r#"{"parts": [{"name": "ok", "count": 0}, {"name": 7, "count": 1.5, "x": 1}, 3], "note": "\ud800", "y": {}, "note": ""}"#;
        assert_eq!(
            refusal(body),
            (
                Code::ValidationError,
                [
                    "y",
                    "note",
                    "parts[0].count",
                    "parts[1].x",
                    "parts[1].name",
                    "parts[1].count",
                    "parts[2]",
                    "note"
                ]
                .map(str::to_owned)
                .to_vec()
            )
        );
    }

    #[test]
    fn what_is_no_object() {
        for body in ["[]", "1", "\"x\"", "null", "true", r#"[[{"name":"a","count":1}]]"#] {
            assert_eq!(refusal(body), (Code::ValidationError, vec![]), "{body}");
        }
        for body in ["", "{", "{]", "{}{}", "nul", "{\"a\":\"\u{1}\"}", "{\"a\":01}", "{'a':1}", "{\"a\":1,}"]
        {
            assert_eq!(refusal(body).0, Code::BadRequest, "{body}");
        }
        assert_eq!(parse::<Whole>(b"{\"note\":\"\xff\"}").unwrap_err().code(), Code::BadRequest);
        let deep = format!("{{\"parts\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(refusal(&deep), (Code::ValidationError, vec!["parts[0]".to_owned()]));
        let deep = format!("{{\"z\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(refusal(&deep).1, ["z", "parts"]);
    }

    #[test]
    fn whole_numbers_only() {
        for count in ["0", "-1", "1.5", "1.0", "1e0", "9223372036854775808", "\"1\"", "null", "1e400", "[1]"]
        {
            let body = format!(r#"{{"parts":[{{"name":"a","count":{count}}}]}}"#);
            assert_eq!(refusal(&body), (Code::ValidationError, vec!["parts[0].count".to_owned()]), "{count}");
        }
    }
}
