//! `leap call`.

use bytes::Bytes;
use clap::Args;

use crate::http::segment;

/// Run a handler of an object and print its result as JSON.
///
/// The answer comes when everything that it depends on is durable.
#[derive(Args)]
pub(crate) struct Call {
    /// The object's name
    object: String,
    /// The handler's name
    method: String,
    /// The handler's argument as JSON
    #[arg(default_value = "null")]
    body: String,
    /// Have it done once, however often it is called with this key: for trying again after an error
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// The node
    #[arg(long, default_value = "http://127.0.0.1:7400", env = "LEAP_URL")]
    url: String,
    /// The result is JSON anyhow; with this an error is too
    #[arg(long)]
    pub(crate) json: bool,
}

impl Call {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let url = format!(
            "{}/call/{}/{}",
            self.url.trim_end_matches('/'),
            segment(&self.object),
            segment(&self.method)
        );
        let mut request = http::Request::builder().method(http::Method::POST).uri(url);
        if let Some(key) = &self.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let reply = crate::http::send(request, Bytes::from(self.body)).await?;
        Ok(crate::say(format_args!(
            "{}",
            String::from_utf8_lossy(&reply)
        ))?)
    }
}
