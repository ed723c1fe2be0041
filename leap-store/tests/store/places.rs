//! Where the suite runs: a directory, memory, and real servers of S3 and Azure Blob Storage on the loopback.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use leap_store::{Claim, Store, StoreOptions};
use tempfile::TempDir;

/// A place to open stores at.
pub(crate) struct Place {
    pub(crate) location: String,
    pub(crate) options: StoreOptions,
    /// Requests cost a network round trip: do fewer.
    pub(crate) is_remote: bool,
    _server: Option<Server>,
    _directory: Option<TempDir>,
}

impl Place {
    pub(crate) fn local() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        Self {
            location: directory.path().to_str().expect("a UTF-8 path").to_owned(),
            options: StoreOptions::default(),
            is_remote: false,
            _server: None,
            _directory: Some(directory),
        }
    }

    pub(crate) fn memory() -> Self {
        // The name is shared within the process only, and tests of one process must not meet.
        let unique = TempDir::new().expect("a temporary directory");
        Self {
            location: format!("memory:{}", unique.path().display()),
            options: StoreOptions::default(),
            is_remote: false,
            _server: None,
            _directory: Some(unique),
        }
    }

    pub(crate) fn s3() -> Result<Self> {
        let python = tool("LEAP_MOTO", "moto", "bin/python")?;
        let server = Server::start(Command::new(python).arg(script("s3.py")))?;
        Ok(Self::remote(
            "s3://leap/some/prefix",
            &[
                ("endpoint", &server.address.clone()),
                ("region", "us-east-1"),
                ("access_key_id", "test"),
                ("secret_access_key", "test"),
                ("allow_http", "true"),
            ],
            server,
        ))
    }

    pub(crate) fn azure() -> Result<Self> {
        let folder = tool("LEAP_AZURITE", "azurite", "")?;
        let mut node = Command::new("node");
        let server = Server::start(node.arg(script("azure.js")).env("AZURITE", folder))?;
        Ok(Self::remote(
            "az://leap/some/prefix",
            &[
                ("endpoint", &format!("{}/devstoreaccount1", server.address)),
                ("account_name", "devstoreaccount1"),
                (
                    "account_key",
                    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
                ),
                ("allow_http", "true"),
            ],
            server,
        ))
    }

    fn remote(location: &str, settings: &[(&str, &str)], server: Server) -> Self {
        let settings = settings
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Self {
            location: location.to_owned(),
            options: StoreOptions {
                object_settings: settings.collect(),
                retry_for: Duration::from_secs(30),
                ..StoreOptions::default()
            },
            is_remote: true,
            _server: Some(server),
            _directory: None,
        }
    }

    pub(crate) async fn open(&self) -> Result<Store> {
        self.open_with(|_| {}).await
    }

    pub(crate) async fn open_with(&self, change: impl FnOnce(&mut StoreOptions)) -> Result<Store> {
        let mut options = self.options.clone();
        change(&mut options);
        Ok(Store::open(&self.location, options).await?)
    }

    /// Opens anew, as another process would, and claims.
    pub(crate) async fn claim(&self, name: &str) -> Result<Claim> {
        Ok(self.open().await?.claim(name).await?)
    }
}

/// A server that ends with this value, or when this process ends (its standard input closes then).
struct Server {
    address: String,
    process: Child,
}

impl Server {
    fn start(command: &mut Command) -> Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| {
                format!("cannot start {command:?}: `cargo xtask setup` installs it")
            })?;
        let mut address = String::new();
        let output = process.stdout.take().expect("standard output is piped");
        BufReader::new(output).read_line(&mut address)?;
        let server = Self {
            address: address.trim().to_owned(),
            process,
        };
        if server.address.is_empty() {
            bail!("{command:?} does not serve: `cargo xtask setup` installs it");
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/store/servers")
        .join(name)
}

/// A tool in the workspace's target/tools, or where the environment variable says.
fn tool(variable: &str, name: &str, file: &str) -> Result<PathBuf> {
    let folder = match std::env::var_os(variable) {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../target/tools")
            .join(name),
    };
    let tool = folder.join(file);
    if !tool.exists() {
        bail!(
            "{} is missing: `cargo xtask setup` installs it",
            tool.display()
        );
    }
    Ok(tool)
}
