//! The demo's tenants: two, so that isolation can be tried, with a person in every role. Idempotent: a tenant that is
//! there stays as it is.
mod bulk;

pub use bulk::{BulkPlan, bulk};

use crate::{
    access::Role,
    data::{Db, SystemReason, new_id},
    domain::{Domain, SeedTenant},
    domains::auth::service,
    error::{Error, Result},
    infra::clock::Clock,
    values::Slug,
};

/// The password of everybody in the demo. It is in the banner: it protects nothing.
pub const DEMO_PASSWORD: &str = "demo-tenantry-2026";

/// bcrypt of it at cost 12, so that a start need not spend a third of a second on it.
const DEMO_PASSWORD_HASH: &str = "$2b$12$HkUoYSWWctsWi7ysebN7VuGcGefMCYVpqOEwEOZG1UXHpc1P6Lv3y";

struct DemoTenant {
    slug: &'static str,
    name: &'static str,
    plan: &'static str,
    people: &'static [(&'static str, Role)],
}

const TENANTS: [DemoTenant; 2] = [
    DemoTenant {
        slug: "acme",
        name: "Acme Corporation",
        plan: "pro",
        people: &[
            ("Olivia Owner", Role::Owner),
            ("Adam Admin", Role::Admin),
            ("Mia Member", Role::Member),
            ("Victor Viewer", Role::Viewer),
        ],
    },
    DemoTenant {
        slug: "globex",
        name: "Globex Corporation",
        plan: "free",
        people: &[("Otto Owner", Role::Owner), ("Maya Member", Role::Member)],
    },
];

/// Makes what is missing; answers the slugs that were made.
pub async fn seed(db: &Db, clock: &Clock, domains: &[Domain]) -> Result<Vec<&'static str>> {
    let mut made = Vec::new();
    for demo in &TENANTS {
        let slug = Slug::new(demo.slug).map_err(Error::internal)?;
        let address = |role: &Role| format!("{role}@{}.test", demo.slug);
        let people: Vec<_> =
            demo.people.iter().map(|(name, role)| (address(role), (*name).to_owned(), *role)).collect();
        let now = clock.now();
        let seeded = db.as_tenant(SystemReason::Seed, new_id(now), now, async |conn| {
            let people =
                service::seed_tenant(conn, demo.name, &slug, demo.plan, &people, DEMO_PASSWORD_HASH).await?;
            let Some(people) = people else { return Ok(false) };
            let writers =
                people.iter().filter(|(_, role)| *role >= Role::Member).map(|(id, _)| *id).collect();
            let tenant = SeedTenant { slug: demo.slug, writers };
            for seed in domains.iter().filter_map(|domain| domain.seed) {
                seed(conn, &tenant).await?;
            }
            Ok(true)
        });
        if seeded.await? {
            made.push(demo.slug);
        }
    }
    Ok(made)
}
