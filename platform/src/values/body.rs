//! Objects of known members. Unknown and repeated members are faults like any other.
use super::{At, Faults, Input, Parse};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// An object whose members are all known: a JSON body, an object within one, or the parameters of a query. Made by
/// [`body!`](crate::body).
pub trait Body: Sized {
    /// The names of its members, in the order of declaration.
    const MEMBERS: &'static [&'static str];

    /// Reads all members, so that all faults are found.
    fn from_object(object: Object<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self>;

    /// The members as parameters of a query: name, description, whether required, schema, example.
    fn parameters() -> Vec<(&'static str, String, bool, super::Reference, serde_json::Value)>;
}

/// How members are together; if wrong, the one to name and the words.
pub type Checked<T = ()> = Result<T, (&'static str, Cow<'static, str>)>;

/// The members that came, in the order of [`Body::MEMBERS`].
#[derive(Debug)]
pub struct Object<'a> {
    names: &'static [&'static str],
    values: Vec<Option<Input<'a>>>,
}

impl<'a> Object<'a> {
    /// Sorts what came by the members that are known; says which are unknown or repeated.
    pub fn sort<K: AsRef<str>>(
        members: impl IntoIterator<Item = (K, Input<'a>)>,
        names: &'static [&'static str],
        at: &At<'_>,
        faults: &mut Faults,
    ) -> Self {
        let mut values = vec![None; names.len()];
        for (name, value) in members {
            let name = name.as_ref();
            match names.iter().position(|known| *known == name) {
                None => faults.add(&at.member(&shortened(name)), "unknown"),
                Some(i) if values[i].is_some() => faults.add(&at.member(name), "given more than once"),
                Some(i) => values[i] = Some(value),
            }
        }
        Self { names, values }
    }

    /// The members of a JSON object.
    pub fn of_json(
        input: Input<'a>,
        names: &'static [&'static str],
        at: &At<'_>,
        faults: &mut Faults,
    ) -> Option<Self> {
        let Input::Json(raw) = input else { return None };
        let members = raw
            .get()
            .starts_with('{')
            .then(|| serde_json::Deserializer::from_str(raw.get()).deserialize_map(Members));
        match members {
            Some(Ok(members)) => Some(Self::sort(members, names, at, faults)),
            // a derived struct would take an array here, member by member
            None => {
                faults.add(
                    at,
                    if matches!(at.to_string().as_str(), "") {
                        "The body must be a JSON object"
                    } else {
                        "must be an object"
                    },
                );
                None
            }
            // the grammar was checked before: a member's name with a lone surrogate
            Some(Err(_)) => {
                faults.add(at, "a member's name is not valid Unicode");
                None
            }
        }
    }

    /// Reads the member at this index of [`Body::MEMBERS`].
    pub fn read<T: Parse>(&self, index: usize, at: &At<'_>, faults: &mut Faults) -> Option<T> {
        let at = at.member(self.names[index]);
        match self.values[index] {
            Some(input) => T::parse(input, &at, faults),
            None => T::absent(&at, faults),
        }
    }
}

/// An unknown name is told back, but not a whole screen of it.
fn shortened(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(64) {
        None => Cow::Borrowed(name),
        Some((end, _)) => Cow::Owned(format!("{}…", &name[..end])),
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, Input<'de>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            members.push((name, Input::Json(value)));
        }
        Ok(members)
    }
}

/// Declares what a client sends as a struct of [`Parse`] types, with its reading and its schema:
///
/// ```
/// tenantry::body! {
///     /// A note to keep.
///     pub struct CreateNote {
///         /// What it says; the documentation shows this example.
///         text: tenantry::values::Lines<500> = "Call Ada",
///         /// Where it belongs.
///         folder: Option<uuid::Uuid>,
///     }
/// }
/// ```
///
/// What members must be together is checked once each of them is right by itself, and told with the faults of the
/// others:
///
/// ```
/// use tenantry::values::Int;
/// tenantry::body! {
///     /// A range.
///     pub struct Range {
///         /// Where it begins.
///         from: Int<0, 9>,
///         /// Where it ends.
///         to: Int<0, 9>,
///     }
///     check in_order(from, to);
/// }
/// fn in_order(from: &Int<0, 9>, to: &Int<0, 9>) -> tenantry::values::Checked {
///     if from.get() <= to.get() { Ok(()) } else { Err(("to", "must not be before from".into())) }
/// }
/// ```
#[macro_export]
macro_rules! body {
    (@example $ty:ty) => { <$ty as $crate::values::Parse>::example() };
    (@example $ty:ty = $example:expr) => { $crate::reexport::serde_json::Value::from($example) };
    (
        $(#[doc = $doc:literal])* $vis:vis struct $name:ident {
            $($(#[doc = $fdoc:literal])* $field:ident : $ty:ty $(= $example:expr)?),* $(,)?
        }
        $(check $check:ident($($checked:ident),+);)?
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug)]
        $vis struct $name { $($(#[doc = $fdoc])* $vis $field: $ty),* }

        impl $crate::values::Body for $name {
            const MEMBERS: &'static [&'static str] = &[$(stringify!($field)),*];

            fn from_object(object: $crate::values::Object<'_>, at: &$crate::values::At<'_>, faults: &mut $crate::values::Faults) -> Option<Self> {
                let mut index = 0..;
                $(let $field = object.read::<$ty>(index.next().unwrap_or_default(), at, faults);)*
                $(
                    if let ($(Some($checked),)+) = ($(&$checked,)+)
                        && let Err((field, message)) = $check($($checked),+)
                    {
                        faults.add(&at.member(field), message);
                        return None;
                    }
                )?
                Some(Self { $($field: $field?),* })
            }

            fn parameters() -> Vec<(&'static str, String, bool, $crate::values::Reference, $crate::reexport::serde_json::Value)> {
                vec![$((
                    stringify!($field),
                    concat!($($fdoc, "\n"),*).trim().to_owned(),
                    <$ty as $crate::values::Parse>::REQUIRED,
                    <$ty as $crate::values::Parse>::schema(),
                    $crate::body!(@example $ty $(= $example)?),
                )),*]
            }
        }

        impl $crate::values::Parse for $name {
            fn parse(input: $crate::values::Input<'_>, at: &$crate::values::At<'_>, faults: &mut $crate::values::Faults) -> Option<Self> {
                use $crate::values::Body;
                let object = $crate::values::Object::of_json(input, Self::MEMBERS, at, faults)?;
                Self::from_object(object, at, faults)
            }
            fn schema() -> $crate::values::Reference {
                $crate::values::object_schema::<Self>(concat!($($doc, "\n"),*))
            }
            fn example() -> $crate::reexport::serde_json::Value {
                $crate::reexport::serde_json::Value::Object(
                    [$((stringify!($field).to_owned(), $crate::body!(@example $ty $(= $example)?))),*].into_iter().collect(),
                )
            }
        }
    };
}

/// The schema of a body: all members, which are required, and nothing else.
#[doc(hidden)]
pub fn object_schema<T: Body>(description: &str) -> super::Reference {
    use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, SchemaType, Type};
    let mut object = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Object))
        .description(Some(description.trim()))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    for (name, description, required, schema, _) in T::parameters() {
        object = object.property(name, super::parse::described(schema, description));
        if required {
            object = object.required(name);
        }
    }
    object.into()
}
