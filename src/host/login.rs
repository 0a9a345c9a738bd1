//! Proving to sshd who we are.

use std::path::Path;
use std::sync::Arc;

use russh::client::{AuthResult, Handle, Handler};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, load_secret_key};

use super::{HostError, SshOptions};

/// sshd's `MaxAuthTries` is 6: after that it hangs up, and the message would be about the connection.
const MOST_AGENT_KEYS: usize = 5;

/// Tries the key file, then each key of the agent.
pub(super) async fn log_in(handle: &mut Handle<impl Handler>, options: &SshOptions) -> Result<(), HostError> {
    let mut tried = Vec::new();
    let hash = handle.best_supported_rsa_hash().await.map_err(|error| options.unreachable(&error))?.flatten();
    if let Some(path) = &options.key_path {
        match by_key_file(handle, options, path, hash).await? {
            None => return Ok(()),
            Some(reason) => tried.push(reason),
        }
    }
    if let Some(socket) = &options.agent {
        match by_agent(handle, options, socket, hash).await {
            None => return Ok(()),
            Some(reason) => tried.push(reason),
        }
    }
    let reason = if tried.is_empty() { "there is no key to try".into() } else { tried.join("; ") };
    Err(HostError::AuthenticationRefused { host: options.node.clone(), user: options.user.clone(), reason })
}

/// None when the key was accepted, otherwise why not.
async fn by_key_file(
    handle: &mut Handle<impl Handler>,
    options: &SshOptions,
    path: &Path,
    hash: Option<HashAlg>,
) -> Result<Option<String>, HostError> {
    let key = match load_secret_key(path, None) {
        Ok(key) => key,
        Err(russh::keys::Error::KeyIsEncrypted) => {
            return Ok(Some(format!("{} has a passphrase: load it into an SSH agent", path.display())));
        }
        Err(error) => return Ok(Some(format!("{}: {error}", path.display()))),
    };
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
    let result = handle.authenticate_publickey(&options.user, key).await;
    let result = result.map_err(|error| options.unreachable(&error))?;
    Ok((!is_success(&result)).then(|| format!("key {} is not accepted", path.display())))
}

/// None when a key of the agent was accepted, otherwise why none was.
async fn by_agent(
    handle: &mut Handle<impl Handler>,
    options: &SshOptions,
    socket: &Path,
    hash: Option<HashAlg>,
) -> Option<String> {
    let silent = |error: &dyn std::fmt::Display| Some(format!("the SSH agent at {}: {error}", socket.display()));
    let mut agent = match AgentClient::connect_uds(socket).await {
        Ok(agent) => agent,
        Err(error) => return silent(&error),
    };
    let identities = match agent.request_identities().await {
        Ok(identities) => identities,
        Err(error) => return silent(&error),
    };
    let keys = identities.iter().filter(|identity| matches!(identity, AgentIdentity::PublicKey { .. }));
    let count = keys.clone().count();
    for key in keys.take(MOST_AGENT_KEYS) {
        let key = key.public_key().into_owned();
        // An agent that does not sign with one key may do so with the next.
        let result = handle.authenticate_publickey_with(&options.user, key, hash, &mut agent).await;
        if result.is_ok_and(|result| is_success(&result)) {
            return None;
        }
    }
    Some(match count {
        0 => format!("the SSH agent at {} holds no key", socket.display()),
        1..=MOST_AGENT_KEYS => format!("none of the agent's {count} keys is accepted"),
        _ => format!("none of the first {MOST_AGENT_KEYS} of the agent's {count} keys is accepted"),
    })
}

fn is_success(result: &AuthResult) -> bool {
    matches!(result, AuthResult::Success)
}
