//! What an order is, which moves it can make, and what it tells others. No I/O.
mod event;
mod view;

pub use event::{OrderCreated, OrderStatusChanged};
pub use view::{HistoryView, OrderView, StepView};

use tenantry::{
    access::{Actor, ActorType},
    body, choice,
    data::{FromRow, Row, made_at},
    error::{Error, Result},
    http::{Cursor, Named},
    uuid::Uuid,
    values::{Amount, Checked, Currency, Int, Line, Lines, List, Money, Text, Timestamp},
};

/// 99,999,999.99, for a price and for a total.
const MOST: i64 = 9_999_999_999;

choice! {
    /// Where an order stands.
    pub enum Status {
        /// Placed.
        Pending = "pending",
        /// Accepted.
        Confirmed = "confirmed",
        /// Being worked on.
        Processing = "processing",
        /// Done; an end.
        Completed = "completed",
        /// Called off; an end.
        Cancelled = "cancelled",
    }
}

choice! {
    /// Where an order can be moved to.
    pub enum Target {
        /// Accepted.
        Confirmed = "confirmed",
        /// Being worked on.
        Processing = "processing",
        /// Done.
        Completed = "completed",
        /// Called off.
        Cancelled = "cancelled",
    }
}

impl Status {
    /// The status after a move, if the move is one.
    pub fn moved_to(self, target: Target) -> Result<Self> {
        use Status::{Cancelled, Completed, Confirmed, Pending, Processing};
        match (self, target) {
            (Pending, Target::Confirmed) => Ok(Confirmed),
            (Confirmed, Target::Processing) => Ok(Processing),
            (Processing, Target::Completed) => Ok(Completed),
            (Pending | Confirmed | Processing, Target::Cancelled) => Ok(Cancelled),
            _ => Err(Error::business_rule(format!("Cannot transition from {self} to {target}"))),
        }
    }
}

body! {
    /// An order to place.
    pub struct CreateOrder {
        /// Who buys.
        customer_id: Uuid,
        /// What is bought.
        items: List<CreateItem, 1, 50>,
        /// A currency of ISO 4217 in any case; `usd` where it is left out.
        currency: Option<Currency>,
        /// For whoever handles the order.
        notes: Option<Lines<500>>,
    }
    check within_limit(items);
}

body! {
    /// A line of an order to place.
    pub struct CreateItem {
        /// The product's identifier in the catalogue.
        product_id: Text<1, 36> = "SKU-1",
        /// What the product is called.
        product_name: Line<1, 200> = "Desk lamp",
        /// How many.
        quantity: Int<1, 1000>,
        /// The price of one, a decimal with at most two places, as a string or a number.
        unit_price: Amount<1, MOST>,
    }
}

body! {
    /// Where to move an order.
    pub struct ChangeStatus {
        /// `confirmed`, `processing`, `completed` or `cancelled`.
        status: Target,
        /// Why, for the history.
        note: Option<Lines<500>> = "Paid by bank transfer",
    }
}

body! {
    /// Which orders.
    pub struct ListOrders {
        /// `next_cursor` of the page before.
        cursor: Option<Cursor>,
        /// Rows in a page, 20 where it is left out.
        limit: Option<Int<1, 100>>,
        /// Only those that stand there.
        status: Option<Status>,
        /// Only this customer's.
        customer_id: Option<Uuid>,
        /// Only those placed at this time or later.
        created_after: Option<Timestamp>,
        /// Only those placed before this time.
        created_before: Option<Timestamp>,
    }
    check in_order(created_after, created_before);
}

fn in_order(after: &Option<Timestamp>, before: &Option<Timestamp>) -> Checked {
    match (after, before) {
        (Some(after), Some(before)) if after > before => {
            Err(("created_before", "must not be before created_after".into()))
        }
        _ => Ok(()),
    }
}

/// An order that may be placed: if you hold one, it is valid.
pub struct NewOrder {
    pub customer_id: Uuid,
    pub items: Vec<NewItem>,
    pub total: Money,
    pub currency: Currency,
    pub notes: Option<String>,
}

/// A line of it.
pub struct NewItem {
    pub product_id: String,
    pub product_name: String,
    pub quantity: i64,
    pub unit_price: Money,
}

/// The sum of all lines, unless it is over the limit.
fn total(items: &[CreateItem]) -> Checked<Money> {
    let add = |sum: Money, item: &CreateItem| {
        sum.checked_add(item.unit_price.get().checked_mul(item.quantity.get())?)
    };
    let total = items.iter().try_fold(Money::from_minor(0), add);
    total.filter(|total| total.minor() <= MOST).ok_or_else(|| {
        let limit = Money::from_minor(MOST);
        ("items", format!("the total must be at most {limit}").into())
    })
}

fn within_limit(items: &List<CreateItem, 1, 50>) -> Checked {
    total(items.as_slice()).map(drop)
}

impl NewOrder {
    /// Adds up the total.
    pub fn parse(body: CreateOrder) -> Result<Self> {
        let total = total(body.items.as_slice()).map_err(|(field, fault)| Error::field(field, fault))?;
        let items = body.items.into_vec().into_iter().map(NewItem::from).collect();
        let currency = body.currency.unwrap_or(Currency::USD);
        Ok(Self {
            customer_id: body.customer_id,
            items,
            total,
            currency,
            notes: body.notes.map(Lines::into_string),
        })
    }
}

impl From<CreateItem> for NewItem {
    fn from(item: CreateItem) -> Self {
        Self {
            product_id: item.product_id.into_string(),
            product_name: item.product_name.into_string(),
            quantity: item.quantity.get(),
            unit_price: item.unit_price.get(),
        }
    }
}

/// A stored order.
#[derive(Clone, Debug)]
pub struct Order {
    pub id: Uuid,
    pub customer_id: Uuid,
    pub status: Status,
    pub total: Money,
    pub currency: String,
    pub notes: Option<String>,
    /// Counts the changes, from 1.
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub items: Vec<Item>,
}

/// A line of a stored order.
#[derive(Clone, Debug)]
pub struct Item {
    pub order_id: Uuid,
    pub id: Uuid,
    pub product_id: String,
    pub product_name: String,
    pub quantity: i64,
    pub unit_price: Money,
}

/// A step of an order's history.
#[derive(Clone, Debug)]
pub struct Step {
    pub from: Option<Status>,
    pub to: Status,
    pub note: Option<String>,
    pub actor: Actor,
    pub at: Timestamp,
}

impl Named for Order {
    const NOUN: &'static str = "Order";
}

impl Order {
    /// A new order under this identifier, which also says when it was placed.
    pub fn place(id: Uuid, new: NewOrder, mut new_id: impl FnMut() -> Uuid) -> Self {
        let at = made_at(id);
        let item = |item: NewItem| Item {
            order_id: id,
            id: new_id(),
            product_id: item.product_id,
            product_name: item.product_name,
            quantity: item.quantity,
            unit_price: item.unit_price,
        };
        Self {
            id,
            customer_id: new.customer_id,
            status: Status::Pending,
            total: new.total,
            currency: new.currency.code().to_owned(),
            notes: new.notes,
            version: 1,
            created_at: at,
            updated_at: at,
            items: new.items.into_iter().map(item).collect(),
        }
    }

    /// Moves it on; answers where it stood.
    pub fn move_to(&mut self, target: Target, now: Timestamp) -> Result<Status> {
        let to = self.status.moved_to(target)?;
        let from = std::mem::replace(&mut self.status, to);
        self.version += 1;
        self.updated_at = now.max(self.updated_at);
        Ok(from)
    }
}

/// `id, customer_id, status, total_minor, currency, notes, version, created_at, updated_at`.
impl FromRow for Order {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            customer_id: row.get(1)?,
            status: row.word(2, Status::from_word)?,
            total: Money::from_minor(row.get(3)?),
            currency: row.get(4)?,
            notes: row.get(5)?,
            version: row.get(6)?,
            created_at: row.get(7)?,
            updated_at: row.get(8)?,
            items: Vec::new(),
        })
    }
}

/// `order_id, id, product_id, product_name, quantity, unit_price_minor`.
impl FromRow for Item {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            order_id: row.get(0)?,
            id: row.get(1)?,
            product_id: row.get(2)?,
            product_name: row.get(3)?,
            quantity: row.get(4)?,
            unit_price: Money::from_minor(row.get(5)?),
        })
    }
}

/// `from_status, to_status, note, actor_type, actor_id, at`.
impl FromRow for Step {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        let from: Option<String> = row.get(0)?;
        Ok(Self {
            from: from.as_deref().and_then(Status::from_word),
            to: row.word(1, Status::from_word)?,
            note: row.get(2)?,
            actor: Actor { r#type: row.word(3, ActorType::from_word)?, id: row.get(4)? },
            at: row.get(5)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_moves_as_the_contract_says_and_in_no_other_way() {
        use Status::{Cancelled, Completed, Confirmed, Pending, Processing};
        let allowed = [
            (Pending, Target::Confirmed),
            (Pending, Target::Cancelled),
            (Confirmed, Target::Processing),
            (Confirmed, Target::Cancelled),
            (Processing, Target::Completed),
            (Processing, Target::Cancelled),
        ];
        for from in [Pending, Confirmed, Processing, Completed, Cancelled] {
            for target in Target::ALL {
                let moved = from.moved_to(*target);
                match allowed.contains(&(from, *target)) {
                    true => assert_eq!(moved.unwrap().as_str(), target.as_str()),
                    false => assert_eq!(
                        moved.unwrap_err().detail(),
                        format!("Cannot transition from {from} to {target}")
                    ),
                }
            }
        }
    }
}
