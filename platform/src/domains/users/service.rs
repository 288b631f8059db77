//! What can be done with a tenant's people. Each locks the person first, so that of two at once one comes after the
//! other and sees what it did.
use super::{
    Manage,
    model::{InvitationView, InviteUser, InvitedView, ListUsers, ResetView, may_give, may_reach},
};
use crate::{
    access::{ActorType, GivenRole, Role, Tx},
    core::Core,
    domains::{
        api_keys::service as api_keys,
        auth::service::{
            self as auth, InvitationMail, PeopleFilter, ResetMail, TokenKind, User, UserDeactivated,
            UserInvited, UserRoleChanged, UserStatus, UserView,
        },
        billing::service as billing,
    },
    error::{Error, Result},
    http::{Id, Page, PageNumber},
    infra::audit::Entry,
    values::Line,
};
use serde_json::json;

/// A page of people.
pub async fn list(tx: &Tx<Manage>, query: ListUsers) -> Result<Page<UserView>> {
    let number = PageNumber::new(query.page, query.per_page);
    let filter = PeopleFilter {
        role: query.role.map_or("", Role::as_str),
        status: query.status.map_or("", UserStatus::as_str),
        part: query.q.map(Line::into_string).unwrap_or_default().to_lowercase(),
    };
    let (people, total) = auth::people(tx, &filter, number.limit(), number.offset()).await?;
    Ok(number.page(people.into_iter().map(UserView::from).collect(), total))
}

/// A person.
pub async fn read(tx: &Tx<Manage>, id: &Id<User>) -> Result<User> {
    auth::find_user(tx, id.uuid()).await?.ok_or_else(|| id.not_found())
}

/// Somebody new, if there is a seat, or somebody whose invitation is renewed.
pub async fn invite(core: &Core, tx: &Tx<Manage>, invite: &InviteUser) -> Result<InvitedView> {
    may_give(tx.role().await?, invite.role)?;
    let user = auth::User {
        status: UserStatus::Invited,
        ..User::new(
            tx.tenant_id(),
            tx.new_id(),
            invite.email.as_str().to_owned(),
            invite.full_name.as_str().to_owned(),
            invite.role.into(),
            tx.now(),
        )
    };
    let seats = billing::lock_seats(core, tx).await?;
    let user = if auth::insert_invited(tx, &user).await? {
        seats.require_one_more()?;
        user
    } else {
        renewed(tx, user).await?
    };
    let (token, expires_at) = auth::issue_token(tx, user.id, TokenKind::Invitation).await?;
    let token = if core.mail.reaches_people() {
        tx.enqueue(&InvitationMail::to(user.id)).await?;
        None
    } else {
        Some(token)
    };
    let view = UserView::from(user.clone());
    tx.emit(&UserInvited(user.clone().into())).await?;
    tx.audit(Entry::new("user.invited").on("user", user.id).with(json!({ "role": user.role }))).await?;
    Ok(InvitedView { user: view, invitation: InvitationView { expires_at, token } })
}

/// The address is known: only an invitation that was not accepted can be given again.
async fn renewed(tx: &Tx<Manage>, new: User) -> Result<User> {
    let known = auth::lock_user_by_email(tx, &new.email).await?;
    let known = known.ok_or_else(|| Error::internal("an address was taken by nobody"))?;
    match known.status {
        UserStatus::Invited => {
            may_reach(tx.role().await?, &known)?;
            let user = User { full_name: new.full_name, role: new.role, updated_at: tx.now(), ..known };
            auth::update_invited(tx, &user).await?;
            Ok(user)
        }
        UserStatus::Active => Err(Error::conflict("There is a user with this e-mail address")),
        UserStatus::Deactivated => {
            Err(Error::conflict("The user with this e-mail address is deactivated: reactivate them"))
        }
    }
}

fn is_self(tx: &Tx<Manage>, id: &Id<User>) -> bool {
    tx.actor().r#type == ActorType::User && tx.actor().id == id.uuid()
}

/// Another role. Nobody changes their own, which is said before any question of rank.
pub async fn change_role(tx: &Tx<Manage>, id: &Id<User>, role: GivenRole) -> Result<User> {
    let actor = tx.role().await?;
    if is_self(tx, id) {
        return Err(Error::business_rule("Nobody can change their own role"));
    }
    may_give(actor, role)?;
    let user = auth::lock_user(tx, id.uuid()).await?.ok_or_else(|| id.not_found())?;
    may_reach(actor, &user)?;
    if user.role == Role::Owner {
        return Err(Error::business_rule("The owner's role cannot be changed: transfer the ownership"));
    }
    let from = user.role;
    let user = User { role: role.into(), updated_at: tx.now(), ..user };
    if from == user.role {
        return Ok(user);
    }
    auth::update_role(tx, user.id, user.role).await?;
    tx.emit(&UserRoleChanged(user.clone().into())).await?;
    let details = json!({ "from": from, "to": user.role });
    tx.audit(Entry::new("user.role_changed").on("user", user.id).with(details)).await?;
    Ok(user)
}

/// No longer let in: all sessions end with it, and the API keys that they made.
pub async fn deactivate(tx: &Tx<Manage>, id: &Id<User>) -> Result<User> {
    let actor = tx.role().await?;
    if is_self(tx, id) {
        return Err(Error::business_rule("Nobody can deactivate themselves"));
    }
    let user = auth::lock_user(tx, id.uuid()).await?.ok_or_else(|| id.not_found())?;
    may_reach(actor, &user)?;
    if user.role == Role::Owner {
        return Err(Error::business_rule("The owner cannot be deactivated: transfer the ownership first"));
    }
    if user.status == UserStatus::Deactivated {
        return Ok(user);
    }
    let user = User { status: UserStatus::Deactivated, updated_at: tx.now(), ..user };
    auth::update_status(tx, user.id, user.status).await?;
    auth::end_all(tx, user.id).await?;
    api_keys::revoke_all_of(tx, user.id).await?;
    tx.emit(&UserDeactivated(user.clone().into())).await?;
    tx.audit(Entry::new("user.deactivated").on("user", user.id)).await?;
    Ok(user)
}

/// Let in again, as who they were, if there is a seat: somebody who never had a password is invited again.
pub async fn reactivate(core: &Core, tx: &Tx<Manage>, id: &Id<User>) -> Result<User> {
    let actor = tx.role().await?;
    let seats = billing::lock_seats(core, tx).await?;
    let user = auth::lock_user(tx, id.uuid()).await?.ok_or_else(|| id.not_found())?;
    may_reach(actor, &user)?;
    if user.status != UserStatus::Deactivated {
        return Ok(user);
    }
    seats.require_one_more()?;
    let joined = auth::has_password(tx, user.id).await?;
    let status = if joined { UserStatus::Active } else { UserStatus::Invited };
    let user = User { status, updated_at: tx.now(), ..user };
    auth::update_status(tx, user.id, user.status).await?;
    tx.audit(Entry::new("user.reactivated").on("user", user.id)).await?;
    Ok(user)
}

/// A token by which a person of a lower role sets a new password.
pub async fn reset_password(core: &Core, tx: &Tx<Manage>, id: &Id<User>) -> Result<ResetView> {
    let actor = tx.role().await?;
    let user = auth::lock_user(tx, id.uuid()).await?.ok_or_else(|| id.not_found())?;
    if user.role >= actor {
        return Err(Error::forbidden("users.reset_password of a lower role"));
    }
    if user.status != UserStatus::Active {
        return Err(Error::business_rule(format!(
            "The user is {}: there is no password to reset",
            user.status
        )));
    }
    let (token, expires_at) = auth::issue_token(tx, user.id, TokenKind::PasswordReset).await?;
    let token = if core.mail.reaches_people() {
        tx.enqueue(&ResetMail::to(user.id)).await?;
        None
    } else {
        Some(token)
    };
    Ok(ResetView { expires_at, token })
}
