//! What a handler is made of: extractors that refuse what the contract refuses, answers in the contract's shapes, and
//! [`Routes`], which reads a handler's types into the OpenAPI document.
mod admission;
mod answer;
pub(crate) mod client_address;
mod cursor;
mod describe;
mod etag;
pub(crate) mod frame;
mod id;
mod json;
pub(crate) mod limits;
pub(crate) mod metrics;
pub(crate) mod once;
pub(crate) mod openapi;
mod page;
pub(crate) mod public;
mod query;
mod request_log;
mod routes;
mod signed;
#[cfg(test)]
mod tests;
mod trace;

pub use admission::Admission;
pub use answer::{Accepted, Bare, Created, CreatedData, Data, DataOf, NoContent, Taken};
pub use client_address::TrustedProxies;
pub use cursor::{Cursor, CursorKey, CursorPage, Paging};
pub use describe::{DescribeInput, DescribeOutput, Doc};
pub use etag::{Conditions, Tagged};
pub use id::{Id, Named};
pub use json::Json;
pub use limits::{FailuresLimited, Limited, Throttle};
pub use metrics::RequestMetrics;
pub use once::{Once, OnceBody, OnceKey, Replayable};
pub use page::{MOST_PAGES, Page, PageNumber};
pub use public::{Arrived, Public};
pub use query::Query;
pub use routes::{Endpoint, Routes};
pub use signed::{Sender, Signed};
