//! What is read, stored and shown.
use serde::{Deserialize, Serialize, Serializer};
use std::{error::Error, fmt, time::SystemTime};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, private::BytesMut, to_sql_checked};
use uuid::{ContextV7, Timestamp, Uuid};

/// Microseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Instant(pub i64);

/// PostgreSQL's epoch.
const EPOCH: i64 = 946_684_800_000_000;

impl FromSql<'_> for Instant {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?) + EPOCH))
    }
    accepts!(TIMESTAMPTZ);
}

impl ToSql for Instant {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&(self.0 - EPOCH).to_be_bytes());
        Ok(IsNull::No)
    }
    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = jiff::Timestamp::from_millisecond(self.0.div_euclid(1000)).map_err(|_| fmt::Error)?;
        write!(f, "{instant:.3}")
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Hundredths.
#[derive(Clone, Copy, Debug)]
pub struct Money(pub i64);

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[derive(Serialize)]
pub struct Order {
    pub id: Uuid,
    pub customer_id: Uuid,
    pub status: String,
    pub total_amount: Money,
    pub currency: String,
    pub notes: Option<String>,
    pub items: Vec<Item>,
    pub created_at: Instant,
    pub updated_at: Instant,
}

#[derive(Serialize)]
pub struct Item {
    #[serde(skip)]
    pub order_id: Uuid,
    pub id: Uuid,
    pub product_id: String,
    pub product_name: String,
    pub quantity: i64,
    pub unit_price: Money,
}

#[derive(Serialize)]
pub struct Page {
    pub data: Vec<Order>,
    pub next_cursor: Option<String>,
    pub has_more: bool,
}

#[derive(Serialize)]
pub struct Data<T> {
    pub success: bool,
    pub data: T,
}

#[derive(Serialize)]
pub struct Me {
    pub id: Uuid,
    pub tenant_id: Uuid,
    pub email: String,
    pub full_name: String,
    pub role: String,
    pub status: String,
    pub is_active: bool,
    pub last_login_at: Option<Instant>,
    pub created_at: Instant,
    pub updated_at: Instant,
    pub tenant: Tenant,
}

#[derive(Serialize)]
pub struct Tenant {
    pub id: Uuid,
    pub name: String,
    pub slug: String,
    pub plan: String,
    pub created_at: Instant,
    pub updated_at: Instant,
}

#[derive(Deserialize)]
pub struct CreateOrder {
    customer_id: Uuid,
    items: Vec<CreateItem>,
    currency: String,
    notes: Option<String>,
}

#[derive(Deserialize)]
struct CreateItem {
    product_id: String,
    product_name: String,
    quantity: i64,
    unit_price: String,
}

/// Of a decimal with two places, which is what is sent.
fn hundredths(decimal: &str) -> Result<i64, Box<dyn Error + Send + Sync>> {
    let (whole, rest) = decimal.split_once('.').ok_or("a price without places")?;
    Ok(whole.parse::<i64>()? * 100 + rest.parse::<i64>()?)
}

static CONTEXT: std::sync::Mutex<ContextV7> = std::sync::Mutex::new(ContextV7::new());

/// An identifier of now.
pub fn new_id(now: Instant) -> Uuid {
    let seconds = u64::try_from(now.0 / 1_000_000).unwrap_or_default();
    let nanos = u32::try_from(now.0 % 1_000_000 * 1000).unwrap_or_default();
    #[expect(clippy::disallowed_methods, reason = "there is no transaction of the product's here")]
    Uuid::new_v7(Timestamp::from_unix(&CONTEXT, seconds, nanos))
}

impl Order {
    /// As it was asked for, now.
    pub fn of(body: CreateOrder) -> Result<Self, Box<dyn Error + Send + Sync>> {
        #[expect(clippy::disallowed_methods, reason = "there is no transaction of the product's here")]
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let now = Instant(i64::try_from(now.as_micros())?);
        let id = new_id(now);
        let items = body.items.into_iter().map(|item| {
            Ok::<_, Box<dyn Error + Send + Sync>>(Item {
                order_id: id,
                id: new_id(now),
                product_id: item.product_id,
                product_name: item.product_name,
                quantity: item.quantity,
                unit_price: Money(hundredths(&item.unit_price)?),
            })
        });
        let items = items.collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            id,
            customer_id: body.customer_id,
            status: "pending".to_owned(),
            total_amount: Money(items.iter().map(|item| item.unit_price.0 * item.quantity).sum()),
            currency: body.currency,
            notes: body.notes,
            items,
            created_at: now,
            updated_at: now,
        })
    }
}
