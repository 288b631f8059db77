//! Routes with their documentation. A handler's first argument says who may call it: `Scope<P>`, `Public` or
//! `Limited`; without one of them it is no [`Endpoint`] and does not compile:
//!
//! ```compile_fail,E0277
//! use tenantry::{error::Result, http::{Data, Routes}};
//! async fn unguarded() -> Result<Data<String>> { Ok(Data(String::new())) }
//! let routes = Routes::new("notes").get("/notes", unguarded, "List notes");
//! ```
//! A POST on the resource plane answers what can be given again, so a handler that takes no `Once` does not compile
//! either:
//!
//! ```compile_fail,E0277
//! use tenantry::{access::{Permission, Role, Scope}, error::Result, http::{Bare, Routes}};
//! struct Write;
//! impl Permission for Write { const NAME: &'static str = "notes.write"; const MIN_ROLE: Role = Role::Member; }
//! async fn count(scope: Scope<Write>) -> Result<Bare<String>> { Ok(Bare(String::new())) }
//! let routes = Routes::new("notes").get("/notes/count", count, "Count notes");
//! let routes = Routes::new("notes").post("/notes/count", count, "Count notes");
//! ```
use super::{
    Accepted, CreatedData, Data, FailuresLimited, Limited, NoContent, Public, Replayable,
    describe::{DescribeInput, DescribeOutput, Doc},
    query::WithoutQuery,
};
use crate::{
    access::{Permission, Scope},
    core::Core,
    error::{Code, Error},
};
use axum::{
    Router,
    handler::Handler,
    http::Method,
    routing::{MethodFilter, MethodRouter, on},
};

/// Where the API begins.
pub(crate) const BASE: &str = "/api/v1";

/// Says who may call: the first argument of every handler.
pub trait Admits: DescribeInput {}
impl<P: Permission> Admits for Scope<P> {}
impl Admits for Public {}
impl Admits for Limited {}
impl Admits for FailuresLimited {}

/// A handler: `async fn(Scope<P> or Public, …) -> Result<an answer>`.
#[diagnostic::on_unimplemented(
    message = "this is no handler of a route",
    label = "no handler: see the note for what one is",
    note = "a handler is `async fn(Scope<P> or Public, …) -> Result<an answer>`: who may call is its first argument, \
            what else it takes implements `DescribeInput` and what it answers `DescribeOutput` (see `tenantry::http`)"
)]
pub trait Endpoint<Args, Answer>: Send + 'static {
    /// What its types say of it.
    fn describe(doc: &mut Doc);
    /// The route of it, which takes a query or refuses any.
    fn route(self, method: MethodFilter, takes_query: bool) -> MethodRouter<Core>;
}

/// Says what a POST may answer to whom it admits. To those with a `Scope` a resource is answered by a [`Replayable`]
/// alone: the client may send the request again with its `Idempotency-Key`.
#[diagnostic::on_unimplemented(
    message = "a POST that takes no Idempotency-Key",
    label = "answers `{Answer}`, which cannot be given again: see the note",
    note = "a POST is `async fn(scope: Scope<P>, …, Once(key, body): Once<a body or ()>) -> Result<Replayable<an answer>>` \
            and is answered by `scope.write_once(&key, async |tx| …).await`; without a key are `Data`, `CreatedData` and \
            `Accepted`, in the envelope of the account plane, and `NoContent`"
)]
pub trait Posts<Answer>: Admits {}
impl<A> Posts<A> for Public {}
impl<A> Posts<A> for Limited {}
impl<A> Posts<A> for FailuresLimited {}
impl<P: Permission, A> Posts<Replayable<A>> for Scope<P> {}
impl<P: Permission, A> Posts<Data<A>> for Scope<P> {}
impl<P: Permission, A> Posts<CreatedData<A>> for Scope<P> {}
impl<P: Permission, A> Posts<Accepted<A>> for Scope<P> {}
impl<P: Permission> Posts<NoContent> for Scope<P> {}

/// A handler of a POST.
#[diagnostic::on_unimplemented(
    message = "this is no handler of a POST",
    label = "no handler: see the note for what one is",
    note = "a handler is `async fn(Scope<P> or Public, …) -> Result<an answer>`: who may call is its first argument, and \
            `Once`, which reads key and body, its last"
)]
pub trait PostEndpoint<Args, Answer>: Endpoint<Args, Answer> {}

macro_rules! endpoints {
    ($(($($arg:ident),*))*) => { $(
        impl<F, Answering, Answer, M, First, $($arg),*> Endpoint<(M, First, $($arg,)*), Answer> for F
        where
            F: Fn(First, $($arg),*) -> Answering + Handler<(M, First, $($arg,)*), Core>,
            Answering: Future<Output = Result<Answer, Error>>,
            Answer: DescribeOutput,
            First: Admits,
            $($arg: DescribeInput,)*
            M: 'static,
            First: 'static,
            $($arg: 'static,)*
        {
            fn describe(doc: &mut Doc) {
                First::describe(doc);
                $($arg::describe(doc);)*
                Answer::describe(doc);
            }

            fn route(self, method: MethodFilter, takes_query: bool) -> MethodRouter<Core> {
                if takes_query { on(method, self) } else { on(method, WithoutQuery(self)) }
            }
        }

        impl<F, Answer, M, First, $($arg),*> PostEndpoint<(M, First, $($arg,)*), Answer> for F
        where
            F: Endpoint<(M, First, $($arg,)*), Answer>,
            First: Posts<Answer>,
        {
        }
    )* };
}
endpoints! { () (A) (A, B) (A, B, C) (A, B, C, D) }

pub(crate) struct Route {
    pub method: Method,
    pub path: String,
    pub tag: &'static str,
    pub operation_id: String,
    pub summary: &'static str,
    pub doc: Doc,
    router: MethodRouter<Core>,
}

/// The routes of a domain.
pub struct Routes {
    tag: &'static str,
    base: &'static str,
    pub(crate) routes: Vec<Route>,
}

impl Routes {
    /// Routes under `/api/v1`, shown under this heading.
    pub fn new(tag: &'static str) -> Self {
        Self { tag, base: BASE, routes: Vec::new() }
    }

    /// Routes of the service itself, not under `/api/v1`.
    pub(crate) fn at_root(tag: &'static str) -> Self {
        Self { tag, base: "", routes: Vec::new() }
    }

    /// Reads.
    #[must_use]
    pub fn get<H: Endpoint<Args, Out>, Args, Out>(
        self,
        path: &str,
        handler: H,
        summary: &'static str,
    ) -> Self {
        self.add(Method::GET, MethodFilter::GET, path, handler, summary)
    }

    /// Makes, or does.
    #[must_use]
    pub fn post<H: PostEndpoint<Args, Out>, Args, Out>(
        self,
        path: &str,
        handler: H,
        summary: &'static str,
    ) -> Self {
        self.add(Method::POST, MethodFilter::POST, path, handler, summary)
    }

    /// Changes.
    #[must_use]
    pub fn patch<H: Endpoint<Args, Out>, Args, Out>(
        self,
        path: &str,
        handler: H,
        summary: &'static str,
    ) -> Self {
        self.add(Method::PATCH, MethodFilter::PATCH, path, handler, summary)
    }

    /// Takes away.
    #[must_use]
    pub fn delete<H: Endpoint<Args, Out>, Args, Out>(
        self,
        path: &str,
        handler: H,
        summary: &'static str,
    ) -> Self {
        self.add(Method::DELETE, MethodFilter::DELETE, path, handler, summary)
    }

    /// What the last route can refuse besides what its types say.
    #[must_use]
    pub fn refusing(mut self, codes: &[Code]) -> Self {
        if let Some(last) = self.routes.last_mut() {
            last.doc.errors.extend(codes);
        }
        self
    }

    fn add<H: Endpoint<Args, Out>, Args, Out>(
        mut self,
        method: Method,
        filter: MethodFilter,
        path: &str,
        handler: H,
        summary: &'static str,
    ) -> Self {
        let mut doc = Doc { is_read: method == Method::GET, ..Doc::default() };
        H::describe(&mut doc);
        if !doc.query {
            doc.errors.push(Code::ValidationError);
        }
        let router = handler.route(filter, doc.query);
        let name = std::any::type_name::<H>().rsplit("::").next().unwrap_or_default();
        let operation_id = format!("{}_{name}", self.tag.to_lowercase().replace(' ', "_"));
        let path = format!("{}{path}", self.base);
        self.routes.push(Route { method, path, tag: self.tag, operation_id, summary, doc, router });
        self
    }

    /// Adds them to the router.
    pub(crate) fn mount(&self, router: Router<Core>) -> Router<Core> {
        self.routes.iter().fold(router, |router, route| router.route(&route.path, route.router.clone()))
    }
}
