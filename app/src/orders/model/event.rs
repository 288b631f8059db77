//! What orders tell others.
use super::{OrderView, Status};
use serde::Serialize;
use serde_json::{Value, json};
use tenantry::infra::events::Event;

/// An order was placed. Its data is the order.
#[derive(Serialize)]
#[serde(transparent)]
pub struct OrderCreated(pub OrderView);

/// An order was moved on. Its data is the order, and where it stood.
#[derive(Serialize)]
pub struct OrderStatusChanged {
    #[serde(flatten)]
    pub order: OrderView,
    pub previous_status: Status,
}

impl Event for OrderCreated {
    const TYPE: &'static str = "order.created";
    const DESCRIPTION: &'static str = "An order was placed";
    fn example() -> Value {
        example(Status::Pending)
    }
}

impl Event for OrderStatusChanged {
    const TYPE: &'static str = "order.status_changed";
    const DESCRIPTION: &'static str = "An order was moved on";
    fn example() -> Value {
        let mut order = example(Status::Confirmed);
        order["previous_status"] = json!(Status::Pending);
        order
    }
}

fn example(status: Status) -> Value {
    json!({
        "id": "0192f0c1-2a3b-7c4d-8e5f-6a7b8c9d0e1f",
        "customer_id": "0192f0c1-2a3b-7c4d-8e5f-000000000001",
        "status": status,
        "total_amount": "59.98",
        "currency": "USD",
        "notes": null,
        "items": [{
            "id": "0192f0c1-2a3b-7c4d-8e5f-000000000002",
            "product_id": "SKU-1",
            "product_name": "A lamp",
            "quantity": 2,
            "unit_price": "29.99"
        }],
        "created_at": "2026-01-31T09:30:00.000Z",
        "updated_at": "2026-01-31T09:30:00.000Z"
    })
}
