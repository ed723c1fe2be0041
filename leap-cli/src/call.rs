//! `leap call`.

use bytes::Bytes;
use clap::Args;

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
            self.object,
            self.method
        );
        let reply = crate::http::request(http::Method::POST, &url, Bytes::from(self.body)).await?;
        crate::say(format_args!("{}", String::from_utf8_lossy(&reply)));
        Ok(())
    }
}
