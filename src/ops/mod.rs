//! Use cases: what each command does, without arguments and without a terminal.

mod addons;
mod authorities;
mod check;
mod connect;
mod crossing;
mod drain_forecast;
mod error;
mod etcd_snapshot;
mod images;
mod journal_log;
mod key_files;
mod keys;
mod kubeconfig;
mod load;
mod past;
mod pins;
mod rollback;
mod rollback_target;
mod status;
mod suppliers;
mod supply;
mod survey;
mod up;
mod way_back;

pub use addons::{Addons, fetch_addons};
pub use authorities::Authorities;
pub use check::{CheckError, NetworkCheckInput, NetworkCheckOptions, TrialReach, check_network};
pub use connect::{ConnectOptions, Connections, Reach, SshReach};
pub use error::OperationError;
pub use etcd_snapshot::{
    Listed, Listing, LossConsent, Restored, SnapshotError, SnapshotInput, abort_restore, list_snapshots,
    restore_snapshot, save_snapshot, snapshot_spec, verify_snapshots,
};
pub use images::{CreatedBundle, Extras, NeededImage, create_bundle, images};
pub use kubeconfig::{kubeconfig, write_private};
pub use load::{Loaded, Setup, catalog, load, load_generation};
pub use past::{
    Difference, GenerationLine, GenerationState, History, PinChange, RunLine, RunOutcome, difference, generation,
    history, replay_json, replay_plain, run,
};
pub use rollback::{rollback, rollback_with_snapshot};
pub use rollback_target::{reason_to_stay, rollback_target};
pub use status::{Status, status};
pub use suppliers::{NetworkSuppliers, OfferedImage, Suppliers, SupplyEnvironment, WantedFile};
pub use survey::{Survey, SurveyInput, survey};
pub use up::{Consent, PATIENCE, UpInput, UpOutcome, up};
