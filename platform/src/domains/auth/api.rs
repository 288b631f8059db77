//! The routes of accounts: bodies in, envelopes out.
use super::{
    Profile,
    model::{Login, MeView, MessageView, Refresh, Register, SessionView},
    service,
};
use crate::{
    access::Scope,
    core::Core,
    error::Result,
    infra::audit::Origin,
    http::{Arrived, CreatedData, Data, Json, Public},
};
use axum::extract::State;

pub async fn register(
    _: Public,
    State(core): State<Core>,
    origin: Origin,
    Json(body): Json<Register>,
) -> Result<CreatedData<SessionView>> {
    service::register(&core, body, &origin).await.map(CreatedData)
}

pub async fn login(
    _: Public,
    State(core): State<Core>,
    origin: Origin,
    Json(body): Json<Login>,
) -> Result<Data<SessionView>> {
    service::login(&core, body, &origin).await.map(Data)
}

pub async fn refresh(
    _: Public,
    State(core): State<Core>,
    Arrived(arrived): Arrived,
    Json(body): Json<Refresh>,
) -> Result<Data<SessionView>> {
    service::refresh(&core, body.refresh_token.as_str(), arrived)
        .await
        .map(Data)
}

pub async fn logout(
    _: Public,
    State(core): State<Core>,
    Json(body): Json<Refresh>,
) -> Result<Data<MessageView>> {
    service::logout(&core, body.refresh_token.as_str()).await?;
    Ok(Data(MessageView {
        message: "Logged out",
    }))
}

pub async fn me(scope: Scope<Profile>) -> Result<Data<MeView>> {
    let (user, tenant) = scope.read(async |tx| service::me(tx).await).await?;
    Ok(Data(MeView {
        user: user.into(),
        tenant: tenant.into(),
    }))
}
