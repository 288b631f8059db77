//! Who may do what: roles, permissions, access tokens and API keys, and [`Scope`], the only way to a tenant's rows.
mod authenticate;
mod caller;
mod gate;
mod key;
mod permission;
mod scope;
mod token;

pub use caller::{Actor, ActorType, Caller, SentKey, Session};
pub use key::{PrivateKey, PublicKey, SigningKey, VerifyingKey};
pub use permission::{GivenRole, Permission, Role};
pub use scope::{Scope, Tx};
pub use token::TokenKeys;
