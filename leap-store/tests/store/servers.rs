//! Servers of S3, Azure Blob Storage and Google Cloud Storage on the loopback. The tests of leap-node include this file
//! too.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A server that ends with this value, or when this process ends (its standard input closes then).
pub(crate) struct Server {
    /// A place on it for a store.
    pub(crate) location: &'static str,
    /// What a store must be told to get there.
    pub(crate) settings: Vec<(String, String)>,
    process: Child,
}

impl Server {
    pub(crate) fn s3() -> Result<Self> {
        let python = tool("LEAP_MOTO", "moto", "bin/python")?;
        let (process, address) = start(Command::new(python).arg(script("s3.py")))?;
        let settings = [
            ("endpoint", &*address),
            ("region", "us-east-1"),
            ("access_key_id", "test"),
            ("secret_access_key", "test"),
        ];
        Ok(Self::new("s3://leap/some/prefix", &settings, process))
    }

    pub(crate) fn azure() -> Result<Self> {
        let folder = tool("LEAP_AZURITE", "azurite", "")?;
        let mut node = Command::new("node");
        let (process, address) = start(node.arg(script("azure.js")).env("AZURITE", folder))?;
        let settings = [
            ("endpoint", &*format!("{address}/devstoreaccount1")),
            ("account_name", "devstoreaccount1"),
            (
                "account_key",
                "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
            ),
        ];
        Ok(Self::new("az://leap/some/prefix", &settings, process))
    }

    /// Its conditions are our own imitation: see there.
    pub(crate) fn google() -> Result<Self> {
        let python = tool("LEAP_MOTO", "moto", "bin/python")?;
        let (process, address) = start(Command::new(python).arg(script("gs.py")))?;
        let account = r#"{"private_key": "none", "private_key_id": "none", "client_email": "none", "disable_oauth": true}"#;
        let settings = [("base_url", &*address), ("service_account_key", account)];
        Ok(Self::new("gs://leap/some/prefix", &settings, process))
    }

    fn new(location: &'static str, settings: &[(&str, &str)], process: Child) -> Self {
        let settings = settings.iter().chain(&[("allow_http", "true")]);
        let settings = settings.map(|&(key, value)| (key.to_owned(), value.to_owned()));
        Self {
            location,
            settings: settings.collect(),
            process,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The process, and the address that it says it serves at.
fn start(command: &mut Command) -> Result<(Child, String)> {
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {command:?}: `cargo xtask setup` installs it"))?;
    let mut address = String::new();
    let output = process.stdout.take().expect("standard output is piped");
    BufReader::new(output).read_line(&mut address)?;
    let address = address.trim().to_owned();
    if address.is_empty() {
        let _ = process.wait();
        bail!("{command:?} does not serve: `cargo xtask setup` installs it");
    }
    Ok((process, address))
}

fn script(name: &str) -> PathBuf {
    workspace()
        .join("leap-store/tests/store/servers")
        .join(name)
}

/// A tool in the workspace's target/tools, or where the environment variable says.
fn tool(variable: &str, name: &str, file: &str) -> Result<PathBuf> {
    let folder = match std::env::var_os(variable) {
        Some(folder) => PathBuf::from(folder),
        None => workspace().join("target/tools").join(name),
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

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
