//! The little HTTP that commands need: one request, one JSON answer.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// A name as one part of a path, whatever is in it.
pub(crate) fn segment(name: &str) -> impl std::fmt::Display + '_ {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC)
}

/// Sends a request to a node and gives the body of its answer.
pub(crate) async fn request(method: http::Method, url: &str, body: Bytes) -> anyhow::Result<Bytes> {
    let request = http::Request::builder().method(method).uri(url);
    send(request, body).await
}

/// The same with headers.
pub(crate) async fn send(request: http::request::Builder, body: Bytes) -> anyhow::Result<Bytes> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = request.body(Full::new(body))?;
    let url = request.uri().clone();
    let hint =
        || format!("no node answers at {url}; start one with `leap serve`, or name it with --url");
    let response = client.request(request).await.with_context(hint)?;
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .with_context(hint)?
        .to_bytes();
    if status.is_success() {
        return Ok(body);
    }
    match serde_json::from_slice::<serde_json::Value>(&body) {
        Ok(error) => bail!(
            "{} ({})",
            error["message"].as_str().unwrap_or("the node refused"),
            error["hint"].as_str().unwrap_or("no hint")
        ),
        Err(_) => bail!("the node answered {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_elsewhere() {
        assert_eq!(segment("kv").to_string(), "kv");
        assert_eq!(segment("log#17").to_string(), "log%2317");
        assert_eq!(segment("a/../b?c d").to_string(), "a%2F%2E%2E%2Fb%3Fc%20d");
    }
}
