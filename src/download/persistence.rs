//! When a site is asked again, and what its refusals mean.

use std::time::Duration;

use http::StatusCode;
use tokio::time::sleep;

use super::progress::Listener;
use super::{DownloadError, DownloadRequest, Progress};
use crate::web::{Answer, Patience, WebError, WebSettings, WebUrl};

/// What may pass.
#[derive(Debug)]
pub(super) enum Failure {
    /// No answer, or a part of one.
    Web(WebError),
    /// Busy or broken.
    Status { url: WebUrl, status: StatusCode, asked: Option<Duration> },
}

/// Asks again with growing pauses.
pub(super) struct Persistence<'a> {
    request: &'a DownloadRequest,
    progress: Listener<'a>,
    patience: Patience,
    answered: bool,
    most: u64,
}

impl<'a> Persistence<'a> {
    pub(super) fn new(request: &'a DownloadRequest, settings: &WebSettings, progress: Listener<'a>) -> Self {
        Self { request, progress, patience: Patience::new(settings), answered: false, most: 0 }
    }

    /// Bytes are there. Counting begins anew only when there are more than ever before, so that a site that goes on to
    /// send the same beginning has an end.
    pub(super) fn gained(&mut self, bytes: u64) {
        if bytes > self.most {
            self.most = bytes;
            self.patience.renew();
        }
    }

    /// Looks at an answer's status: Ok for one with the wanted body, which may be a part only where one was asked for.
    pub(super) fn judge(&mut self, answer: &Answer, part: bool) -> Result<Result<(), Failure>, DownloadError> {
        self.answered = true;
        let (status, url) = (answer.status(), answer.url());
        let passes =
            status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        match status {
            StatusCode::OK => Ok(Ok(())),
            StatusCode::PARTIAL_CONTENT if part => Ok(Ok(())),
            _ if passes => Ok(Err(Failure::Status { url, status, asked: answer.retry_after() })),
            _ => Err(DownloadError::Refused {
                item: self.request.to_string(),
                url,
                status: status.to_string(),
                meaning: meaning(status),
            }),
        }
    }

    /// Sleeps before the next attempt, or gives up. A site that was never reached is given up at once: its address is
    /// wrong more often than it is away for seconds.
    pub(super) async fn again(&mut self, failure: Failure) -> Result<(), DownloadError> {
        let (asked, reason) = match &failure {
            Failure::Web(error) => {
                let may_pass = error.may_pass() && (self.answered || matches!(error, WebError::Broken { .. }));
                if !may_pass {
                    return Err(self.give_up(failure));
                }
                (None, error.to_string())
            }
            Failure::Status { url, status, asked } => (*asked, format!("{url} answered {status}")),
        };
        let Some(pause) = self.patience.pause(asked) else { return Err(self.give_up(failure)) };
        let reason = format!("{reason}; asking again in {} s", pause.as_secs_f64());
        (self.progress)(Progress::Waits { reason });
        sleep(pause).await;
        Ok(())
    }

    fn give_up(&self, failure: Failure) -> DownloadError {
        let item = self.request.to_string();
        match failure {
            Failure::Web(source) => DownloadError::Web { item, source },
            Failure::Status { url, status, .. } => {
                DownloadError::Busy { item, url, status: status.to_string(), tries: self.patience.tries() }
            }
        }
    }
}

fn meaning(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            "this version or architecture does not exist at this site; look at `kubernetes_version`, or name another site in `downloads`"
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "the site does not give the file to us; write user and password into its address in `downloads`, or, where it needs none, \
             look whether this version and architecture exist there"
        }
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            "the proxy wants a user and a password; write them into HTTP_PROXY or HTTPS_PROXY"
        }
        _ => "that is not a file; look at the address in a browser, or name another site in `downloads`",
    }
}
