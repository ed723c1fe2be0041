//! The demo's processes: a node in this one, each service in a child that can be killed.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use leap::Client;
use leap_node::{Node, NodeOptions};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::options::{OnOff, Persistence};

/// Rooms, seats and cars; more than the demo can book.
const CAPACITY: u64 = 100_000;

pub(crate) struct Cluster {
    node: Node,
    services: Vec<Service>,
    kills: usize,
}

struct Service {
    name: &'static str,
    process: Child,
    command: ServiceCommand,
}

impl Service {
    /// Waits until the service says that it is open.
    async fn opened(&mut self) -> anyhow::Result<()> {
        let output = self.process.stdout.take().context("its output is piped")?;
        let mut said = String::new();
        BufReader::new(output).read_line(&mut said).await?;
        ensure!(
            !said.is_empty(),
            "the service {} ended before it was open",
            self.name
        );
        Ok(())
    }
}

/// How a service is started, again and again.
struct ServiceCommand {
    program: PathBuf,
    arguments: Vec<String>,
}

impl ServiceCommand {
    fn start(&self) -> anyhow::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        command
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))
    }
}

impl Cluster {
    /// Starts everything in `directory`.
    pub(crate) async fn start(directory: &Path, persistence: &Persistence) -> anyhow::Result<Self> {
        let options = NodeOptions {
            data: directory.join("node").display().to_string(),
            listen: "127.0.0.1:0".to_owned(),
            store: persistence.store(),
            objects: persistence.objects(),
            built_in: false,
            ..NodeOptions::default()
        };
        let node = Node::start(options).await?;
        travel::host_workflows(node.host(), travel::SERVICES, persistence.objects()).await?;
        let program = std::env::current_exe().context("cannot find the program of this process")?;
        let mut services = Vec::new();
        for name in travel::SERVICES {
            let arguments = arguments(name, node.address(), directory, persistence);
            let command = ServiceCommand {
                program: program.clone(),
                arguments,
            };
            services.push(Service {
                name,
                process: command.start()?,
                command,
            });
        }
        for service in &mut services {
            service.opened().await?;
        }
        Ok(Self {
            node,
            services,
            kills: 0,
        })
    }

    /// A client as the outside world has it.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(self.node.address()).await?)
    }

    /// Kills the next service, as `kill -9` does, and starts it again.
    pub(crate) async fn kill_one(&mut self) -> anyhow::Result<&'static str> {
        let next = self.kills % self.services.len();
        let service = &mut self.services[next];
        service
            .process
            .kill()
            .await
            .context("cannot kill a service")?;
        service.process = service.command.start()?;
        self.kills += 1;
        Ok(service.name)
    }

    pub(crate) fn kills(&self) -> usize {
        self.kills
    }

    /// How many rollback decisions were taken.
    pub(crate) async fn rollbacks(&self) -> u64 {
        self.node
            .host()
            .status()
            .await
            .world_line
            .unwrap_or_default()
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        for service in &mut self.services {
            service
                .process
                .kill()
                .await
                .context("cannot stop a service")?;
        }
        self.node.shutdown().await;
        Ok(())
    }
}

fn arguments(name: &str, join: &str, directory: &Path, persistence: &Persistence) -> Vec<String> {
    let speculation = match persistence.speculation {
        OnOff::On => "on",
        OnOff::Off => "off",
    };
    let arguments = [
        "demo-service",
        "--name",
        name,
        "--join",
        join,
        "--data",
        &directory.join(name).display().to_string(),
        "--capacity",
        &CAPACITY.to_string(),
        "--speculation",
        speculation,
        "--group-commit-ms",
        &persistence.group_commit.to_string(),
        "--storage-latency-ms",
        &persistence.storage_latency_ms.to_string(),
    ];
    arguments.map(str::to_owned).to_vec()
}
