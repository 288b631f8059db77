//! The routes of accounts: bodies in, envelopes out.
use super::{
    Profile,
    model::{
        AcceptInvitation, ChangePassword, ForgotPassword, JwkSetView, ListSessions, Login, MeView,
        MessageView, Refresh, Register, ResetPassword, SessionInfo, SessionInfoView, SessionView,
    },
    service,
};
use crate::{
    access::Scope,
    core::Core,
    error::Result,
    http::{
        Accepted, Arrived, Bare, CreatedData, Data, FailuresLimited, Id, Json, Limited, NoContent, Page,
        Public, Query, Throttle,
    },
    infra::audit::Origin,
};
use axum::extract::State;

pub async fn register(
    _: Limited,
    State(core): State<Core>,
    origin: Origin,
    Json(body): Json<Register>,
) -> Result<CreatedData<SessionView>> {
    service::register(&core, body, &origin).await.map(CreatedData)
}

pub async fn login(
    Limited(throttle): Limited,
    State(core): State<Core>,
    origin: Origin,
    Json(body): Json<Login>,
) -> Result<Data<SessionView>> {
    service::login(&core, &throttle, body, &origin).await.map(Data)
}

pub async fn refresh(
    FailuresLimited(throttle): FailuresLimited,
    State(core): State<Core>,
    Arrived(arrived): Arrived,
    origin: Origin,
    Json(body): Json<Refresh>,
) -> Result<Data<SessionView>> {
    service::refresh(&core, &throttle, body.refresh_token.as_str(), arrived, &origin).await.map(Data)
}

pub async fn logout(
    _: Public,
    State(core): State<Core>,
    Json(body): Json<Refresh>,
) -> Result<Data<MessageView>> {
    service::logout(&core, body.refresh_token.as_str()).await?;
    Ok(Data(MessageView { message: "Logged out" }))
}

pub async fn jwks(_: Public, State(core): State<Core>) -> Result<Bare<JwkSetView>> {
    Ok(Bare(JwkSetView { keys: core.tokens.public().iter().map(Into::into).collect() }))
}

pub async fn me(scope: Scope<Profile>) -> Result<Data<MeView>> {
    let (user, tenant) = scope.read_at_once(async |tx| service::me(tx).await).await?;
    Ok(Data(MeView { user: user.into(), tenant: tenant.into() }))
}

pub async fn sessions(
    scope: Scope<Profile>,
    Query(query): Query<ListSessions>,
) -> Result<Page<SessionInfoView>> {
    scope.read(async |tx| service::sessions(tx, &query).await).await
}

pub async fn end_session(scope: Scope<Profile>, id: Id<SessionInfo>) -> Result<NoContent> {
    scope.write(async |tx| service::end_session(tx, &id).await).await.map(|()| NoContent)
}

pub async fn end_other_sessions(scope: Scope<Profile>) -> Result<NoContent> {
    scope.write(async |tx| service::end_other_sessions(tx).await).await.map(|()| NoContent)
}

pub async fn change_password(
    scope: Scope<Profile>,
    State(core): State<Core>,
    throttle: Throttle,
    Json(body): Json<ChangePassword>,
) -> Result<Data<MessageView>> {
    service::change_password(&core, &scope, &throttle, body).await?;
    Ok(Data(MessageView { message: "Password changed" }))
}

pub async fn forgot_password(
    _: Limited,
    State(core): State<Core>,
    origin: Origin,
    Json(body): Json<ForgotPassword>,
) -> Result<Accepted<MessageView>> {
    service::forgot_password(&core, body, origin);
    Ok(Accepted(MessageView { message: "If there is such an account, a mail is on its way" }))
}

pub async fn reset_password(
    _: Limited,
    State(core): State<Core>,
    origin: Origin,
    Json(body): Json<ResetPassword>,
) -> Result<Data<MessageView>> {
    service::reset_password(&core, body, &origin).await?;
    Ok(Data(MessageView { message: "Password reset" }))
}

pub async fn accept_invitation(
    _: Limited,
    State(core): State<Core>,
    origin: Origin,
    Json(body): Json<AcceptInvitation>,
) -> Result<CreatedData<SessionView>> {
    service::accept(&core, body, &origin).await.map(CreatedData)
}
