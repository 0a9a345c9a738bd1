//! What can go wrong with a registry.

use std::path::PathBuf;

use crate::state::ImageReference;

/// Why an image could not be asked for or saved. Each names image, registry and the next step; none holds a password, a token,
/// or an address with a signature in it.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The image's name cannot be asked for.
    #[error("image `{image}`: {reason}")]
    Name {
        /// As it was written.
        image: ImageReference,
        /// What is wrong with it, and what to write.
        reason: String,
    },
    /// Settings for a registry cannot be used.
    #[error("registry {registry}: {reason}")]
    Settings {
        /// Host and port.
        registry: String,
        /// What is wrong with them.
        reason: String,
    },
    /// No connection.
    #[error(
        "image {image}: registry {registry} cannot be reached: {reason}; check its name, the network and the proxy"
    )]
    Unreachable {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
        /// What the network said.
        reason: String,
    },
    /// The proxy of this machine refuses to connect.
    #[error(
        "image {image}: the proxy does not connect to registry {registry}: {reason}; check HTTPS_PROXY with its user and password, or name the registry in NO_PROXY"
    )]
    Proxy {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
        /// What the proxy said.
        reason: String,
    },
    /// The registry is silent.
    #[error("image {image}: registry {registry} did not answer within {seconds} s; try again, or allow more time")]
    TimedOut {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
        /// How long was waited.
        seconds: u64,
    },
    /// Connections broke again and again.
    #[error("image {image}: the connection to registry {registry} broke {tries} times: {reason}; try again")]
    Broken {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
        /// How often it was tried.
        tries: u32,
        /// The last reason.
        reason: String,
    },
    /// Nobody that is trusted vouches for the registry.
    #[error(
        "image {image}: the certificate of registry {registry} is signed by an authority that is not trusted: give the authority's certificate with the registry in `private_registries`"
    )]
    UnknownAuthority {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
    },
    /// The certificate has run out.
    #[error(
        "image {image}: the certificate of registry {registry} has expired: have it renewed, and check this machine's clock"
    )]
    CertificateExpired {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
    },
    /// The certificate is wrong in another way.
    #[error("image {image}: the certificate of registry {registry} cannot be accepted: {reason}")]
    Certificate {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
        /// What is wrong with it, such as the names that it has.
        reason: String,
    },
    /// The registry has no TLS.
    #[error(
        "image {image}: registry {registry} speaks HTTP without TLS: say `plain_http: true` for it in `private_registries` if every machine on the way is trusted, or give it a certificate"
    )]
    PlainHttp {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
    },
    /// The registry has TLS and was not expected to.
    #[error("image {image}: registry {registry} speaks TLS: take `plain_http` away from it in `private_registries`")]
    NotPlainHttp {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
    },
    /// User and password are refused.
    #[error(
        "image {image}: registry {registry} refuses user {user}: {reason}; check user and password in `private_registries`, and that the user may pull this image"
    )]
    PasswordRefused {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
        /// User.
        user: String,
        /// Status and the registry's words.
        reason: String,
    },
    /// No user is known, and one is asked for. Public registries say so of images that do not exist, too.
    #[error(
        "image {image}: registry {registry} shows it only to users that it knows: {reason}; check the name, or give user and password in `private_registries`"
    )]
    PasswordNeeded {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
        /// Status and the registry's words.
        reason: String,
    },
    /// The registry does not have it.
    #[error("image {image}: registry {registry} has no {what}; check the name, or push it there")]
    Missing {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
        /// Repository, tag, or digest.
        what: String,
    },
    /// The image is not made for the architecture.
    #[error("image {image}: registry {registry} has it for {found} and not for linux/{wanted}; name another image")]
    Architecture {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
        /// What was asked for, in Go's words.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// The registry is overloaded or ill.
    #[error("image {image}: registry {registry} answered {reason} to {tries} tries; try again later")]
    Busy {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
        /// How often it was tried.
        tries: u32,
        /// The last status and the registry's words, and how long it asks to wait.
        reason: String,
    },
    /// Something else answers in the registry's place, such as a proxy.
    #[error(
        "image {image}: not registry {registry} but a web page answers: {reason}; check the proxy and the registry's name"
    )]
    WebPage {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
        /// Status and the page's title.
        reason: String,
    },
    /// An answer that the distribution API does not know.
    #[error("image {image}: registry {registry} answered what is not understood: {reason}")]
    Unexpected {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The image is of a kind that is not supported.
    #[error(
        "image {image}: registry {registry} has it in a form that is not supported: {reason}; push it there again with a newer tool"
    )]
    Unsupported {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
        /// What it is.
        reason: String,
    },
    /// Bytes are not those that their digest names.
    #[error(
        "image {image}: registry {registry} sent wrong bytes: {reason}; what was received is thrown away. Try again, and check the proxy and the registry's disk"
    )]
    Content {
        /// Image.
        image: ImageReference,
        /// Host and port.
        registry: String,
        /// What has which digest or size instead of which.
        reason: String,
    },
    /// This machine's disk is full.
    #[error("image {image}: the disk of {path} is full; what was written is removed. Make room for {wanted} bytes and try again", path = path.display())]
    DiskFull {
        /// Image.
        image: ImageReference,
        /// The folder.
        path: PathBuf,
        /// What saving the image takes at most.
        wanted: u64,
    },
    /// This machine's disk refused.
    #[error("image {image}: {operation} {path}: {source}", path = path.display())]
    Disk {
        /// Image.
        image: ImageReference,
        /// What was being done, in its -ing form.
        operation: &'static str,
        /// File or folder.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
}
