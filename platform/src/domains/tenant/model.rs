//! What is sent to change a tenant.
use crate::values::{Line, Password};
use uuid::Uuid;

crate::body! {
    /// Another name.
    pub struct RenameTenant {
        /// What the tenant is called from now on.
        name: Line<1, 100>,
    }
}

crate::body! {
    /// Another owner.
    pub struct TransferOwnership {
        /// Who shall own the tenant.
        user_id: Uuid,
        /// The present owner's password.
        password: Password,
    }
}
