//! The parameters that Stripe's API takes, by the names that it publishes (version 2026-02-25.clover), as far as they
//! belong to the calls of the product. What is not listed is refused, as Stripe refuses it.
use serde_json::{Value, json};

/// A call of the API.
pub struct Endpoint {
    pub method: &'static str,
    /// An identifier stands in the place of `{id}`.
    pub path: &'static str,
    names: &'static [&'static str],
    required: &'static [&'static str],
}

pub const ENDPOINTS: [Endpoint; 5] = [
    Endpoint {
        method: "POST",
        path: "/v1/customers",
        names: &[
            "address",
            "balance",
            "business_name",
            "cash_balance",
            "description",
            "email",
            "expand",
            "individual_name",
            "invoice_prefix",
            "invoice_settings",
            "metadata",
            "name",
            "next_invoice_sequence",
            "payment_method",
            "phone",
            "preferred_locales",
            "shipping",
            "source",
            "tax",
            "tax_exempt",
            "tax_id_data",
            "test_clock",
            "validate",
        ],
        required: &[],
    },
    Endpoint {
        method: "POST",
        path: "/v1/checkout/sessions",
        names: &[
            "adaptive_pricing",
            "after_expiration",
            "allow_promotion_codes",
            "automatic_tax",
            "billing_address_collection",
            "branding_settings",
            "cancel_url",
            "client_reference_id",
            "consent_collection",
            "currency",
            "custom_fields",
            "custom_text",
            "customer",
            "customer_account",
            "customer_creation",
            "customer_email",
            "customer_update",
            "discounts",
            "excluded_payment_method_types",
            "expand",
            "expires_at",
            "invoice_creation",
            "line_items",
            "locale",
            "metadata",
            "mode",
            "name_collection",
            "optional_items",
            "origin_context",
            "payment_intent_data",
            "payment_method_collection",
            "payment_method_configuration",
            "payment_method_data",
            "payment_method_options",
            "payment_method_types",
            "permissions",
            "phone_number_collection",
            "redirect_on_completion",
            "return_url",
            "saved_payment_method_options",
            "setup_intent_data",
            "shipping_address_collection",
            "shipping_options",
            "submit_type",
            "subscription_data",
            "success_url",
            "tax_id_collection",
            "ui_mode",
            "wallet_options",
        ],
        required: &["mode", "success_url", "line_items[0][price]", "line_items[0][quantity]"],
    },
    Endpoint {
        method: "POST",
        path: "/v1/billing_portal/sessions",
        names: &[
            "configuration",
            "customer",
            "customer_account",
            "expand",
            "flow_data",
            "locale",
            "on_behalf_of",
            "return_url",
        ],
        required: &["customer"],
    },
    Endpoint {
        method: "GET",
        path: "/v1/subscriptions",
        names: &[
            "automatic_tax",
            "collection_method",
            "created",
            "current_period_end",
            "current_period_start",
            "customer",
            "customer_account",
            "ending_before",
            "expand",
            "limit",
            "plan",
            "price",
            "starting_after",
            "status",
            "test_clock",
        ],
        required: &[],
    },
    Endpoint { method: "GET", path: "/v1/subscriptions/{id}", names: &["expand"], required: &[] },
];

/// What stands within a parameter. Of `metadata` any name does.
const WITHIN: [(&str, &[&str]); 2] = [
    (
        "line_items",
        &[
            "adjustable_quantity",
            "dynamic_tax_rates",
            "metadata",
            "price",
            "price_data",
            "quantity",
            "tax_rates",
        ],
    ),
    (
        "subscription_data",
        &[
            "application_fee_percent",
            "billing_cycle_anchor",
            "billing_mode",
            "default_tax_rates",
            "description",
            "invoice_settings",
            "metadata",
            "on_behalf_of",
            "proration_behavior",
            "transfer_data",
            "trial_end",
            "trial_period_days",
            "trial_settings",
        ],
    ),
];

/// Words that a parameter must be one of.
const WORDS: [(&str, &[&str]); 2] = [
    ("mode", &["payment", "setup", "subscription"]),
    (
        "status",
        &[
            "active",
            "all",
            "canceled",
            "ended",
            "incomplete",
            "incomplete_expired",
            "past_due",
            "paused",
            "trialing",
            "unpaid",
        ],
    ),
];

impl Endpoint {
    /// The call of a request, and the identifier in its path.
    pub fn of(method: &str, path: &str) -> Option<(&'static Self, Option<String>)> {
        ENDPOINTS.iter().filter(|endpoint| endpoint.method == method).find_map(|endpoint| {
            match endpoint.path.strip_suffix("{id}") {
                None => (endpoint.path == path).then_some((endpoint, None)),
                Some(before) => {
                    let id = path.strip_prefix(before).filter(|id| !id.is_empty() && !id.contains('/'))?;
                    Some((endpoint, Some(id.to_owned())))
                }
            }
        })
    }

    /// What Stripe refuses of these parameters.
    pub fn refusal(&self, parameters: &[(String, String)]) -> Option<Value> {
        let refused = |code: &str, name: &str, message: String| {
            Some(
                json!({ "error": { "type": "invalid_request_error", "code": code, "param": name, "message": message } }),
            )
        };
        for (i, (name, value)) in parameters.iter().enumerate() {
            if !self.takes(name) {
                return refused("parameter_unknown", name, format!("Received unknown parameter: {name}"));
            }
            if parameters[..i].iter().any(|(before, _)| before == name) {
                return refused("parameter_invalid", name, format!("{name} was given twice"));
            }
            let words = WORDS.iter().find(|(word, _)| word == name);
            if words.is_some_and(|(_, words)| !words.contains(&value.as_str())) {
                return refused("parameter_invalid", name, format!("Invalid {name}: {value}"));
            }
            if name.contains("metadata") && (value.is_empty() || value.len() > 500) {
                return refused(
                    "parameter_invalid",
                    name,
                    "Metadata values have 1 to 500 characters".to_owned(),
                );
            }
            if name.ends_with("_url") && !(value.starts_with("https://") || value.starts_with("http://")) {
                return refused("url_invalid", name, "Not a valid URL".to_owned());
            }
        }
        let missing =
            self.required.iter().find(|name| !parameters.iter().any(|(given, _)| given == *name))?;
        refused("parameter_missing", missing, format!("Missing required param: {missing}."))
    }

    fn takes(&self, name: &str) -> bool {
        let mut parts = name.split('[').map(|part| part.trim_end_matches(']'));
        let top = parts.next().unwrap_or_default();
        let mut rest: Vec<_> = parts.collect();
        let well_formed = name.matches('[').count() == name.matches(']').count();
        if !well_formed || !self.names.contains(&top) {
            return false;
        }
        if top == "line_items" {
            if rest.first().is_none_or(|index| index.parse::<u8>().is_err()) {
                return false;
            }
            rest.remove(0);
        }
        match (top, rest.as_slice()) {
            ("metadata", [key]) => key.len() <= 40,
            (_, []) => !WITHIN.iter().any(|(nested, _)| *nested == top) && top != "metadata",
            (_, [member, rest @ ..]) => {
                let within = WITHIN.iter().find(|(nested, _)| *nested == top);
                within.is_some_and(|(_, members)| members.contains(member))
                    && if *member == "metadata" { rest.len() == 1 } else { rest.is_empty() }
            }
        }
    }
}
