//! Checksums that sites publish beside files.

use super::error::DownloadError;
use super::excerpt::excerpt;
use super::persistence::{Failure, Persistence};
use crate::base::Digest;
use crate::web::{Web, WebUrl};

/// A digest and a long file name have some hundred bytes.
const LARGEST: usize = 4096;

/// Asks a site for a file's digest.
pub(super) async fn fetch(
    web: &Web,
    item: &str,
    url: &WebUrl,
    mut persistence: Persistence<'_>,
) -> Result<Digest, DownloadError> {
    loop {
        let failure = match attempt(web, url, &mut persistence).await? {
            Ok(text) => {
                let refused =
                    || DownloadError::Checksum { item: item.to_owned(), url: url.clone(), excerpt: excerpt(&text) };
                return parse(&text).ok_or_else(refused);
            }
            Err(failure) => failure,
        };
        persistence.again(failure).await?;
    }
}

async fn attempt(
    web: &Web,
    url: &WebUrl,
    persistence: &mut Persistence<'_>,
) -> Result<Result<Vec<u8>, Failure>, DownloadError> {
    let mut answer = match web.get(url, None).await {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(Failure::Web(error))),
    };
    if let Err(failure) = persistence.judge(&answer, false)? {
        return Ok(Err(failure));
    }
    let mut text = Vec::new();
    // More than fits is no checksum, and need not be read to the end.
    while text.len() <= LARGEST {
        match answer.chunk().await {
            Ok(Some(bytes)) => text.extend_from_slice(&bytes),
            Ok(None) => break,
            Err(error) => return Ok(Err(Failure::Web(error))),
        }
    }
    Ok(Ok(text))
}

/// Reads the digits alone, or a line of `sha256sum`: digits, a space, a space or (for binary mode) a star, a name.
pub(super) fn parse(text: &[u8]) -> Option<Digest> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= LARGEST)?.trim();
    let digits = match text.split_once(' ') {
        None => text,
        Some((digits, rest)) => {
            let name = rest.strip_prefix([' ', '*'])?;
            (!name.is_empty() && !name.contains(char::is_control)).then_some(digits)?
        }
    };
    let hexadecimal = digits.len() == 64 && !digits.contains(':');
    hexadecimal.then(|| Digest::parse(&digits.to_ascii_lowercase()))?
}
