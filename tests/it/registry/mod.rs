//! A registry of our own on this machine, and everything that can go wrong between it and us.

mod certificates;
mod image;
mod passwords;
mod proxies;
mod refusals;
mod repetition;
mod saving;
mod server;
mod trust;
mod writing;

use std::time::Duration;

use provision::base::Secret;
use provision::registry::{Registries, RegistryAccess, RegistryError, RegistrySettings, ResolvedImage};
use provision::state::ImageReference;

use server::Server;

/// What no error may hold.
const PASSWORD: &str = "hunter2";
const PASSWORD_IN_BASE64: &str = "cm9ib3Q6aHVudGVyMg==";
const TOKEN: &str = "token-of-the-day";

/// Settings that lose no time.
fn settings(access: RegistryAccess) -> RegistrySettings {
    RegistrySettings {
        accesses: vec![access],
        connect_timeout: Duration::from_secs(5),
        answer_timeout: Duration::from_secs(5),
        retries: 3,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_secs(2),
        ..RegistrySettings::default()
    }
}

/// A registry as it is without TLS and without a password.
fn open(server: &Server) -> RegistryAccess {
    RegistryAccess { host: server.host.clone(), credentials: None, authority: None, plain_http: true }
}

fn with_password(access: RegistryAccess, password: &str) -> RegistryAccess {
    RegistryAccess { credentials: Some(("robot".into(), Secret::new(password))), ..access }
}

fn reference(server: &Server, name: &str) -> ImageReference {
    ImageReference(format!("{}/{name}", server.host))
}

async fn resolve(settings: &RegistrySettings, image: &ImageReference) -> Result<ResolvedImage, RegistryError> {
    Registries::new(settings).unwrap().resolve(image, "amd64").await
}

/// Resolves what cannot be resolved; the refusal names the image and gives away nothing.
async fn refusal(settings: &RegistrySettings, image: &ImageReference) -> RegistryError {
    let error = resolve(settings, image).await.unwrap_err();
    check_text(&error, image);
    error
}

fn check_text(error: &RegistryError, image: &ImageReference) {
    let text = format!("{error} {error:?}");
    assert!(text.contains(&image.0), "{text}");
    for secret in [PASSWORD, PASSWORD_IN_BASE64, TOKEN, "X-Signature"] {
        assert!(!text.contains(secret), "{text}");
    }
}
