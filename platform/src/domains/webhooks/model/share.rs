//! Whose deliveries come next: a node has so many at a time, and one slow endpoint or tenant shall delay no other.
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};
use uuid::Uuid;

/// How many deliveries a node has under way at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In all.
    pub all: usize,
    /// Of one tenant.
    pub tenant: usize,
    /// Of one endpoint. One that fails has one at a time.
    pub endpoint: usize,
}

/// What waits at an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub tenant: Uuid,
    pub endpoint: Uuid,
    /// How many are due, as far as they were counted.
    pub due: usize,
    /// Whether its last delivery failed.
    pub failing: bool,
}

/// How many of an endpoint are taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub tenant: Uuid,
    pub endpoint: Uuid,
    pub take: usize,
}

/// Shares out what is free. Each place goes to the tenant that has fewest, and there to the endpoint that has fewest. The
/// last eighth of all is for tenants that have none, and the last quarter of a tenant's for its endpoints that have
/// none: so whoever comes late finds room, whatever hangs. `running` are tenant and endpoint of what is under way.
pub fn share(limits: Limits, running: impl Iterator<Item = (Uuid, Uuid)>, loads: &[Load]) -> Vec<Turn> {
    let (mut all, mut tenants, mut endpoints) = (0, HashMap::new(), HashMap::new());
    for (tenant, endpoint) in running {
        all += 1;
        *tenants.entry(tenant).or_insert(0) += 1;
        *endpoints.entry(endpoint).or_insert(0) += 1;
    }
    let mut turns: Vec<_> =
        loads.iter().map(|load| Turn { tenant: load.tenant, endpoint: load.endpoint, take: 0 }).collect();
    let of = |tenants: &HashMap<Uuid, usize>, i: usize| tenants.get(&loads[i].tenant).copied().unwrap_or(0);
    let mut waiting: BinaryHeap<_> = (0..loads.len())
        .map(|i| Reverse((of(&tenants, i), endpoints.get(&loads[i].endpoint).copied().unwrap_or(0), i)))
        .collect();
    while let Some(Reverse((known, of_endpoint, i))) = waiting.pop() {
        let (of_tenant, load) = (of(&tenants, i), &loads[i]);
        if of_tenant > known {
            waiting.push(Reverse((of_tenant, of_endpoint, i))); // others of this tenant had their turns
            continue;
        }
        let room = all < limits.all - limits.all / 8 || (all < limits.all && of_tenant == 0);
        let own_room =
            of_tenant < limits.tenant - limits.tenant / 4 || (of_tenant < limits.tenant && of_endpoint == 0);
        let most = if load.failing { 1 } else { limits.endpoint };
        if !room || !own_room || of_endpoint >= most || turns[i].take >= load.due {
            continue; // all of these only grow, so it has no turn this time
        }
        turns[i].take += 1;
        all += 1;
        *tenants.entry(load.tenant).or_insert(0) += 1;
        waiting.push(Reverse((of_tenant + 1, of_endpoint + 1, i)));
    }
    turns.retain(|turn| turn.take > 0);
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { all: 64, tenant: 32, endpoint: 8 };

    fn load(tenant: u128, endpoint: u128, due: usize, failing: bool) -> Load {
        Load { tenant: Uuid::from_u128(tenant), endpoint: Uuid::from_u128(endpoint), due, failing }
    }

    fn taken(turns: &[Turn], endpoint: u128) -> usize {
        turns.iter().find(|turn| turn.endpoint == Uuid::from_u128(endpoint)).map_or(0, |turn| turn.take)
    }

    fn running(endpoints: &[(u128, u128, usize)]) -> impl Iterator<Item = (Uuid, Uuid)> {
        endpoints.iter().flat_map(|(tenant, endpoint, count)| {
            std::iter::repeat_n((Uuid::from_u128(*tenant), Uuid::from_u128(*endpoint)), *count)
        })
    }

    #[test]
    fn nobody_gets_more_than_there_is_or_than_one_may_have() {
        let turns = share(LIMITS, running(&[]), &[load(1, 11, 3, false), load(1, 12, 100, false)]);
        assert_eq!((taken(&turns, 11), taken(&turns, 12)), (3, 8));
        assert_eq!(share(LIMITS, running(&[(1, 11, 8)]), &[load(1, 11, 9, false)]), []);
        assert_eq!(taken(&share(LIMITS, running(&[]), &[load(1, 11, 9, true)]), 11), 1);
        assert_eq!(share(LIMITS, running(&[(1, 11, 1)]), &[load(1, 11, 9, true)]), []);
    }

    #[test]
    fn a_tenant_with_many_endpoints_leaves_room_for_one_with_one() {
        let mut loads: Vec<_> = (100..200).map(|endpoint| load(1, endpoint, 100, false)).collect();
        loads.extend([load(2, 11, 100, false), load(3, 12, 2, false)]);
        let turns = share(LIMITS, running(&[]), &loads);
        let of_first: usize = (100..200).map(|endpoint| taken(&turns, endpoint)).sum();
        assert_eq!((of_first, taken(&turns, 11), taken(&turns, 12)), (32, 8, 2));
    }

    #[test]
    fn whoever_comes_late_finds_room() {
        // everything that hangs has been given all that it can have
        let mut hanging = Vec::new();
        for tenant in 1..10_u128 {
            for endpoint in 0..40 {
                hanging.push(load(tenant, tenant * 1000 + endpoint, 100, false));
            }
        }
        let turns = share(LIMITS, running(&[]), &hanging);
        let held: Vec<_> = turns
            .iter()
            .flat_map(|turn| std::iter::repeat_n((turn.tenant, turn.endpoint), turn.take))
            .collect();
        assert_eq!(held.len(), 56);
        hanging.push(load(77, 7, 10, false));
        let late = share(LIMITS, held.into_iter(), &hanging);
        assert_eq!(late, [Turn { tenant: Uuid::from_u128(77), endpoint: Uuid::from_u128(7), take: 1 }]);
    }

    #[test]
    fn a_good_endpoint_finds_room_beside_bad_ones_of_its_tenant() {
        let bad: Vec<_> = (0..9).map(|endpoint| load(1, endpoint, 100, false)).collect();
        let turns = share(LIMITS, running(&[]), &bad);
        let held: Vec<_> = turns
            .iter()
            .flat_map(|turn| std::iter::repeat_n((turn.tenant, turn.endpoint), turn.take))
            .collect();
        assert_eq!(held.len(), 24);
        let late = share(LIMITS, held.into_iter(), &[bad, vec![load(1, 99, 5, false)]].concat());
        assert_eq!((late.len(), taken(&late, 99)), (1, 1));
    }
}
