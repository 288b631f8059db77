//! Who calls: a person in one of their sessions, or a program with an API key. A credential says whose it is; whether it
//! still holds, and what may be done with it, only the database knows.
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A person's session, as a verified access token names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    pub(crate) tenant: Uuid,
    pub(crate) user: Uuid,
    pub(crate) id: Uuid,
}

impl Session {
    /// The person.
    pub fn user_id(&self) -> Uuid {
        self.user
    }

    /// The session.
    pub fn id(&self) -> Uuid {
        self.id
    }
}

/// An API key as it was sent: it names its tenant and itself, and the hash shows whether it is the one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentKey {
    pub(crate) tenant: Uuid,
    pub(crate) id: Uuid,
    pub(crate) hash: Vec<u8>,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A person.
    Person(Session),
    /// A program.
    ApiKey(SentKey),
}

impl Caller {
    /// Whose rows they see.
    pub fn tenant(&self) -> Uuid {
        match self {
            Self::Person(session) => session.tenant,
            Self::ApiKey(key) => key.tenant,
        }
    }

    /// How histories name them.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Person(session) => Actor { r#type: ActorType::User, id: session.user },
            Self::ApiKey(key) => Actor { r#type: ActorType::ApiKey, id: key.id },
        }
    }
}

/// Who does something, as histories record it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Actor {
    /// What kind.
    #[schema(inline)]
    pub r#type: ActorType,
    /// Which one.
    pub id: Uuid,
}

crate::choice! {
    /// What kind of caller did something.
    pub enum ActorType {
        /// A person.
        User = "user",
        /// A program with a key of its own.
        ApiKey = "api_key",
    }
}
