//! `leap remove`.

use bytes::Bytes;
use clap::Args;

use crate::http::segment;

/// Remove an object that will never come back, so that the cluster does not wait for it any more.
///
/// While an object is away, failures cannot be repaired: it might know more than anybody else. Removing it
/// counts as a failure in which it loses everything that is not inside the boundary; whoever depends on
/// that rolls back. An object that lives is ended by it. `leap status` shows who is waited for.
///
/// If the coordinator does not know the boundary at that time (it has restarted, and not everybody has
/// reported), what others have stored of the removed object counts as inside. An object removed so that
/// comes back without all of that, or with something that nobody can tell any more, is refused for good.
#[derive(Args)]
pub(crate) struct Remove {
    /// The object's name
    object: String,
    /// The node with the coordinator
    #[arg(long, default_value = "http://127.0.0.1:7400", env = "LEAP_URL")]
    url: String,
    /// Print what the node says, as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl Remove {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let node = self.url.trim_end_matches('/');
        let url = format!("{node}/members/{}", segment(&self.object));
        let answer = crate::http::request(http::Method::DELETE, &url, Bytes::new()).await?;
        if self.json {
            crate::say(format_args!("{}", String::from_utf8_lossy(&answer)))?;
        } else {
            crate::say(format_args!("{} is no member any more", self.object))?;
        }
        Ok(())
    }
}
