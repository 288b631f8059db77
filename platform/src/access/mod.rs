//! Who may do what: roles, permissions, access tokens, and [`Scope`], the only way to a tenant's rows.
mod permission;
mod scope;
mod session;
mod token;

pub use permission::{Permission, Role};
pub use scope::{Actor, ActorType, Scope, Tx};
pub use token::{Caller, TokenKeys};
