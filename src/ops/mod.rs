//! Use cases: what each command does, without arguments and without a terminal.

mod authorities;
mod connect;
mod error;
mod key_files;
mod keys;
mod kubeconfig;
mod load;
mod pins;
mod status;
mod survey;
mod up;

pub use authorities::Authorities;
pub use connect::{ConnectOptions, Connections, Reach, SshReach};
pub use error::OperationError;
pub use kubeconfig::{kubeconfig, write_private};
pub use load::{Loaded, Setup, load};
pub use status::{Status, status};
pub use survey::{Survey, SurveyInput, survey};
pub use up::{Consent, UpInput, UpOutcome, up};
