//! Types that cannot hold an invalid value, and how they are read from what a client sends: JSON members and query
//! parameters. A body is a struct of such types (see [`body!`](crate::body)), so its validation, its limits in the
//! OpenAPI document and the list of all its faults come from one place. No HTTP and no database in here.
mod body;
mod digits;
mod email;
mod money;
mod number;
mod parse;
mod password;
mod text;
mod timestamp;

#[doc(hidden)]
pub use body::object_schema;
pub use body::{Body, Checked, Object};
pub use email::Email;
pub use money::{Amount, Currency, Money};
pub use number::Int;
pub(crate) use parse::described;
pub use parse::{At, Faults, Input, List, Parse, Reference, string_schema};
pub use password::{NewPassword, Password, other_than_names, without_name};
pub use text::{Line, Lines, Slug, Text};
pub use timestamp::Timestamp;

/// A closed set of words on the wire and in the database: `choice! { /// … pub enum Status { Pending = "pending" } }`.
#[macro_export]
macro_rules! choice {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// Every word, in the order of declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word on the wire and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }

            /// The value of a word.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|choice| choice.as_str() == word)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::values::Parse for $name {
            fn parse(input: $crate::values::Input<'_>, at: &$crate::values::At<'_>, faults: &mut $crate::values::Faults) -> Option<Self> {
                let word = input.string(at, faults)?;
                let value = Self::from_word(&word);
                if value.is_none() {
                    let words = [$($word),+].join(", ");
                    faults.add(at, format!("must be one of: {words}"));
                }
                value
            }
            fn schema() -> $crate::values::Reference {
                <Self as $crate::reexport::utoipa::PartialSchema>::schema()
            }
            fn example() -> $crate::reexport::serde_json::Value {
                $crate::reexport::serde_json::Value::from(Self::ALL[0].as_str())
            }
        }

        impl $crate::reexport::utoipa::PartialSchema for $name {
            fn schema() -> $crate::values::Reference {
                $crate::values::string_schema().enum_values(Some([$($word),+])).into()
            }
        }
        impl $crate::reexport::utoipa::ToSchema for $name {}

        impl $crate::reexport::serde::Serialize for $name {
            fn serialize<S: $crate::reexport::serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}
