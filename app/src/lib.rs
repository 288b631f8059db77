//! A product on Tenantry. Its own domains are folders here, beside `orders`.
pub mod orders;

use tenantry::App;

/// Every domain of the product, and with them every route.
pub fn app() -> App {
    App::new().domain(orders::domain())
}
