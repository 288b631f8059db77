//! Cursor pages, newest first. A cursor is the identifier of the last row seen, sealed to its tenant and route: it
//! survives inserts and deletes, and it cannot be made or carried elsewhere by a client.
use super::answer::list_answer;
use crate::{
    error::{Error, Result},
    infra::secret,
    values::{At, Faults, Input, Int, Parse, Reference, string_schema},
};
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Ref,
        schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type},
    },
};
use uuid::Uuid;

/// Rows in a page where the client does not say.
const DEFAULT_LIMIT: i64 = 20;
/// Bytes of the seal: 128 bits cannot be guessed.
const SEAL: usize = 16;

/// A cursor as it was sent, not yet opened.
#[derive(Clone, Debug)]
pub struct Cursor(String);

impl Parse for Cursor {
    fn parse(input: Input<'_>, at: &At<'_>, faults: &mut Faults) -> Option<Self> {
        input.string(at, faults).map(|text| Self(text.into_owned()))
    }
    fn schema() -> Reference {
        string_schema().into()
    }
    fn example() -> serde_json::Value {
        serde_json::Value::Null // there is none that a client could write
    }
}

/// Seals and opens cursors.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// A key of its own, made from the service's secret.
    pub(crate) fn new(secret: &str) -> Self {
        Self(secret::derive(secret, "cursor"))
    }

    fn seal_of(&self, tenant: Uuid, route: &str, last: Uuid) -> [u8; SEAL] {
        let mac = secret::mac(&self.0, &[tenant.as_bytes(), route.as_bytes(), last.as_bytes()]);
        let mut seal = [0; SEAL];
        seal.copy_from_slice(&mac[..SEAL]);
        seal
    }

    pub(super) fn seal(&self, tenant: Uuid, route: &str, last: Uuid) -> String {
        secret::encode(&[last.as_bytes().as_slice(), &self.seal_of(tenant, route, last)].concat())
    }

    pub(super) fn open(&self, tenant: Uuid, route: &str, cursor: &str) -> Option<Uuid> {
        let bytes = secret::decode(cursor)?;
        let (last, seal) = bytes.split_at_checked(16)?;
        let last = Uuid::from_slice(last).ok()?;
        secret::equal(&self.seal_of(tenant, route, last), seal).then_some(last)
    }
}

/// Which page of which list is asked for.
pub struct Paging {
    key: CursorKey,
    tenant: Uuid,
    route: &'static str,
    limit: usize,
    before: Option<Uuid>,
}

impl Paging {
    /// Opens the cursor, if there is one; one that this API did not issue for this tenant and route is 422.
    pub(crate) fn new(
        key: &CursorKey,
        tenant: Uuid,
        route: &'static str,
        cursor: Option<Cursor>,
        limit: Option<Int<1, 100>>,
    ) -> Result<Self> {
        let limit = usize::try_from(limit.map_or(DEFAULT_LIMIT, Int::get)).unwrap_or_default();
        let refused = || Error::field("cursor", "not one that this list has issued");
        let before = cursor.map(|c| key.open(tenant, route, &c.0).ok_or_else(refused)).transpose()?;
        Ok(Self { key: key.clone(), tenant, route, limit, before })
    }

    /// Rows below this identifier are asked for; the largest of all on the first page.
    pub fn before(&self) -> Uuid {
        self.before.unwrap_or(Uuid::max())
    }

    /// How many rows to fetch: one more than is shown, to know whether there are more.
    pub fn fetch(&self) -> i64 {
        i64::try_from(self.limit + 1).unwrap_or(i64::MAX)
    }

    /// How many rows are shown.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The page of these rows, of which one too many may have been fetched.
    pub fn page<T>(&self, mut rows: Vec<T>, id: impl Fn(&T) -> Uuid) -> CursorPage<T> {
        let has_more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let last = rows.last().filter(|_| has_more).map(id);
        CursorPage {
            next_cursor: last.map(|id| self.key.seal(self.tenant, self.route, id)),
            has_more,
            data: rows,
        }
    }
}

/// A page of a list, newest first.
#[derive(Serialize)]
pub struct CursorPage<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Send it back as `cursor` for the page that follows; `null` on the last.
    pub next_cursor: Option<String>,
    /// Whether a page follows.
    pub has_more: bool,
}

impl<T: ToSchema> PartialSchema for CursorPage<T> {
    fn schema() -> Reference {
        let or_null = SchemaType::from_iter([Type::String, Type::Null]);
        let cursor = ObjectBuilder::new()
            .schema_type(or_null)
            .description(Some("Send it back as `cursor` for the page that follows; `null` on the last"));
        let more = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Boolean))
            .description(Some("Whether a page follows"));
        let rows = ArrayBuilder::new()
            .items(Ref::from_schema_name(T::name()))
            .description(Some("The rows, newest first"));
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Object))
            .property("data", rows)
            .property("next_cursor", cursor)
            .property("has_more", more)
            .required("data")
            .required("next_cursor")
            .required("has_more")
            .into()
    }
}

list_answer!(CursorPage, "Page", "A page, newest first");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_where_it_was_issued_and_nowhere_else() {
        let key = CursorKey::new("a secret of some length");
        let (tenant, other, last) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let cursor = key.seal(tenant, "orders", last);
        assert_eq!(key.open(tenant, "orders", &cursor), Some(last));
        assert_eq!(key.open(other, "orders", &cursor), None);
        assert_eq!(key.open(tenant, "deliveries", &cursor), None);
        assert_eq!(CursorKey::new("another").open(tenant, "orders", &cursor), None);
        for i in 0..cursor.len() {
            let mut tampered = cursor.clone().into_bytes();
            tampered[i] = if tampered[i] == b'A' { b'B' } else { b'A' };
            assert_eq!(key.open(tenant, "orders", std::str::from_utf8(&tampered).unwrap()), None, "{i}");
        }
        for text in ["", "x", "====", &cursor[1..], &format!("{cursor}A"), &"A".repeat(10_000)] {
            assert_eq!(key.open(tenant, "orders", text), None, "{text}");
        }
    }
}
