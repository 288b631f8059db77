//! The routes of billing.
use super::{
    Manage, Read, StripeEvents,
    model::{CheckoutView, OpenPortal, PlansView, PortalView, ReceivedView, StartCheckout, SubscriptionView},
    service,
};
use crate::{
    access::Scope,
    core::Core,
    error::Result,
    http::{Bare, Data, Json, Once, Public, Replayable, Signed},
    infra::audit::Origin,
};
use axum::extract::State;

pub async fn plans(_: Public) -> Result<Data<PlansView>> {
    Ok(Data(PlansView::all()))
}

pub async fn subscription(scope: Scope<Read>, State(core): State<Core>) -> Result<Data<SubscriptionView>> {
    scope.read(async |tx| service::read(&core, tx).await).await.map(Data)
}

pub async fn checkout(
    scope: Scope<Manage>,
    State(core): State<Core>,
    Once(key, body): Once<StartCheckout>,
) -> Result<Replayable<Data<CheckoutView>>> {
    service::checkout(&core, &scope, &key, &body).await
}

pub async fn portal(
    scope: Scope<Manage>,
    State(core): State<Core>,
    Json(body): Json<OpenPortal>,
) -> Result<Data<PortalView>> {
    service::portal(&core, &scope, &body).await.map(Data)
}

pub async fn webhook(
    _: Public,
    State(core): State<Core>,
    origin: Origin,
    sent: Signed<StripeEvents>,
) -> Result<Bare<ReceivedView>> {
    service::receive(&core, sent.signature.as_deref(), &sent.body, &origin).await?;
    Ok(Bare(ReceivedView { received: true }))
}
