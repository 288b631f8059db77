//! Tokens that stand for something of a tenant: refresh tokens, invitations, password resets, API keys. Each is a prefix
//! that says what it is and, in base64url, the tenant's id and 256 random bits. The tenant is in it so that it is looked
//! up in that tenant alone; only a SHA-256 is stored. It needs no salt and no slow hash: it cannot be guessed.
use super::secret;
use crate::error::Result;
use uuid::Uuid;

/// A token that can be shown once.
pub struct TenantToken {
    /// Whose it is.
    pub tenant: Uuid,
    prefix: &'static str,
    secret: [u8; 32],
}

impl TenantToken {
    /// A new one, such as `rt_…`.
    pub fn new(prefix: &'static str, tenant: Uuid) -> Result<Self> {
        Ok(Self { tenant, prefix, secret: secret::random()? })
    }

    /// Reads one; `None` is what no token with this prefix looks like.
    pub fn read(prefix: &'static str, text: &str) -> Option<Self> {
        let bytes = secret::decode(text.strip_prefix(prefix)?)?;
        let (tenant, secret) = bytes.split_at_checked(16)?;
        Some(Self { tenant: Uuid::from_slice(tenant).ok()?, prefix, secret: secret.try_into().ok()? })
    }

    /// As its holder gets it.
    pub fn text(&self) -> String {
        let bytes = [self.tenant.as_bytes().as_slice(), &self.secret].concat();
        format!("{}{}", self.prefix, secret::encode(&bytes))
    }

    /// As it is stored.
    pub fn hash(&self) -> Vec<u8> {
        secret::sha256(&self.secret).to_vec()
    }
}

/// What API keys begin with.
pub const API_KEY_PREFIX: &str = "tk_";

/// An API key. It names itself too, so that who calls is known before the database is asked; what it names stands first,
/// so that the beginning of a key tells it from others and gives nothing away.
pub struct ApiKeyToken {
    /// Which key it is.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: Uuid,
    secret: [u8; 32],
}

impl ApiKeyToken {
    /// A new one, `tk_…`.
    pub fn new(id: Uuid, tenant: Uuid) -> Result<Self> {
        Ok(Self { id, tenant, secret: secret::random()? })
    }

    /// Reads one; `None` is what no key looks like.
    pub fn read(text: &str) -> Option<Self> {
        let bytes = secret::decode(text.strip_prefix(API_KEY_PREFIX)?)?;
        let (id, rest) = bytes.split_at_checked(16)?;
        let (tenant, secret) = rest.split_at_checked(16)?;
        let (id, tenant) = (Uuid::from_slice(id).ok()?, Uuid::from_slice(tenant).ok()?);
        Some(Self { id, tenant, secret: secret.try_into().ok()? })
    }

    fn bytes(&self) -> Vec<u8> {
        [self.id.as_bytes().as_slice(), self.tenant.as_bytes(), &self.secret].concat()
    }

    /// As its holder gets it.
    pub fn text(&self) -> String {
        format!("{API_KEY_PREFIX}{}", secret::encode(&self.bytes()))
    }

    /// How people tell it from others: its first 15 characters, which are of its id.
    pub fn shown(&self) -> String {
        self.text().chars().take(API_KEY_PREFIX.len() + 12).collect()
    }

    /// As it is stored: of the whole, so that a secret is of no use with another name.
    pub fn hash(&self) -> Vec<u8> {
        secret::sha256(&self.bytes()).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_form() {
        let token = TenantToken::new("rt_", Uuid::from_u128(7)).unwrap();
        let text = token.text();
        let read = TenantToken::read("rt_", &text).unwrap();
        assert_eq!((read.tenant, read.hash()), (token.tenant, token.hash()));
        let upper = text.to_uppercase();
        for other in ["", "rt_", "rt_AAAA", &text[3..], &format!("{text}A"), &upper, &format!("{text}=")] {
            assert!(TenantToken::read("rt_", other).is_none(), "{other}");
        }
        assert!(TenantToken::read("tk_", &text).is_none());
    }

    #[test]
    fn an_api_key_has_one_form_and_says_nothing_of_its_secret_where_it_is_shown() {
        let (id, tenant) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let key = ApiKeyToken::new(id, tenant).unwrap();
        let text = key.text();
        let read = ApiKeyToken::read(&text).unwrap();
        assert_eq!((read.id, read.tenant, read.hash()), (id, tenant, key.hash()));
        let other = ApiKeyToken::new(id, tenant).unwrap();
        assert_eq!((key.shown(), key.shown().len()), (other.shown(), 15));
        assert_ne!(key.hash(), other.hash());
        let renamed = ApiKeyToken { id: tenant, ..ApiKeyToken::read(&text).unwrap() };
        assert_ne!(key.hash(), renamed.hash());
        let upper = text.to_uppercase();
        for other in ["", "tk_", "tk_AAAA", &text[3..], &format!("{text}A"), &upper, &format!("{text}=")] {
            assert!(ApiKeyToken::read(other).is_none(), "{other}");
        }
        assert!(ApiKeyToken::read(&TenantToken::new("tk_", tenant).unwrap().text()).is_none());
    }
}
