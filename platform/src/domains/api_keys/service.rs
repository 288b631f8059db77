//! What can be done with API keys. Their maker is locked first, like in all that changes a person: a key is made by
//! somebody who may, or not at all, and none outlives a deactivation that came at the same time.
use super::{
    Manage,
    model::{ApiKey, ApiKeyView, CreateApiKey, CreatedKeyView, ListApiKeys},
    store,
};
use crate::{
    access::{Permission, Role, Tx},
    domains::auth::service::{self as auth, UserStatus},
    error::{Error, Result},
    http::{Id, Page, PageNumber},
    infra::{audit::Entry, token::ApiKeyToken},
};
use serde_json::json;
use uuid::Uuid;

/// A new key, with a role no higher than that of whoever makes it.
pub async fn create(tx: &Tx<Manage>, create: &CreateApiKey) -> Result<CreatedKeyView> {
    let (role, now) = (Role::from(create.role), tx.now());
    if create.expires_at.is_some_and(|end| end <= now) {
        return Err(Error::field("expires_at", "must be in the future"));
    }
    let maker = auth::lock_user(tx, tx.session()?.user_id()).await?;
    let maker =
        maker.filter(|user| user.status == UserStatus::Active && user.role >= role.max(Manage::MIN_ROLE));
    let maker = maker.ok_or_else(|| Error::forbidden(Manage::NAME))?;
    let token = ApiKeyToken::new(tx.new_id(), tx.tenant_id())?;
    let key = ApiKey {
        id: token.id,
        name: create.name.as_str().to_owned(),
        prefix: token.shown(),
        role,
        created_by: maker.id,
        created_at: now,
        last_used_at: None,
        expires_at: create.expires_at,
    };
    store::insert(tx, &key, &token.hash()).await?;
    let details = json!({ "name": key.name, "role": key.role, "expires_at": key.expires_at });
    tx.audit(Entry::new("api_key.created").on("api_key", key.id).with(details)).await?;
    Ok(CreatedKeyView { api_key: key.into(), key: token.text() })
}

/// A page of the keys that were not revoked.
pub async fn list(tx: &Tx<Manage>, query: &ListApiKeys) -> Result<Page<ApiKeyView>> {
    let number = PageNumber::new(query.page, query.per_page);
    let (keys, total) = store::list(tx, number.limit(), number.offset()).await?;
    Ok(number.page(keys.into_iter().map(ApiKeyView::from).collect(), total))
}

/// No request with it is let in from now on.
pub async fn revoke(tx: &Tx<Manage>, id: &Id<ApiKey>) -> Result<()> {
    let key = store::revoke(tx, id.uuid()).await?.ok_or_else(|| id.not_found())?;
    audit_revoked(tx, &key).await
}

/// Revokes every key that a person has made, in the transaction of what calls for it: whoever is let go leaves none
/// behind, and gets none back.
pub async fn revoke_all_of<P: Permission>(tx: &Tx<P>, user: Uuid) -> Result<()> {
    for key in store::revoke_all_of(tx, user).await? {
        audit_revoked(tx, &key).await?;
    }
    Ok(())
}

async fn audit_revoked<P: Permission>(tx: &Tx<P>, key: &ApiKey) -> Result<()> {
    let details = json!({ "name": key.name, "created_by": key.created_by });
    tx.audit(Entry::new("api_key.revoked").on("api_key", key.id).with(details)).await
}
