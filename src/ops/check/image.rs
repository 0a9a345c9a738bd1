//! The test pods' image out of a bundle. Without one, kubelets pull it.

use futures::future::join_all;

use super::CheckError;
use crate::base::{Epoch, NodeName};
use crate::bundle::Bundles;
use crate::event::{Event, EventSink};
use crate::host::{Change, LookRequest, SharedHost};
use crate::ops::pins::transfer;
use crate::state::{ImageReference, ImageStore};

/// Loads the image where it is missing and a bundle has it.
pub(super) async fn hand_in(
    image: &ImageReference,
    bundles: &Bundles,
    hosts: &[(&NodeName, &SharedHost)],
    events: &dyn EventSink,
) -> Result<(), CheckError> {
    let Some(item) = bundles.image(image) else { return Ok(()) };
    let change = Change::LoadImage {
        store: ImageStore::Containerd,
        reference: image.clone(),
        id: None,
        payload: transfer(item),
    };
    let load = |node: NodeName, host: SharedHost, change: Change| async move {
        let failed = |error: crate::host::HostError| format!("{node}: {error}");
        let snapshot = host.look(&LookRequest::default()).await.map_err(failed)?;
        if snapshot.containerd_images.contains_key(image) {
            return Ok(());
        }
        events.emit(Event::Phase { text: format!("loading {image} into containerd of {node}") });
        host.change(Epoch::FIRST, &change, &|_| {}).await.map_err(failed)
    };
    let loads = hosts.iter().map(|(node, host)| load((*node).clone(), SharedHost::clone(host), change.clone()));
    let problems: Vec<String> = join_all(loads).await.into_iter().filter_map(Result::err).collect();
    if problems.is_empty() { Ok(()) } else { Err(CheckError::NotLoaded(problems)) }
}
