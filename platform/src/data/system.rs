//! What has no tenant: a closed list of reasons, each counted. If you are looking for a way to read a tenant's rows,
//! this is not it: go through `Scope`.
use super::{FromRow, Param, tenant::Backend};
use crate::{
    error::{Error, Result},
    values::Timestamp,
};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Why something is done without a signed-in user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemReason {
    /// A new tenant and its owner.
    Register,
    /// Finding a tenant by its slug, a user by e-mail.
    Login,
    /// Replacing a refresh token, which names its tenant.
    Refresh,
    /// Ending the session of a refresh token.
    Logout,
    /// A token that sets a new password, which names its tenant; and finding who has forgotten theirs.
    PasswordReset,
    /// A token that invites, which names its tenant.
    Invitation,
    /// Noting when an API key was last used.
    ApiKeyUse,
    /// Whether the database answers.
    Health,
    /// The demo's tenants.
    Seed,
    /// Tenants and rows in bulk, for load tests.
    BulkSeed,
    /// The demo's own secrets, kept in its database.
    DemoSecrets,
    /// Claiming jobs of all tenants, and doing those of one.
    Jobs,
    /// Finding out whom events go to, claiming their deliveries, and what follows from how those go.
    Webhooks,
    /// Taking out what is over.
    Purge,
    /// What Stripe says: finding the tenant of a customer, and what no caller asks for.
    Billing,
    /// Work that one node does at a time.
    Lease,
}

impl SystemReason {
    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Login => "login",
            Self::Refresh => "refresh",
            Self::Logout => "logout",
            Self::PasswordReset => "password_reset",
            Self::Invitation => "invitation",
            Self::ApiKeyUse => "api_key_use",
            Self::Health => "health",
            Self::Seed => "seed",
            Self::BulkSeed => "bulk_seed",
            Self::DemoSecrets => "demo_secrets",
            Self::Jobs => "jobs",
            Self::Webhooks => "webhooks",
            Self::Purge => "purge",
            Self::Billing => "billing",
            Self::Lease => "lease",
        }
    }

    pub(super) fn count(self) {
        metrics::counter!("tenantry_system_scope_total", "reason" => self.name()).increment(1);
    }
}

/// A statement of the system. Nothing is bound by the layer: parameters begin at `$1`.
#[derive(Clone, Copy, Debug)]
pub struct SystemSql {
    postgres: &'static str,
    sqlite: &'static str,
}

impl SystemSql {
    /// A statement that is not bound to a tenant.
    pub(crate) const fn new(text: &'static str) -> Self {
        Self { postgres: text, sqlite: text }
    }

    /// The same where the two databases need different texts, such as for a row lock.
    pub(crate) const fn of(postgres: &'static str, sqlite: &'static str) -> Self {
        Self { postgres, sqlite }
    }
}

/// Runs statements that see all tenants. Like [`TenantConn`](super::TenantConn) otherwise.
pub struct SystemConn {
    backend: Backend,
    unsettled: AtomicUsize,
}

impl SystemConn {
    pub(super) fn new(backend: Backend) -> Self {
        Self { backend, unsettled: AtomicUsize::new(0) }
    }

    pub(crate) async fn fetch_all<T: FromRow>(
        &self,
        sql: SystemSql,
        params: &[&dyn Param],
    ) -> Result<Vec<T>> {
        Ok(self.run(sql, params).await?.0)
    }

    pub(crate) async fn fetch_optional<T: FromRow>(
        &self,
        sql: SystemSql,
        params: &[&dyn Param],
    ) -> Result<Option<T>> {
        Ok(self.fetch_all(sql, params).await?.into_iter().next())
    }

    pub(crate) async fn execute(&self, sql: SystemSql, params: &[&dyn Param]) -> Result<u64> {
        Ok(self.run::<()>(sql, params).await?.1)
    }

    async fn run<T: FromRow>(&self, sql: SystemSql, params: &[&dyn Param]) -> Result<(Vec<T>, u64)> {
        self.unsettled.fetch_add(1, Relaxed);
        let answer = self.backend.run(sql.postgres, sql.sqlite, None, params).await?;
        self.unsettled.fetch_sub(1, Relaxed);
        Ok(answer)
    }

    /// The time by the clock that all nodes share.
    pub(crate) async fn clock(&self) -> Result<Timestamp> {
        let now = self.fetch_optional(SystemSql::new("SELECT clock_timestamp()"), &[]).await?;
        now.ok_or_else(|| Error::internal("the database has no clock"))
    }

    /// Whether this transaction now holds the lock of this number, which one may hold at a time. On SQLite a transaction
    /// that writes is alone anyway.
    pub(crate) async fn try_lock(&self, number: i64) -> Result<bool> {
        let sql = SystemSql::of(
            "SELECT CASE WHEN pg_try_advisory_xact_lock($1) THEN 1 ELSE 0 END::bigint",
            "SELECT $1 IS NOT NULL",
        );
        Ok(self.fetch_optional::<i64>(sql, &[&number]).await? == Some(1))
    }

    pub(super) async fn alive(&self) -> Result<()> {
        self.run::<()>(SystemSql::new("SELECT 1"), &[]).await.map(drop)
    }

    pub(super) async fn commit(self) -> Result<()> {
        if self.unsettled.load(Relaxed) > 0 {
            return Err(Error::internal("a statement failed or was abandoned, and the use case went on"));
        }
        self.backend.commit().await
    }
}
