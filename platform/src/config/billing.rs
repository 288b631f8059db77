//! The account at Stripe, and which of its prices is which plan's.
use super::reader::Reader;
use crate::infra::{
    plans::Plan,
    stripe::{BillingSettings, Prices, StripeSettings},
};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;
use url::{Host, Url};

const KEY: &str = "STRIPE_SECRET_KEY";
const WEBHOOK: &str = "STRIPE_WEBHOOK_SECRET";
/// What the faults of missing secrets begin with: whoever serves nothing need not have them.
pub(super) const SECRETS_REQUIRED: [&str; 2] =
    ["STRIPE_SECRET_KEY: required", "STRIPE_WEBHOOK_SECRET: required"];
/// Which variable has the price of which plan.
const PRICES: [(&str, Plan); 3] = [
    ("STRIPE_PRICE_STARTER", Plan::Starter),
    ("STRIPE_PRICE_PRO", Plan::Pro),
    ("STRIPE_PRICE_ENTERPRISE", Plan::Enterprise),
];
const STRIPE: &str = "https://api.stripe.com";
const DAY: u64 = 24 * 60 * 60;

pub(super) fn billing(r: &mut Reader<'_>, production: bool) -> BillingSettings {
    let secret_key = secret_key(r);
    let webhook_secrets = webhook_secrets(r);
    let prices = prices(r);
    let api_base = api_base(r, production);
    let grace = Duration::from_secs(DAY * r.number("BILLING_GRACE_DAYS", 7, 0, 365));
    let (signed, priced) = (!webhook_secrets.is_empty(), !prices.is_empty());
    let stripe = match secret_key {
        Some(secret_key) => {
            if !signed {
                r.fault(
                    WEBHOOK,
                    "required with STRIPE_SECRET_KEY: the signing secret (whsec_…) of the webhook endpoint, without which \
                     no subscription is ever learnt of",
                );
            }
            if !priced {
                let names = PRICES.map(|(name, _)| name).join(", ");
                r.fault(PRICES[0].0, format!("required with STRIPE_SECRET_KEY: at least one of {names}"));
            }
            Some(StripeSettings {
                secret_key,
                webhook_secrets,
                prices: Prices::new(prices),
                api_base,
                deadline: StripeSettings::DEADLINE,
                first_delay: StripeSettings::FIRST_DELAY,
            })
        }
        None => {
            if signed || priced {
                let with = if signed { WEBHOOK } else { "STRIPE_PRICE_…" };
                r.fault(KEY, format!("required with {with}: the account's secret key (sk_… or rk_…)"));
            }
            None
        }
    };
    BillingSettings { stripe, grace }
}

/// What can be sent in a header and stands on one line.
fn is_plain(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn secret_key(r: &mut Reader<'_>) -> Option<SecretString> {
    let key = r.secret(KEY, &[])?;
    let text = key.expose_secret();
    if text.starts_with("pk_") || text.starts_with("whsec_") {
        r.fault(KEY, "must be the secret key (sk_…) or a restricted one (rk_…), not a publishable key or a signing secret");
    } else if !is_plain(text) {
        r.fault(KEY, "must be one line of visible ASCII characters");
    }
    Some(key)
}

/// Several, separated by commas, while one is rolled.
fn webhook_secrets(r: &mut Reader<'_>) -> Vec<SecretString> {
    let Some(all) = r.secret(WEBHOOK, &[]) else { return Vec::new() };
    let secrets: Vec<_> = all.expose_secret().split(',').map(str::trim).collect();
    if secrets.iter().any(|secret| !is_plain(secret)) {
        r.fault(WEBHOOK, "one of them is empty, or has other than visible ASCII characters");
    } else if secrets.iter().any(|secret| ["sk_", "rk_", "pk_"].iter().any(|key| secret.starts_with(key))) {
        r.fault(WEBHOOK, "must be the endpoint's signing secret (whsec_…), not a key of the API");
    }
    secrets.into_iter().map(SecretString::from).collect()
}

fn prices(r: &mut Reader<'_>) -> Vec<(Plan, String)> {
    let mut prices: Vec<(Plan, String)> = Vec::new();
    for (name, plan) in PRICES {
        let price = r.parsed(name, String::new(), |text| {
            if text.starts_with("prod_") {
                Err("is the id of a product: its price's (price_…) is needed".to_owned())
            } else if is_plain(text) {
                Ok(text.to_owned())
            } else {
                Err(format!("must be the id of a price (price_…), not {text:?}"))
            }
        });
        if price.is_empty() {
            continue;
        }
        match prices.iter().find(|(_, known)| *known == price) {
            Some((other, _)) => {
                r.fault(name, format!("is the price of the {other} plan too: each has its own"))
            }
            None => prices.push((plan, price)),
        }
    }
    prices
}

/// An origin. The key goes there, so in production it is not sent in the clear, unless to this machine.
fn api_base(r: &mut Reader<'_>, production: bool) -> String {
    r.parsed("STRIPE_API_BASE", STRIPE.to_owned(), |text| {
        let form = || format!("must be an origin such as {STRIPE}, without a path, not {text:?}");
        let url = Url::parse(text).map_err(|_| form())?;
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !bare || !anonymous {
            return Err(form());
        }
        let here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        if production && url.scheme() == "http" && !here {
            return Err("must begin with https:// in production".to_owned());
        }
        Ok(url.origin().ascii_serialization())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};

    const GOOD: &str = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5";

    fn faults(variables: &[(&str, &str)]) -> Vec<String> {
        Config::load(&Environment::of(variables.iter().copied())).err().unwrap_or_default()
    }

    /// Set up as it should be.
    const SET_UP: [(&str, &str); 5] = [
        ("STRIPE_SECRET_KEY", "sk_test_hunter2hunter2"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_hunter2a, whsec_hunter2b"),
        ("STRIPE_PRICE_STARTER", "price_1"),
        ("STRIPE_PRICE_PRO", "price_2"),
        ("STRIPE_API_BASE", "http://127.0.0.1:12111/"),
    ];

    #[test]
    fn billing_is_read_and_its_secrets_are_not_shown() {
        let (config, faults, settings) = Config::read(&Environment::of(SET_UP));
        assert_eq!(faults, Vec::<String>::new());
        let shown = format!("{settings:?} {config:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        let stripe = config.billing.stripe.unwrap();
        assert_eq!((stripe.webhook_secrets.len(), stripe.api_base.as_str()), (2, "http://127.0.0.1:12111"));
        assert_eq!(
            (stripe.prices.of(Plan::Pro), stripe.prices.of(Plan::Enterprise)),
            (Some("price_2"), None)
        );
        assert_eq!(stripe.prices.plan_of("price_1"), Some(Plan::Starter));
        assert_eq!(config.billing.grace.as_secs(), 7 * 24 * 60 * 60);
        let (config, faults, _) = Config::read(&Environment::default());
        assert!(faults.is_empty() && config.billing.stripe.is_none());
    }

    #[test]
    fn what_is_wrong_with_billing_is_named() {
        let others = |names: &[&str]| -> Vec<(&str, &str)> {
            SET_UP.into_iter().filter(|(name, _)| !names.contains(name)).collect()
        };
        let prices = ["STRIPE_PRICE_STARTER", "STRIPE_PRICE_PRO"];
        for (variables, named) in [
            (others(&["STRIPE_SECRET_KEY"]), "STRIPE_SECRET_KEY"),
            (vec![("STRIPE_PRICE_PRO", "price_2")], "STRIPE_SECRET_KEY"),
            (others(&["STRIPE_WEBHOOK_SECRET"]), "STRIPE_WEBHOOK_SECRET"),
            (others(&prices), "STRIPE_PRICE_STARTER"),
        ] {
            let found = faults(&variables);
            assert!(
                found.len() == 1 && found[0].starts_with(&format!("{named}: required with")),
                "{found:?}"
            );
            let own = [("DATABASE_URL", "sqlite:///tmp/x.db")];
            let migrating = Config::load_without_key(&Environment::of([own.as_slice(), &variables].concat()));
            assert_eq!(
                migrating.is_ok(),
                named != "STRIPE_PRICE_STARTER",
                "a migration needs no secret: {named}"
            );
        }
        for (name, value) in [
            ("STRIPE_SECRET_KEY", "pk_test_hunter2"),
            ("STRIPE_SECRET_KEY", "sk_test hunter2"),
            ("STRIPE_WEBHOOK_SECRET", "whsec_hunter2,"),
            ("STRIPE_WEBHOOK_SECRET", "sk_test_hunter2"),
            ("STRIPE_PRICE_PRO", "price_1"),
            ("STRIPE_PRICE_PRO", "prod_1"),
            ("STRIPE_PRICE_PRO", "a price"),
            ("STRIPE_API_BASE", "https://api.stripe.com/v1"),
            ("STRIPE_API_BASE", "https://user@api.stripe.com"),
            ("STRIPE_API_BASE", "api.stripe.com"),
            ("STRIPE_API_BASE", "ftp://api.stripe.com"),
            ("BILLING_GRACE_DAYS", "-1"),
            ("BILLING_GRACE_DAYS", "a week"),
        ] {
            let mut variables = others(&[name]);
            variables.push((name, value));
            let found = faults(&variables);
            assert!(
                found.len() == 1 && found[0].starts_with(&format!("{name}: ")),
                "{name}={value}: {found:?}"
            );
            assert!(!found[0].contains("hunter2"), "{found:?}");
        }
        let own = [
            ("ENVIRONMENT", "production"),
            ("DATABASE_URL", "sqlite:///tmp/x.db"),
            ("SECRET_KEY", GOOD),
            ("WEBHOOK_SIGNING_SECRET", GOOD),
        ];
        let mut variables = [own.as_slice(), &SET_UP].concat();
        assert_eq!(faults(&variables), Vec::<String>::new(), "this machine may be spoken to in the clear");
        variables.push(("STRIPE_API_BASE", "http://stripe.internal"));
        assert_eq!(faults(&variables).len(), 1);
    }
}
