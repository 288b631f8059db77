//! The routes of people.
use super::{
    Manage,
    model::{ChangeRole, InviteUser, InvitedView, ListUsers, ResetView},
    service,
};
use crate::{
    access::Scope,
    core::Core,
    domains::auth::service::{User, UserView},
    error::Result,
    http::{CreatedData, Data, Id, Json, Once, Page, Query, Replayable},
};
use axum::extract::State;

pub async fn list(scope: Scope<Manage>, Query(query): Query<ListUsers>) -> Result<Page<UserView>> {
    scope.read(async |tx| service::list(tx, query).await).await
}

pub async fn show(scope: Scope<Manage>, id: Id<User>) -> Result<Data<UserView>> {
    scope.read(async |tx| service::read(tx, &id).await).await.map(|user| Data(user.into()))
}

pub async fn invite(
    scope: Scope<Manage>,
    State(core): State<Core>,
    Once(key, body): Once<InviteUser>,
) -> Result<Replayable<CreatedData<InvitedView>>> {
    scope.write_once(&key, async |tx| service::invite(&core, tx, &body).await.map(CreatedData)).await
}

pub async fn change_role(
    scope: Scope<Manage>,
    id: Id<User>,
    Json(body): Json<ChangeRole>,
) -> Result<Data<UserView>> {
    scope.write(async |tx| service::change_role(tx, &id, body.role).await).await.map(|user| Data(user.into()))
}

pub async fn deactivate(scope: Scope<Manage>, id: Id<User>) -> Result<Data<UserView>> {
    scope.write(async |tx| service::deactivate(tx, &id).await).await.map(|user| Data(user.into()))
}

pub async fn reactivate(
    scope: Scope<Manage>,
    State(core): State<Core>,
    id: Id<User>,
) -> Result<Data<UserView>> {
    scope.write(async |tx| service::reactivate(&core, tx, &id).await).await.map(|user| Data(user.into()))
}

pub async fn reset_password(
    scope: Scope<Manage>,
    State(core): State<Core>,
    id: Id<User>,
) -> Result<Data<ResetView>> {
    scope.write(async |tx| service::reset_password(&core, tx, &id).await).await.map(Data)
}
