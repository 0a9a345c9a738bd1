//! Which nodes are tested against which.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::base::NodeName;

/// Up to so many nodes, each is tested against each: 132 pairs.
const MOST_NODES_FOR_ALL: usize = 12;
/// With more nodes, against so many others.
const OTHERS: usize = 8;

/// A direction: a pod on one node reaches for one on another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Pair {
    /// Where the connection begins.
    pub from: NodeName,
    /// Where it is to arrive.
    pub to: NodeName,
}

impl Pair {
    /// From one node to another.
    pub fn new(from: &NodeName, to: &NodeName) -> Self {
        Self { from: from.clone(), to: to.clone() }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} -> {}", self.from, self.to)
    }
}

/// The pairs of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// In order of their names.
    pub pairs: Vec<Pair>,
    /// How many there would be.
    pub all: usize,
    hub: Option<NodeName>,
}

impl Coverage {
    /// All pairs of few nodes. Of many, each node to some others, which `rotation` changes from check to check, and to
    /// and from the first, so that every node is reached and a node that nobody reaches stands out.
    pub fn of(nodes: &[NodeName], rotation: usize) -> Self {
        let count = nodes.len();
        let all = count * count.saturating_sub(1);
        let mut pairs = BTreeSet::new();
        let step = if count <= MOST_NODES_FOR_ALL { 1 } else { (count - 1) / OTHERS };
        let others = if count <= MOST_NODES_FOR_ALL { count.saturating_sub(1) } else { OTHERS };
        for (place, from) in nodes.iter().enumerate() {
            for turn in 0..others {
                let distance = 1 + (rotation + turn * step) % (count - 1);
                pairs.insert(Pair::new(from, &nodes[(place + distance) % count]));
            }
        }
        if let Some((hub, others)) = nodes.split_first() {
            pairs.extend(others.iter().flat_map(|node| [Pair::new(node, hub), Pair::new(hub, node)]));
        }
        let hub = nodes.first().filter(|_| pairs.len() < all).cloned();
        Self { pairs: pairs.into_iter().collect(), all, hub }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {} pairs of nodes", self.pairs.len(), self.all)?;
        match &self.hub {
            None => Ok(()),
            Some(hub) => write!(formatter, ": each to {OTHERS} others, which change from check to check, and {hub}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn nodes(count: usize) -> Vec<NodeName> {
        (0..count).map(|number| NodeName::new(format!("n{number}")).unwrap()).collect()
    }

    #[test]
    fn few_nodes_are_tested_each_against_each() {
        for count in [0, 1, 2, 3, 12] {
            let coverage = Coverage::of(&nodes(count), 5);
            assert_eq!(coverage.pairs.len(), coverage.all, "{count} nodes");
            assert!(coverage.pairs.iter().all(|pair| pair.from != pair.to));
        }
        assert_eq!(Coverage::of(&nodes(3), 0).to_string(), "6 of 6 pairs of nodes");
    }

    #[test]
    fn of_many_nodes_every_one_sends_and_is_reached() {
        for count in [13, 100, 500] {
            let nodes = nodes(count);
            let coverage = Coverage::of(&nodes, 7);
            assert!(coverage.pairs.len() <= count * (OTHERS + 2), "{}", coverage.pairs.len());
            let mut sent = BTreeMap::<&NodeName, usize>::new();
            let mut reached = sent.clone();
            for pair in &coverage.pairs {
                assert_ne!(pair.from, pair.to);
                *sent.entry(&pair.from).or_default() += 1;
                *reached.entry(&pair.to).or_default() += 1;
            }
            for node in &nodes {
                assert!(sent[node] >= OTHERS && reached[node] >= OTHERS, "{node} of {count}");
            }
        }
    }

    #[test]
    fn another_check_covers_other_pairs() {
        let nodes = nodes(200);
        let (one, other) = (Coverage::of(&nodes, 1), Coverage::of(&nodes, 2));
        let common = one.pairs.iter().filter(|pair| other.pairs.contains(pair)).count();
        assert!(common < one.pairs.len() / 2, "{common} of {}", one.pairs.len());
        assert_eq!(one, Coverage::of(&nodes, 1));
        assert!(one.to_string().contains("of 39800 pairs of nodes: each to 8 others"), "{one}");
    }
}
