//! Seats: active and invited users. Whoever adds one counts them first and keeps others from counting meanwhile, so
//! there are never more than the plan has, however many are added at once and at however many nodes.
use super::super::{model::Seats, store};
use crate::{core::Core, data::TenantConn, domains::auth::service as auth, error::Result};
use futures_util::try_join;

/// How many seats are taken, for as long as this transaction lasts; to be asked before one is added. The plan is the
/// one that holds at this moment, also where a grace period has just ended.
pub async fn lock_seats(core: &Core, conn: &TenantConn) -> Result<Seats> {
    // in this order, so that those who count see what those before them have added
    let (account, stored, used) =
        try_join!(store::lock_account(conn), store::subscription(conn), auth::count_seats(conn))?;
    let plan = stored.subscription.granted(account.plan, conn.now(), core.billing_grace);
    Ok(Seats { plan, used })
}
