//! Numbered pages, for the account plane.
use super::answer::list_answer;
use crate::values::{Int, Reference};
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Ref,
        schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type},
    },
};

/// The most pages that can be asked for: a number that no list reaches, and that no offset overflows.
pub const MOST_PAGES: i64 = 1_000_000_000;
const DEFAULT_PER_PAGE: i64 = 20;

/// Which page is asked for.
#[derive(Clone, Copy, Debug)]
pub struct PageNumber {
    page: i64,
    per_page: i64,
}

impl PageNumber {
    /// The first page of 20 where the client does not say.
    pub fn new(page: Option<Int<1, MOST_PAGES>>, per_page: Option<Int<1, 100>>) -> Self {
        Self { page: page.map_or(1, Int::get), per_page: per_page.map_or(DEFAULT_PER_PAGE, Int::get) }
    }

    /// How many rows to pass over.
    pub fn offset(&self) -> i64 {
        (self.page - 1) * self.per_page
    }

    /// How many rows to fetch.
    pub fn limit(&self) -> i64 {
        self.per_page
    }

    /// The page of these rows, of so many in all.
    pub fn page<T>(&self, items: Vec<T>, total: i64) -> Page<T> {
        let pages = total.div_euclid(self.per_page) + i64::from(total.rem_euclid(self.per_page) > 0);
        Page { items, total, page: self.page, per_page: self.per_page, pages }
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub total: i64,
    /// Which page this is, from 1.
    pub page: i64,
    /// Rows in a page.
    pub per_page: i64,
    /// How many pages there are.
    pub pages: i64,
}

impl<T: ToSchema> PartialSchema for Page<T> {
    fn schema() -> Reference {
        let number = |least: i64, words: &str| {
            let number =
                ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer)).minimum(Some(least));
            number.description(Some(words.to_owned()))
        };
        let items = ArrayBuilder::new().items(Ref::from_schema_name(T::name())).description(Some("The rows"));
        let members = ["items", "total", "page", "per_page", "pages"];
        let object = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Object))
            .property("items", items)
            .property("total", number(0, "Rows on all pages"))
            .property("page", number(1, "Which page this is"))
            .property("per_page", number(1, "Rows in a page"))
            .property("pages", number(0, "How many pages there are"));
        members.into_iter().fold(object, ObjectBuilder::required).into()
    }
}

list_answer!(Page, "List", "A page");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_counted() {
        let second = PageNumber { page: 2, per_page: 20 };
        assert_eq!((second.offset(), second.limit()), (20, 20));
        for (total, pages) in [(0, 0), (1, 1), (20, 1), (21, 2), (45, 3)] {
            assert_eq!(second.page(Vec::<()>::new(), total).pages, pages, "{total}");
        }
    }
}
