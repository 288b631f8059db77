//! Roles and permissions.

crate::choice! {
    /// What a person is in their tenant. Each role may do all that those before it may.
    pub enum Role {
        /// Reads.
        Viewer = "viewer",
        /// Does the daily work.
        Member = "member",
        /// Manages people, keys, webhooks and billing.
        Admin = "admin",
        /// Exactly one a tenant.
        Owner = "owner",
    }
}

/// A zero-sized type per permission; each domain declares its own in `mod.rs`:
///
/// ```
/// use tenantry::access::{Permission, Role};
/// /// Reads notes.
/// pub struct Read;
/// impl Permission for Read {
///     const NAME: &'static str = "notes.read";
///     const MIN_ROLE: Role = Role::Viewer;
/// }
/// ```
pub trait Permission: Send + Sync + 'static {
    /// `orders.write`.
    const NAME: &'static str;
    /// The least role that has it.
    const MIN_ROLE: Role;
    /// Whether a program with an API key can have it. What only a person may do says no.
    const FOR_API_KEYS: bool = true;
}
