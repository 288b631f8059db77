//! What can be done with a tenant.
use super::{Manage, Read, Transfer, model::TransferOwnership, store};
use crate::{
    access::{Role, Scope, Tx},
    core::Core,
    domains::auth::service::{self as auth, Tenant, User, UserRoleChanged, UserStatus},
    error::{Error, Result},
    http::Throttle,
    infra::audit::Entry,
};
use serde_json::json;

/// One's own tenant.
pub async fn read(tx: &Tx<Read>) -> Result<Tenant> {
    auth::find_tenant(tx).await
}

/// Gives it another name.
pub async fn rename(tx: &Tx<Manage>, name: &str) -> Result<Tenant> {
    let before = auth::find_tenant(tx).await?;
    if before.name != name {
        store::rename(tx, name).await?;
        let details = json!({ "from": before.name, "to": name });
        tx.audit(Entry::new("tenant.renamed").on("tenant", tx.tenant_id()).with(details)).await?;
    }
    auth::find_tenant(tx).await
}

/// Makes somebody else the owner. The password is compared between two transactions, so the second sees that it still
/// holds; both people are locked, the owner first: of two transfers at once the second finds that there is nothing to
/// give any more.
pub async fn transfer(
    core: &Core,
    scope: &Scope<Transfer>,
    throttle: &Throttle,
    transfer: &TransferOwnership,
) -> Result<User> {
    let who = scope
        .read(async |tx| {
            heir(auth::find_user(tx, transfer.user_id).await?, transfer)?;
            auth::confirmable(tx, tx.session()?.user).await
        })
        .await?;
    let compared = auth::confirm(core, throttle, &who, &transfer.password, "password").await?;
    scope
        .write(async |tx| {
            let owner = auth::lock_user(tx, tx.session()?.user).await?;
            let owner = owner
                .filter(|user| user.role == Role::Owner)
                .ok_or_else(|| Error::forbidden("tenant.transfer"))?;
            if auth::password_hash(tx, owner.id).await?.as_deref() != Some(compared.as_str()) {
                return Err(Error::field("password", "is not your password"));
            }
            let heir = heir(auth::lock_user(tx, transfer.user_id).await?, transfer)?;
            let owner = User { role: Role::Admin, updated_at: tx.now(), ..owner };
            let heir = User { role: Role::Owner, updated_at: tx.now(), ..heir };
            auth::update_role(tx, owner.id, owner.role).await?; // first: there is one owner at any time
            auth::update_role(tx, heir.id, heir.role).await?;
            let details = json!({ "from": owner.id, "to": heir.id });
            tx.audit(Entry::new("tenant.ownership_transferred").on("tenant", tx.tenant_id()).with(details))
                .await?;
            tx.emit(&UserRoleChanged(owner.into())).await?;
            tx.emit(&UserRoleChanged(heir.clone().into())).await?;
            Ok(heir)
        })
        .await
}

/// Whoever shall own it is there, active, and not the owner yet.
fn heir(found: Option<User>, transfer: &TransferOwnership) -> Result<User> {
    let heir = found.ok_or_else(|| Error::not_found("User", transfer.user_id))?;
    match (heir.status, heir.role) {
        (_, Role::Owner) => Err(Error::field("user_id", "is the owner already")),
        (UserStatus::Active, _) => Ok(heir),
        (status, _) => Err(Error::field("user_id", format!("is {status}, not active"))),
    }
}
