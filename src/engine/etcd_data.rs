//! An etcd member whose data is damaged: found before anything is replaced, and left alone.

use crate::base::NodeName;
use crate::etcd::damage;
use crate::host::LogSource;

use super::Context;
use super::waiter::Not;

/// Lines of its log that are looked through: those of its last starts.
const LOG_LINES: usize = 200;

/// Whether a member is healthy, or at least says of nothing that it reads other bytes than it wrote.
pub(super) async fn whole(node: &NodeName, context: &Context<'_>) -> Result<(), Not> {
    let endpoints = &context.world.endpoints;
    let Err(error) = endpoints.etcd_health(node).await else { return Ok(()) };
    let mut lines = match context.world.hosts.get(node) {
        Some(host) => host.log_tail(&LogSource::Container("etcd".into()), LOG_LINES).await.unwrap_or_default(),
        None => Vec::new(),
    };
    lines.push(error.to_string());
    let Some(sign) = damage(&lines) else { return Ok(()) };
    let others = match endpoints.etcd_members().await {
        Ok(members) => members.iter().any(|(name, member)| member.started && name != node.as_str()),
        Err(_) => false,
    };
    Err(Not::Ever(format!(
        "the data of etcd on {node} is damaged, and the member was left alone: {sign}; {}",
        way_out(others)
    )))
}

/// How the member gets other data in the place of its own, which is kept beside it.
fn way_out(others_answer: bool) -> &'static str {
    if others_answer {
        "the other members serve on; replace its data by theirs: `provision etcd snapshot save --name NAME`, then \
         `provision etcd snapshot restore NAME`"
    } else {
        "replace its data by that of a snapshot: `provision etcd snapshot list`, then `provision etcd snapshot restore NAME`"
    }
}
