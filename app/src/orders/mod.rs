//! Orders: a tenant's customers buy, and the order walks from `pending` to its end. The model for every other domain.
mod api;
mod model;
mod seed;
mod service;
mod store;

use tenantry::{
    Domain,
    access::{Permission, Role},
    error::Code,
    http::Routes,
    migrations,
};

/// Reads orders.
pub struct Read;
impl Permission for Read {
    const NAME: &'static str = "orders.read";
    const MIN_ROLE: Role = Role::Viewer;
}

/// Places orders and moves them on.
pub struct Write;
impl Permission for Write {
    const NAME: &'static str = "orders.write";
    const MIN_ROLE: Role = Role::Member;
}

/// The domain, to be plugged in.
pub fn domain() -> Domain {
    Domain::new("orders")
        .routes(routes())
        .migrations(migrations!("orders", ["V1__orders"]))
        .event::<model::OrderCreated>()
        .event::<model::OrderStatusChanged>()
        .seed(seed::seed)
        .bulk_seed(seed::BULK)
}

fn routes() -> Routes {
    Routes::new("orders")
        .post("/orders", api::create, "Place an order")
        .get("/orders", api::list, "List orders, newest first")
        .get("/orders/{id}", api::show, "Read an order")
        .patch("/orders/{id}/status", api::change_status, "Move an order on")
        .refusing(&[Code::BusinessRuleViolation])
        .get("/orders/{id}/history", api::history, "Read how an order got where it is, oldest first")
}
