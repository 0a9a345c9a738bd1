//! `check network`: test pods on every node dial each other, and tell what came of it.

mod error;
mod image;
mod leftovers;
mod patience;
mod pods;
mod policy;
mod probes;
mod tester;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join;
use tokio::time::{Instant, sleep, timeout};

use crate::base::{Epoch, NodeName};
use crate::bundle::Bundles;
use crate::cluster::{Cluster, NetworkPlugin};
use crate::endpoints::{Credentials, EndpointError, TrialEndpoints};
use crate::engine::Cancellation;
use crate::entropy::RandomKeyMaker;
use crate::event::{Event, EventSink};
use crate::host::SharedHost;
use crate::journal::State;
use crate::netcheck::{Coverage, NetworkReport, Observations, Setting, Trial};
use crate::plan::node_is_ready;
use crate::state::{ImageReference, ObjectKey};

use super::connect::{Connections, Reach};
use super::load::Loaded;
use super::survey::connected;
use super::{OperationError, keys};

pub use error::CheckError;

/// What a check is asked for.
#[derive(Debug, Clone)]
pub struct NetworkCheckOptions {
    /// Time for everything but cleaning up.
    pub timeout: Duration,
    /// The image of the test pods, in the place of the catalog's.
    pub image: Option<ImageReference>,
    /// A name outside of the cluster that pods shall resolve.
    pub outside: Option<String>,
}

/// The way to hosts and to the API for a check.
pub trait TrialReach: Reach {
    /// Prepares to talk to the API through these hosts; nothing is connected before it is used.
    ///
    /// # Errors
    ///
    /// Certificates that cannot be used.
    fn trials(
        &self,
        cluster: &Cluster,
        hosts: &BTreeMap<NodeName, SharedHost>,
        credentials: &Credentials,
    ) -> Result<Arc<dyn TrialEndpoints>, EndpointError>;
}

/// Everything that a check needs.
pub struct NetworkCheckInput<'a> {
    /// The checked cluster.
    pub loaded: &'a Loaded,
    /// What the state folder holds.
    pub state: &'a State,
    /// Bundles at hand: one may hold the test pods' image.
    pub bundles: &'a Bundles,
    /// The way to the hosts.
    pub reach: &'a dyn TrialReach,
    /// Seconds since 1970.
    pub now: i64,
    /// A few random letters and digits that no other check has.
    pub mark: &'a str,
    /// Where progress goes.
    pub events: &'a dyn EventSink,
    /// The operator's wish to stop.
    pub cancellation: &'a Cancellation,
    /// What is asked for.
    pub options: &'a NetworkCheckOptions,
}

/// Checks the network between all nodes. What it makes for that is removed again, however it ends; only a second wish to
/// stop ends that too.
///
/// # Errors
///
/// What keeps the check from its end. A network that does not work is a report.
pub async fn check_network(input: &NetworkCheckInput<'_>) -> Result<NetworkReport, OperationError> {
    let started = Instant::now();
    let check = Check::prepare(input).await?;
    let own = check.trial.key();
    let (result, swept) = join(check.whole(started), sweep(&check, &own)).await;
    if let Err(error) = swept {
        check.notice(format!("what earlier checks may have left was not removed: {error}"));
    }
    let (coverage, seen) = result?;
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(NetworkReport::of(&input.loaded.cluster.name, &coverage, &seen, milliseconds))
}

async fn sweep(check: &Check<'_>, own: &ObjectKey) -> Result<(), EndpointError> {
    let sweep = leftovers::sweep(check.api.as_ref(), own);
    let removed = tokio::select! {
        removed = sweep => removed?,
        () = stopped(check.cancellation, 1) => return Ok(()),
    };
    for namespace in removed {
        check.notice(format!("removed namespace {namespace}, which an earlier check had left."));
    }
    Ok(())
}

/// A check under way.
struct Check<'a> {
    loaded: &'a Loaded,
    api: Arc<dyn TrialEndpoints>,
    hosts: BTreeMap<NodeName, SharedHost>,
    trial: Trial,
    setting: Setting,
    untested: Vec<(NodeName, String)>,
    options: &'a NetworkCheckOptions,
    events: &'a dyn EventSink,
    cancellation: &'a Cancellation,
    /// Changes which pairs are covered where not all are.
    rotation: usize,
    doing: Mutex<String>,
}

impl<'a> Check<'a> {
    /// Connects, and finds out which nodes can be tested.
    async fn prepare(input: &NetworkCheckInput<'a>) -> Result<Self, OperationError> {
        if input.state.current().is_none() {
            return Err(CheckError::NoCluster.into());
        }
        let cluster = &input.loaded.cluster;
        let material = keys::material(input.state);
        let credentials = Credentials::for_run(&material, true, input.now, &mut RandomKeyMaker)?;
        input.events.emit(Event::Phase { text: format!("connecting to {} hosts", cluster.nodes.len()) });
        let connections = input.reach.connect(cluster, input.events).await;
        let hosts = connected(&connections);
        let api = input.reach.trials(cluster, &hosts, &credentials)?;
        let (nodes, untested) = testable(cluster, &connections, api.as_ref()).await?;
        if nodes.is_empty() {
            let reasons = untested.iter().map(|(node, reason)| format!("{node}: {reason}")).collect();
            return Err(CheckError::NoNode(reasons).into());
        }
        let shipped = &input.loaded.release.images.network_check;
        let image = input.options.image.clone().unwrap_or_else(|| shipped.clone());
        let targets: Vec<_> = hosts.iter().filter(|(node, _)| nodes.contains(node)).collect();
        image::hand_in(&image, input.bundles, &targets, input.events).await?;
        Ok(Self {
            loaded: input.loaded,
            api,
            hosts,
            trial: Trial::new(input.mark, image, nodes),
            setting: setting(cluster),
            untested,
            options: input.options,
            events: input.events,
            cancellation: input.cancellation,
            rotation: usize::try_from(input.now).unwrap_or_default(),
            doing: Mutex::default(),
        })
    }

    fn cluster(&self) -> &Cluster {
        &self.loaded.cluster
    }

    /// Tells what is being done, once.
    fn phase(&self, text: impl Into<String>) {
        let text = text.into();
        let mut doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        if *doing != text {
            self.events.emit(Event::Phase { text: text.clone() });
            *doing = text;
        }
    }

    fn notice(&self, text: String) {
        self.events.emit(Event::Notice { text });
    }

    /// From the namespace's first moment to its last. Its making is not interrupted: it might come after its removal.
    async fn whole(&self, started: Instant) -> Result<(Coverage, Observations), OperationError> {
        let made = self.api.apply(Epoch::FIRST, &[self.trial.namespace_object(0)]).await;
        let result = match made {
            Ok(()) => self.guarded(started).await,
            Err(error) => Err(error.into()),
        };
        self.phase(format!("removing namespace {}", self.trial.namespace()));
        let key = self.trial.key();
        tokio::select! {
            removed = leftovers::remove(self.api.as_ref(), &key) => {
                if let Err(error) = removed {
                    self.notice(format!("namespace {} is left, and the next check removes it: {error}", key.name));
                }
            }
            () = stopped(self.cancellation, 2) => return Err(CheckError::Abandoned(key.name).into()),
        }
        result
    }

    /// The work, as long as nothing speaks against it.
    async fn guarded(&self, started: Instant) -> Result<(Coverage, Observations), OperationError> {
        let limit = self.options.timeout;
        let left = limit.saturating_sub(started.elapsed());
        tokio::select! {
            result = self.work() => result,
            error = leftovers::beat(self.api.as_ref(), &self.trial) => Err(CheckError::Lost(error.to_string()).into()),
            () = sleep(left) => {
                let waiting = self.doing.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Err(CheckError::TimedOut { limit, waiting }.into())
            }
            () = stopped(self.cancellation, 1) => Err(CheckError::Stopped.into()),
        }
    }

    async fn work(&self) -> Result<(Coverage, Observations), OperationError> {
        let (pods, unstarted) = pods::start(self).await?;
        let mut seen = Observations::new(self.setting.clone());
        seen.untested = self.untested.iter().cloned().chain(unstarted).collect();
        let coverage = probes::observe(self, &pods, &mut seen).await?;
        Ok((coverage, seen))
    }
}

/// Returns once the operator has wished so many times to stop.
async fn stopped(cancellation: &Cancellation, times: u8) {
    let holds = || if times > 1 { cancellation.aborts() } else { cancellation.stops() };
    while !holds() {
        // A wish between the look and the wait is seen at the next look.
        let _ = timeout(Duration::from_millis(200), cancellation.changed()).await;
    }
}

/// The nodes whose kubelets can start pods and whose hosts can be spoken to; of the others, why not.
async fn testable(
    cluster: &Cluster,
    connections: &Connections,
    api: &dyn TrialEndpoints,
) -> Result<(Vec<NodeName>, Vec<(NodeName, String)>), EndpointError> {
    let known = api.nodes().await?;
    let (mut nodes, mut untested) = (Vec::new(), Vec::new());
    for node in &cluster.nodes {
        let problem = match (connections.get(&node.name), known.get(&ObjectKey::node(&node.name))) {
            (Some(Err(reason)), _) => Some(reason.clone()),
            (None, _) => Some("no SSH connection".to_owned()),
            (_, None) => Some("it is not registered".to_owned()),
            (_, Some(live)) if !node_is_ready(live) => Some("it is not Ready".to_owned()),
            _ => None,
        };
        match problem {
            Some(problem) => untested.push((node.name.clone(), problem)),
            None => nodes.push(node.name.clone()),
        }
    }
    Ok((nodes, untested))
}

fn setting(cluster: &Cluster) -> Setting {
    let network = &cluster.network.plugin;
    let plugin = match network {
        NetworkPlugin::None => "the plugin that you have installed",
        NetworkPlugin::Canal(_) | NetworkPlugin::Flannel(_) => network.as_str(),
    };
    let vxlan_port = network.overlay().map(|overlay| overlay.port);
    let enforces_policy = network.enforces_policy();
    let name_server = cluster.network.dns_ip.to_string();
    Setting { plugin: plugin.to_owned(), vxlan_port, enforces_policy, name_server }
}
