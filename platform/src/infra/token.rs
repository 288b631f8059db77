//! Tokens that stand for something of a tenant: refresh tokens, invitations, password resets, API keys. Each is a prefix
//! that says what it is and, in base64url, the tenant's id and 256 random bits. The tenant is in it so that it is looked
//! up in that tenant alone; SHA-256 of the random bits is all that is stored.
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

    /// As it is stored. It needs no salt and no slow hash: it cannot be guessed.
    pub fn hash(&self) -> Vec<u8> {
        secret::sha256(&self.secret).to_vec()
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
}
