//! Orders as the API shows them.
use super::{Item, Order, Status, Step};
use serde::Serialize;
use tenantry::{
    access::Actor,
    utoipa::{self, ToSchema},
    uuid::Uuid,
    values::{Money, Timestamp},
};

/// An order as the API shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = Order)]
pub struct OrderView {
    /// Its identifier.
    pub id: Uuid,
    /// Who buys.
    pub customer_id: Uuid,
    /// Where it stands.
    #[schema(inline)]
    pub status: Status,
    /// The sum of all lines.
    #[schema(inline)]
    pub total_amount: Money,
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: String,
    /// For whoever handles it.
    #[schema(required)]
    pub notes: Option<String>,
    /// The lines, in the order given.
    pub items: Vec<ItemView>,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it was last moved.
    pub updated_at: Timestamp,
}

/// A line of an order as the API shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderItem)]
pub struct ItemView {
    /// Its identifier.
    pub id: Uuid,
    /// The product's identifier in the catalogue.
    pub product_id: String,
    /// What the product is called.
    pub product_name: String,
    /// How many.
    #[schema(minimum = 1, maximum = 1000)]
    pub quantity: i64,
    /// The price of one.
    #[schema(inline)]
    pub unit_price: Money,
}

/// The way of an order, oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderHistory)]
pub struct HistoryView {
    /// The steps, the placing included.
    pub data: Vec<StepView>,
}

/// A step of an order.
#[derive(Serialize, ToSchema)]
#[schema(as = OrderStep)]
pub struct StepView {
    /// Where it stood; `null` for the placing.
    #[schema(required, inline)]
    pub from: Option<Status>,
    /// Where it stood from then on.
    #[schema(inline)]
    pub to: Status,
    /// Why.
    #[schema(required)]
    pub note: Option<String>,
    /// Who did it.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
}

impl From<Order> for OrderView {
    fn from(order: Order) -> Self {
        Self {
            id: order.id,
            customer_id: order.customer_id,
            status: order.status,
            total_amount: order.total,
            currency: order.currency,
            notes: order.notes,
            items: order.items.into_iter().map(ItemView::from).collect(),
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}

impl From<Item> for ItemView {
    fn from(item: Item) -> Self {
        let Item { id, product_id, product_name, quantity, unit_price, .. } = item;
        Self { id, product_id, product_name, quantity, unit_price }
    }
}

impl From<Step> for StepView {
    fn from(step: Step) -> Self {
        let Step { from, to, note, actor, at } = step;
        Self { from, to, note, actor, at }
    }
}
