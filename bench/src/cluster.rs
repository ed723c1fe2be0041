//! A cluster of OS processes for benchmarks: a node with coordinator and workflows, and services.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use leap::{
    Client, GroupCommit, Host, HostStatus, ObjectOptions, Speculation, Store, StoreOptions,
};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Rooms, seats and cars; more than any benchmark books.
const CAPACITY: u64 = 10_000_000;

/// How often a service that is being started is asked whether it answers.
const POLL: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnOff {
    On,
    Off,
}

/// How a cluster persists.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Run ahead of persistence, or wait for it at every step
    #[arg(long, value_enum, default_value = "on")]
    pub(crate) speculation: OnOff,
    /// Milliseconds from a version's first change to its seal, or `adaptive`
    #[arg(
        long = "group-commit-ms",
        default_value = "adaptive",
        value_name = "N|adaptive"
    )]
    pub(crate) group_commit: GroupCommit,
    /// Milliseconds added to every durable write
    #[arg(long, default_value_t = 0)]
    pub(crate) storage_latency_ms: u64,
}

impl Settings {
    pub(crate) fn new(
        speculation: OnOff,
        group_commit: GroupCommit,
        storage_latency_ms: u64,
    ) -> Self {
        Self {
            speculation,
            group_commit,
            storage_latency_ms,
        }
    }

    fn objects(self) -> ObjectOptions {
        let speculation = match self.speculation {
            OnOff::On => Speculation::On,
            OnOff::Off => Speculation::Off,
        };
        ObjectOptions {
            speculation,
            group_commit: self.group_commit,
        }
    }

    fn store(self) -> StoreOptions {
        StoreOptions {
            latency: Duration::from_millis(self.storage_latency_ms),
            ..StoreOptions::default()
        }
    }

    fn arguments(self) -> [String; 6] {
        let speculation = match self.speculation {
            OnOff::On => "on",
            OnOff::Off => "off",
        };
        let group_commit = self.group_commit.to_string();
        let latency = self.storage_latency_ms.to_string();
        let arguments = [
            "--speculation",
            speculation,
            "--group-commit-ms",
            &group_commit,
            "--storage-latency-ms",
            &latency,
        ];
        arguments.map(str::to_owned)
    }
}

/// One process of the cluster; a benchmark starts this binary again with it.
#[derive(Args)]
pub(crate) struct Process {
    /// The services to book with (a node), or the one to host (with --join)
    #[arg(long, value_delimiter = ',')]
    services: Vec<String>,
    #[arg(long)]
    join: Option<String>,
    #[arg(long)]
    data: String,
    #[command(flatten)]
    settings: Settings,
}

impl Process {
    /// Runs until standard input ends; answers each line there with the host's status.
    #[allow(
        clippy::print_stdout,
        reason = "the address is for whoever started this"
    )]
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let options = self.settings.objects();
        let store = Store::open(&self.data, self.settings.store()).await?;
        let builder = Host::builder()
            .store(store)
            .listen("127.0.0.1:0")
            .defaults(options);
        let host = match self.join {
            Some(url) => {
                let host = builder.join(url).start().await?;
                for service in &self.services {
                    let opening = travel::host_service(&host, service, CAPACITY, options).await?;
                    ensure!(opening.done().await, "{service} did not open");
                }
                host
            }
            None => {
                let host = builder.start().await?;
                travel::host_workflows(&host, self.services, options).await?;
                host
            }
        };
        println!("{}", host.address().context("it listens")?);
        let mut questions = BufReader::new(tokio::io::stdin()).lines();
        while questions.next_line().await?.is_some() {
            println!("{}", serde_json::to_string(&host.status().await)?);
        }
        Ok(())
    }
}

/// A process of the cluster, as whoever started it sees it.
struct Member {
    process: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// The processes, ended when this is dropped.
pub(crate) struct Cluster {
    pub(crate) url: String,
    node: Member,
    services: Vec<Member>,
    settings: Settings,
    directory: tempfile::TempDir,
}

impl Cluster {
    pub(crate) async fn start(services: usize, settings: Settings) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir_in(".")?;
        let names: Vec<_> = (0..services).map(service_name).collect();
        let (node, url) = start(&names.join(","), None, directory.path(), "node", settings).await?;
        let mut children = Vec::new();
        for name in &names {
            children.push(
                start(name, Some(&url), directory.path(), name, settings)
                    .await?
                    .0,
            );
        }
        let cluster = Self {
            url,
            node,
            services: children,
            settings,
            directory,
        };
        cluster.warm_up().await?;
        Ok(cluster)
    }

    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(&self.url).await?)
    }

    /// Books until everything has connected.
    async fn warm_up(&self) -> anyhow::Result<()> {
        let client = self.client().await?;
        for attempt in 0..1000 {
            match book(&client, "warm-up").await {
                Ok(()) => return Ok(()),
                Err(error) if attempt == 999 => return Err(error),
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
        bail!("the cluster did not start")
    }

    /// Kills a service as `kill -9` does.
    pub(crate) async fn kill_service(&mut self, index: usize) -> anyhow::Result<()> {
        Ok(self.services[index].process.kill().await?)
    }

    /// Starts a service that was killed, and waits until it takes part again.
    pub(crate) async fn start_service(&mut self, index: usize) -> anyhow::Result<()> {
        let name = service_name(index);
        let process = start(
            &name,
            Some(&self.url),
            self.directory.path(),
            &name,
            self.settings,
        );
        self.services[index] = process.await?.0;
        Ok(())
    }

    /// The status of the node's host, and of that of every service.
    pub(crate) async fn status(&mut self) -> anyhow::Result<(HostStatus, Vec<HostStatus>)> {
        let node = self.node.status().await?;
        let mut services = Vec::new();
        for service in &mut self.services {
            services.push(service.status().await?);
        }
        Ok((node, services))
    }

    /// Processor time that the cluster and this process have used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let children = std::iter::once(&self.node)
            .chain(&self.services)
            .filter_map(|member| member.process.id());
        children.chain([std::process::id()]).map(cpu_of).sum()
    }
}

/// Books one trip; the workflow and its traveller have the same name.
pub(crate) async fn book(client: &Client, id: &str) -> anyhow::Result<()> {
    let trip = travel::Trip {
        traveller: id.to_owned(),
    };
    travel::book(client, id, &trip).await?;
    Ok(())
}

pub(crate) fn service_name(index: usize) -> String {
    format!("service-{index}")
}

async fn start(
    services: &str,
    join: Option<&str>,
    directory: &Path,
    name: &str,
    settings: Settings,
) -> anyhow::Result<(Member, String)> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["process", "--services", services, "--data"])
        .arg(directory.join(name))
        .args(settings.arguments());
    if let Some(url) = join {
        command.args(["--join", url]);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .context("cannot start a process of the cluster")?;
    let questions = child.stdin.take().context("its input is piped")?;
    let answers = child.stdout.take().context("its output is piped")?;
    let mut member = Member {
        process: child,
        questions,
        answers: BufReader::new(answers).lines(),
    };
    let address = member
        .answer()
        .await
        .with_context(|| format!("{name} did not start"))?;
    Ok((member, address))
}

impl Member {
    async fn answer(&mut self) -> anyhow::Result<String> {
        let answer = self.answers.next_line().await?;
        answer.context("the process has ended")
    }

    async fn status(&mut self) -> anyhow::Result<HostStatus> {
        self.questions.write_all(b"status\n").await?;
        Ok(serde_json::from_str(&self.answer().await?)?)
    }
}

/// User and system time of a process, from /proc.
pub(crate) fn cpu_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the program's name in parentheses, and may hold anything.
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks: u64 = [11, 12]
        .iter()
        .filter_map(|&field| fields.get(field)?.parse::<u64>().ok())
        .sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}
