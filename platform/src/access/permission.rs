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

crate::choice! {
    /// A role that can be given, to a person or to an API key: ownership is transferred, not given.
    pub enum GivenRole {
        /// Reads.
        Viewer = "viewer",
        /// Does the daily work.
        Member = "member",
        /// Manages people, keys, webhooks and billing.
        Admin = "admin",
    }
}

impl From<GivenRole> for Role {
    fn from(given: GivenRole) -> Self {
        match given {
            GivenRole::Viewer => Self::Viewer,
            GivenRole::Member => Self::Member,
            GivenRole::Admin => Self::Admin,
        }
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
    /// Whether a program with an API key can have it. What only a person may do says no, and may then ask for the
    /// person's session ([`Tx::session`](super::Tx::session)).
    const FOR_API_KEYS: bool = true;
}
