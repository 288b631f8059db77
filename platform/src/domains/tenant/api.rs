//! The routes of the tenant.
use super::{
    Manage, Read, Transfer,
    model::{RenameTenant, TransferOwnership},
    service,
};
use crate::{
    access::Scope,
    core::Core,
    domains::auth::service::{TenantView, UserView},
    error::Result,
    http::{Data, Json, Throttle},
};
use axum::extract::State;

pub async fn show(scope: Scope<Read>) -> Result<Data<TenantView>> {
    scope.read(async |tx| service::read(tx).await).await.map(|tenant| Data(tenant.into()))
}

pub async fn rename(scope: Scope<Manage>, Json(body): Json<RenameTenant>) -> Result<Data<TenantView>> {
    scope
        .write(async |tx| service::rename(tx, body.name.as_str()).await)
        .await
        .map(|tenant| Data(tenant.into()))
}

pub async fn transfer(
    scope: Scope<Transfer>,
    State(core): State<Core>,
    throttle: Throttle,
    Json(body): Json<TransferOwnership>,
) -> Result<Data<UserView>> {
    service::transfer(&core, &scope, &throttle, &body).await.map(|owner| Data(owner.into()))
}
