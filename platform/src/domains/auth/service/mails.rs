//! The mails of accounts. A token is made when its mail is sent, so that none lies in the table of jobs.
use super::{
    super::{
        model::{TokenKind, UserStatus},
        store,
    },
    InvitationMail, ResetMail, issue_token,
};
use crate::{
    core::Core,
    data::{SystemReason, TenantConn},
    infra::{
        jobs::{Outcome, Work},
        mail::{Letter, fill, fill_html},
    },
};
use futures_util::try_join;
use uuid::Uuid;

/// What makes the mails of one kind.
struct Template {
    kind: TokenKind,
    /// Who has another status by now gets none.
    status: UserStatus,
    subject: &'static str,
    /// Under `PUBLIC_URL`.
    path: &'static str,
    text: &'static str,
    html: &'static str,
}

const INVITATION: Template = Template {
    kind: TokenKind::Invitation,
    status: UserStatus::Invited,
    subject: "Your invitation to {{tenant}}",
    path: "accept-invitation",
    text: include_str!("../mail/invitation.txt"),
    html: include_str!("../mail/invitation.html"),
};

const PASSWORD_RESET: Template = Template {
    kind: TokenKind::PasswordReset,
    status: UserStatus::Active,
    subject: "A new password for {{tenant}}",
    path: "reset-password",
    text: include_str!("../mail/password_reset.txt"),
    html: include_str!("../mail/password_reset.html"),
};

/// Sends an invitation. Permanent where the server refuses the recipient, passing where it is out of reach.
pub async fn mail_invitation(core: Core, work: Work<InvitationMail>) -> Outcome {
    send(&core, &INVITATION, work.tenant, work.id, work.job.user_id).await
}

/// Sends a token that sets a new password. Fails as [`mail_invitation`] does.
pub async fn mail_reset(core: Core, work: Work<ResetMail>) -> Outcome {
    send(&core, &PASSWORD_RESET, work.tenant, work.id, work.job.user_id).await
}

async fn send(core: &Core, template: &Template, tenant: Uuid, job: Uuid, user: Uuid) -> Outcome {
    let addressed = async |conn: &TenantConn| {
        let (user, tenant) = try_join!(store::lock_user(conn, user), store::tenant(conn))?;
        let Some(user) = user.filter(|user| user.status == template.status) else {
            return Ok(None);
        };
        let (token, _) = issue_token(conn, user.id, template.kind).await?;
        Ok(Some((user, tenant, token)))
    };
    let addressed = core.db.as_tenant(SystemReason::Jobs, tenant, core.clock.now(), addressed).await?;
    let Some((user, tenant, token)) = addressed else {
        return Ok(());
    };
    let link = format!("{}/{}?token={token}", core.public_url, template.path);
    let values =
        [("name", user.full_name.as_str()), ("tenant", tenant.name.as_str()), ("link", link.as_str())];
    let letter = Letter {
        subject: fill(template.subject, &values),
        text: fill(template.text, &values),
        html: fill_html(template.html, &values),
        address: user.email.clone(),
        name: user.full_name.clone(),
    };
    core.mail.send(job, letter).await
}
