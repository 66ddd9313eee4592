//! `logpond run`: runs a config file.

use crate::reload::Reread;
use crate::status::Status;
use crate::{Failure, default_data_dir, pond};
use pipeline::outputs::store::docs::{self, PushedDoc};
use pipeline::plan::Api;
use pipeline::run::{Push, Running};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::Store;
use web::{Ingest, IngestDoc, IngestError, Server, ServerOptions, TlsFiles, User};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: super::check::ConfigArguments,
    /// Only check the config: Configuration OK
    #[arg(short = 't', long = "config.test_and_exit", help_heading = "As Logstash's")]
    test: bool,
    /// Where everything that must survive is kept; the config's own setting comes first.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// End once everything that is there was delivered, in place of following it.
    #[arg(long)]
    until_idle: bool,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let config = arguments.config;
    let plan = match config.read()? {
        Ok(plan) => plan,
        Err(code) => return Ok(code),
    };
    if arguments.test {
        println!("Configuration OK");
        return Ok(ExitCode::SUCCESS);
    }
    let data_dir = plan.data_dir.clone().or(arguments.data_dir).unwrap_or_else(default_data_dir);
    let reread: Reread = Box::new(move || config.reading());
    pond::run(&plan, &data_dir, arguments.until_idle, Some(reread), |address, _| {
        let parts: usize =
            plan.pipelines.values().map(|pipeline| pipeline.inputs.len() + pipeline.outputs.len()).sum();
        eprintln!("logpond: running {parts} parts; positions and queues are in {}", data_dir.display());
        if let Some(address) = address {
            let scheme =
                if plan.api.as_ref().is_some_and(|api| api.tls.is_some()) { "https" } else { "http" };
            eprintln!("logpond: the API is at {scheme}://{address}");
        }
    })
}

/// Prometheus' text format.
pub(crate) fn metrics(running: &Running) -> String {
    let mut out = String::new();
    let mut family = |name: &str, kind: &str, help: &str, rows: Vec<(String, f64)>| {
        let _ = writeln!(out, "# HELP logpond_{name} {help}\n# TYPE logpond_{name} {kind}");
        for (labels, value) in rows {
            let _ = writeln!(out, "logpond_{name}{labels} {value}");
        }
    };
    let label = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ");
    let ledgers: Vec<_> = running.pipelines().iter().map(pipeline::run::RunningPipeline::ledger).collect();
    type Pick = fn(&pipeline::run::ledger::LedgerView) -> f64;
    let per_pipeline: [(&str, &str, &str, Pick); 6] = [
        ("events_read_total", "counter", "Events that inputs read.", |view| view.read as f64),
        ("bytes_read_total", "counter", "Bytes of events that inputs read.", |view| view.bytes as f64),
        ("events_dropped_total", "counter", "Events dropped by rule.", |view| view.dropped as f64),
        ("events_returned_total", "counter", "Events given back to be read again.", |view| {
            view.returned as f64
        }),
        ("filter_failures_total", "counter", "Filters that failed on an event.", |view| view.failed as f64),
        ("events_open", "gauge", "Events between their input and the queue.", |view| view.open as f64),
    ];
    for (name, kind, help, pick) in per_pipeline {
        let rows =
            ledgers.iter().map(|view| (format!("{{pipeline=\"{}\"}}", label(&view.pipeline)), pick(view)));
        family(name, kind, help, rows.collect());
    }
    type PickOutput = fn(&pipeline::run::ledger::OutputView) -> f64;
    let per_output: [(&str, &str, &str, PickOutput); 6] = [
        ("events_replayed_total", "counter", "Dead letters sent again.", |view| view.replayed as f64),
        ("events_delivered_total", "counter", "Events delivered.", |view| view.delivered as f64),
        ("events_dead_total", "counter", "Events in the dead letters.", |view| view.dead as f64),
        ("events_elsewhere_total", "counter", "Events not routed to this output.", |view| {
            view.elsewhere as f64
        }),
        ("events_in_flight", "gauge", "Events on the way to this output.", |view| view.in_flight as f64),
        ("output_retries_total", "counter", "Batches tried again.", |view| view.retries as f64),
    ];
    for (name, kind, help, pick) in per_output {
        let rows = ledgers.iter().flat_map(|view| {
            view.outputs.iter().map(|output| {
                (
                    format!("{{pipeline=\"{}\",output=\"{}\"}}", label(&view.pipeline), label(&output.name)),
                    pick(output),
                )
            })
        });
        family(name, kind, help, rows.collect());
    }
    let queues: Vec<_> = running
        .pipelines()
        .iter()
        .filter_map(|pipeline| {
            Some((format!("{{pipeline=\"{}\"}}", label(pipeline.name())), pipeline.queue()?.stats()))
        })
        .collect();
    family(
        "queue_bytes",
        "gauge",
        "Bytes of the queue on disk.",
        queues.iter().map(|(labels, stats)| (labels.clone(), stats.bytes as f64)).collect(),
    );
    family(
        "queue_bytes_max",
        "gauge",
        "The limit of the queue.",
        queues.iter().map(|(labels, stats)| (labels.clone(), stats.bytes_max as f64)).collect(),
    );
    let letters = running.dead_letters().summary();
    let rows = vec![(String::new(), letters.letters as f64)];
    family("dead_letters", "gauge", "Events that outputs refused and that are kept.", rows);
    let (used, limit) = running.memory();
    family("memory_events_bytes", "gauge", "Memory of events under way.", vec![(String::new(), used as f64)]);
    family(
        "memory_events_bytes_max",
        "gauge",
        "The limit of that memory.",
        vec![(String::new(), limit as f64)],
    );
    out
}

/// Starts the API.
pub(crate) async fn serve(
    api: &Api,
    store: &Arc<Store>,
    running: &Arc<Mutex<Running>>,
    status: &Arc<Status>,
) -> Result<Server, Failure> {
    let push = {
        let running = running.lock().unwrap_or_else(PoisonError::into_inner);
        running.push()
    };
    let ingest: Option<Arc<dyn Ingest>> = match push {
        Some(push) => Some(Arc::new(Intake { push, store: store.clone() })),
        None => None,
    };
    let options = ServerOptions {
        listen: api.listen.clone(),
        tls: api.tls.as_ref().map(|tls| TlsFiles { cert: tls.cert.clone(), key: tls.key.clone() }),
        users: api
            .users
            .iter()
            .map(|(name, password)| User { name: name.clone(), password: password.expose().to_owned() })
            .collect(),
    };
    Ok(Server::start(&options, store.clone(), ingest, status.clone()).await?)
}

/// Documents from the API on their way to the queue before the store.
struct Intake {
    push: Push,
    store: Arc<Store>,
}

/// How long a request waits for room in the queue.
const ROOM_WAIT: Duration = Duration::from_secs(20);
const SETTLE_LOOK: Duration = Duration::from_millis(10);

type Boxed<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

impl Ingest for Intake {
    fn append(&self, docs: Vec<IngestDoc>) -> Boxed<Result<u64, IngestError>> {
        let push = self.push.clone();
        Box::pin(async move {
            let (told, confirmed) = tokio::sync::oneshot::channel();
            let appended = tokio::task::spawn_blocking(move || {
                let now = pipeline::run::now();
                let mut record = Vec::new();
                for doc in &docs {
                    let doc = PushedDoc {
                        index: &doc.index,
                        id: &doc.id,
                        time: now,
                        source: doc.source.as_deref(),
                        replaces: doc.replaces,
                    };
                    docs::write(&doc, &mut record);
                }
                push.push(&record, docs.len() as u32, now, move |result| drop(told.send(result)))
            });
            let busy = |reason: &dyn std::fmt::Display| {
                IngestError::Busy(format!("the queue takes nothing: {reason}"))
            };
            let appended =
                tokio::time::timeout(ROOM_WAIT, appended).await.map_err(|_| busy(&"it is full"))?;
            let sequence = appended.map_err(|error| busy(&error))?.map_err(|error| busy(&error))?;
            confirmed.await.map_err(|_| busy(&"it was stopped"))?.map_err(|error| busy(&error))?;
            Ok(sequence)
        })
    }

    fn settle(&self) -> Boxed<()> {
        let (push, store) = (self.push.clone(), self.store.clone());
        Box::pin(async move {
            let head = push.head();
            let until = std::time::Instant::now() + ROOM_WAIT;
            while store.next_sequence() < head && std::time::Instant::now() < until {
                tokio::time::sleep(SETTLE_LOOK).await;
            }
        })
    }
}
