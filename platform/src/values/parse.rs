//! How a value is read: [`Input`] is what came, [`At`] where it stood, [`Faults`] what is wrong so far. Reading goes on
//! after a fault, so that a client is told all of them at once.
use crate::error::{Error, Fault};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};
use utoipa::openapi::{
    ObjectBuilder, RefOr,
    schema::{ArrayBuilder, Schema, SchemaType, Type},
};
use uuid::Uuid;

/// A schema or a reference to one, as the OpenAPI document holds it.
pub type Reference = RefOr<Schema>;

/// A value that a client can send. Implementations add a fault for each thing that is wrong and answer `None`.
pub trait Parse: Sized {
    /// Whether leaving it out is a fault.
    const REQUIRED: bool = true;

    /// Reads it, or says what is wrong with it.
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self>;

    /// What it is when it was left out.
    fn absent(at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        faults.add(at, "required");
        None
    }

    /// Its schema with all limits that [`parse`](Self::parse) enforces.
    fn schema() -> Reference;

    /// A valid value, for the documentation and for the tests that walk it.
    fn example() -> serde_json::Value;
}

/// What a client sent for one value: a JSON text not yet looked into, or the text of a query parameter.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A member of a JSON body. Kept as text: a number is never turned into binary floating point.
    Json(&'a RawValue),
    /// A query parameter.
    Text(&'a str),
}

impl<'a> Input<'a> {
    /// The value as text.
    pub fn string(self, at: &At<'_>, faults: &mut Faults) -> Option<Cow<'a, str>> {
        let raw = match self {
            Self::Text(text) => return Some(Cow::Borrowed(text)),
            Self::Json(raw) => raw.get(),
        };
        if !raw.starts_with('"') {
            faults.add(at, "must be a string");
            return None;
        }
        // The grammar was checked when the body was split into members; what can still fail is a lone surrogate.
        match serde_json::from_str::<String>(raw) {
            Ok(text) => Some(Cow::Owned(text)),
            Err(_) => {
                faults.add(at, "not valid Unicode");
                None
            }
        }
    }

    /// The text of a number, as it was sent.
    pub fn number(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Json(raw) => Some(raw.get())
                .filter(|text| text.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])),
        }
    }

    /// Whether it is JSON's `null`.
    pub fn is_null(self) -> bool {
        matches!(self, Self::Json(raw) if raw.get() == "null")
    }

    /// The elements of an array.
    pub(crate) fn array(self, at: &At<'_>, faults: &mut Faults) -> Option<Vec<&'a RawValue>> {
        let elements = match self {
            Self::Json(raw) if raw.get().starts_with('[') => serde_json::from_str(raw.get()).ok(),
            _ => None,
        };
        if elements.is_none() {
            faults.add(at, "must be an array");
        }
        elements
    }
}

/// Where a value stands: a path that costs nothing until it is written down.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Member(&'a str),
    Element(usize),
}

impl At<'static> {
    /// The body itself.
    pub const ROOT: Self = At { parent: None, step: Step::Root };
}

impl<'a> At<'a> {
    /// A member of this object.
    pub fn member(&'a self, name: &'a str) -> At<'a> {
        At { parent: Some(self), step: Step::Member(name) }
    }

    /// An element of this array, counted from 0.
    pub fn element(&'a self, index: usize) -> At<'a> {
        At { parent: Some(self), step: Step::Element(index) }
    }

    fn is_root(&self) -> bool {
        matches!(self.step, Step::Root)
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
            if !parent.is_root() && matches!(self.step, Step::Member(_)) {
                f.write_str(".")?;
            }
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Member(name) => f.write_str(name),
            Step::Element(index) => write!(f, "[{index}]"),
        }
    }
}

/// All that is wrong with a request so far.
#[derive(Debug, Default)]
pub struct Faults {
    fields: Vec<Fault>,
    whole: Option<Cow<'static, str>>,
}

/// More than this many are not told: a hostile body must not make a large answer. An honest one has no more members.
const MOST: usize = 256;

impl Faults {
    /// Notes a fault of the value at this place.
    pub fn add(&mut self, at: &At<'_>, message: impl Into<Cow<'static, str>>) {
        if at.is_root() {
            self.whole.get_or_insert(message.into());
        } else if self.fields.len() < MOST {
            self.fields.push(Fault { field: at.to_string(), message: message.into() });
        }
    }

    /// The value if nothing is wrong, else the error that names every fault.
    pub fn check<T>(self, value: Option<T>) -> Result<T, Error> {
        match (value, self.whole) {
            (Some(value), None) if self.fields.is_empty() => Ok(value),
            (_, Some(whole)) => Err(Error::new(crate::error::Code::ValidationError, whole)),
            _ => Err(Error::validation(self.fields)),
        }
    }
}

/// Left out or `null`: none.
impl<T: Parse> Parse for Option<T> {
    const REQUIRED: bool = false;

    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        if input.is_null() { Some(None) } else { T::parse(input, at, faults).map(Some) }
    }
    fn absent(_: &At<'_>, _: &mut Faults) -> Option<Self> {
        Some(None)
    }
    fn schema() -> Reference {
        T::schema()
    }
    fn example() -> serde_json::Value {
        T::example()
    }
}

/// Any UUID in its canonical form (RFC 9562, lower case); whether there is such a row, the database knows.
impl Parse for Uuid {
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let text = input.string(at, faults)?;
        let id = Uuid::try_parse(&text).ok().filter(|id| id.as_hyphenated().to_string() == *text);
        if id.is_none() {
            faults.add(at, "not a UUID in lower-case hyphenated form");
        }
        id
    }
    fn schema() -> Reference {
        let format = utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::Uuid);
        string_schema().format(Some(format)).into()
    }
    fn example() -> serde_json::Value {
        "0192f0c1-2a3b-7c4d-8e5f-6a7b8c9d0e1f".into()
    }
}

impl Parse for bool {
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let text = match input {
            Input::Json(raw) => raw.get(),
            Input::Text(text) => text,
        };
        let value = text.parse().ok();
        if value.is_none() {
            faults.add(at, "must be true or false");
        }
        value
    }
    fn schema() -> Reference {
        ObjectBuilder::new().schema_type(SchemaType::Type(Type::Boolean)).into()
    }
    fn example() -> serde_json::Value {
        true.into()
    }
}

/// An array of `MIN` to `MAX` values.
#[derive(Clone, Debug)]
pub struct List<T, const MIN: usize, const MAX: usize>(Vec<T>);

impl<T, const MIN: usize, const MAX: usize> List<T, MIN, MAX> {
    /// The values, in the order given.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// The values, in the order given.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T: Parse, const MIN: usize, const MAX: usize> Parse for List<T, MIN, MAX> {
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        let elements = input.array(at, faults)?;
        if !(MIN..=MAX).contains(&elements.len()) {
            faults.add(at, format!("must have {MIN} to {MAX} entries, not {}", elements.len()));
            return None;
        }
        let mut values = Vec::with_capacity(elements.len());
        for (i, element) in elements.iter().enumerate() {
            values.extend(T::parse(Input::Json(element), &at.element(i), faults));
        }
        (values.len() == elements.len()).then_some(Self(values))
    }
    fn schema() -> Reference {
        ArrayBuilder::new().items(T::schema()).min_items(Some(MIN)).max_items(Some(MAX)).into()
    }
    fn example() -> serde_json::Value {
        vec![T::example()].into()
    }
}

/// A schema of type string, to be narrowed.
pub fn string_schema() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String))
}

/// A schema with the words that describe this use of it.
pub(crate) fn described(schema: Reference, description: String) -> Reference {
    let words = Some(description).filter(|words| !words.is_empty());
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            object.description = words.or(object.description);
            object.into()
        }
        RefOr::T(Schema::Array(mut array)) => {
            array.description = words.or(array.description);
            array.into()
        }
        RefOr::T(Schema::OneOf(mut one)) => {
            one.description =
                [words, one.description].into_iter().flatten().reduce(|a, b| format!("{a} {b}."));
            Schema::OneOf(one).into()
        }
        other => other,
    }
}
