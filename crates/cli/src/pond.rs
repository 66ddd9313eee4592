//! A running pond: the plan, the store, the API, and the way out.

use crate::commands::run::serve;
use crate::monitor::{self, Monitor};
use crate::reload::{Asks, Reloader, Reread};
use crate::signals::Signals;
use crate::status::Status;
use crate::{Failure, host, memory};
use disk::{Disk, DiskError, RealDisk};
use pipeline::plan::Plan;
use pipeline::run::bus::Bus;
use pipeline::run::{Running, World};
use pipeline::stop::Stop;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::Store;
use web::control::Control;

/// How often the pond does its housekeeping.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// What searches and merges read of the store's files stays mapped, and counts as memory, until it is
/// more than this.
const MAPPED_MAX: u64 = 64 << 20;
/// The exit code when a second signal ended the program at once.
const ENDED_AT_ONCE: i32 = 130;

/// Runs a plan until it ends by itself or is asked to, or, `until_idle`, until nothing is left
/// to do. With `reread` a changed config is taken up. `ready` is called once everything
/// runs, with the address of the API if there is one.
pub(crate) fn run(
    plan: &Plan,
    data_dir: &Path,
    until_idle: bool,
    reread: Option<Reread>,
    ready: impl FnOnce(Option<&str>, &Running),
) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(16)
        .thread_name("net")
        .enable_all()
        .build()?;
    let (stop, asks) = (Stop::new(), Asks::new(reread.is_some())?);
    // Before anything can be seen of the program: it can be asked to end from then on.
    watch_signals(&runtime, stop.clone(), reread.is_some().then(|| asks.clone()))?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(data_dir).map_err(|error| advice(data_dir, &error))?);
    let _lock = disk.lock("lock").map_err(|error| advice(data_dir, &error))?;
    let has_store = plan.api.is_some() || plan.pipelines.values().any(pipeline::plan::Pipeline::has_store);
    let store = if has_store {
        Some(open_store(plan, &disk).map_err(|error| advice(data_dir, &error))?)
    } else {
        None
    };
    let world = World { disk: disk.clone(), store: store.clone(), host: host::name(), bus: Bus::default() };
    let running = Arc::new(Mutex::new(Running::start(plan, &world, stop.clone())?));
    let mut reloader = reread.map(|reread| Reloader::new(reread, asks.clone(), plan));
    let status = Arc::new(Status::new(&running, asks.clone()));
    let control = {
        let _context = runtime.enter();
        Control::start(data_dir, status.clone())
    };
    if let Err(error) = &control {
        tracing::warn!(%error, "there is no control socket; top, tap and dead-letters cannot reach this pond");
    }
    let monitor = match &plan.monitoring {
        Some(_) => Monitor::new(plan, &running, asks.clone(), &*disk, data_dir, &world.host).map(Some),
        None => Ok(None),
    };
    let served = monitor.map_err(Failure::from).and_then(|monitor| {
        let monitor = monitor.map(Arc::new);
        let watched = match (&plan.monitoring, &monitor) {
            (Some(options), Some(monitor)) => {
                Some(runtime.block_on(monitor::serve(options, monitor.clone()))?)
            }
            _ => None,
        };
        let server = match (&plan.api, &store) {
            (Some(api), Some(store)) => Some(runtime.block_on(serve(api, store, &running, &status))?),
            _ => None,
        };
        Ok((server, watched, monitor))
    });
    let (server, watched, monitor) = match served {
        Ok(served) => served,
        Err(error) => {
            stop.set();
            if let Ok(control) = control {
                runtime.block_on(control.stop());
            }
            finish(running)?;
            return Err(error);
        }
    };
    ready(
        server.as_ref().map(|server| server.address.as_str()),
        &running.lock().unwrap_or_else(PoisonError::into_inner),
    );
    memory::let_program_go();
    let mut idle = Idle::default();
    loop {
        let pause = if until_idle { IDLE_LOOK } else { HOUSEKEEPING };
        let pause = reloader.as_ref().map_or(pause, |reloader| reloader.pause(pause));
        if stop.wait_with(&[asks.as_fd()], pause) {
            break;
        }
        if let Some(reloader) = &mut reloader {
            reloader.turn(&running, &stop);
        }
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        for pipeline in running.pipelines() {
            pipeline.registry_saved();
        }
        running.let_go();
        if let Some(monitor) = &monitor {
            monitor.look_now_and_then(&running);
        }
        if let Some(store) = &store {
            store.housekeeping();
            if memory::mapped_bytes() > MAPPED_MAX {
                store.let_pages_go();
            }
        }
        // A pond that answers searches stays when its inputs end; others have nothing left.
        if server.is_none() && running.inputs_ended() {
            break;
        }
        if until_idle && idle.is_reached(&running, store.as_deref()) {
            stop.set();
        }
    }
    status.end();
    for server in server.into_iter().chain(watched) {
        runtime.block_on(server.stop());
    }
    if let Ok(control) = control {
        runtime.block_on(control.stop());
    }
    finish(running)?;
    if let Some(store) = store {
        store.close();
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(ExitCode::SUCCESS)
}

/// How often it is looked whether anything is left to do.
const IDLE_LOOK: Duration = Duration::from_millis(50);

/// Sees that nothing is left to do: everything read was delivered, and nothing more comes.
#[derive(Default)]
struct Idle {
    read: u64,
    looks: u32,
}

impl Idle {
    fn is_reached(&mut self, running: &Running, store: Option<&Store>) -> bool {
        let ledgers: Vec<_> =
            running.pipelines().iter().map(pipeline::run::RunningPipeline::ledger).collect();
        let read: u64 = ledgers.iter().map(|ledger| ledger.read).sum();
        let behind: u64 = running.registry().statuses().iter().map(|file| file.behind).sum();
        let open: i64 =
            ledgers.iter().flat_map(|ledger| &ledger.outputs).map(|output| output.in_flight.abs()).sum();
        if read != self.read || behind > 0 || (open > 0 && store.is_none()) {
            (self.read, self.looks) = (read, 0);
            return false;
        }
        let given = |store: &Store| {
            let mut queues = running.pipelines().iter().filter_map(pipeline::run::RunningPipeline::queue);
            queues.all(|queue| queue.stats().head <= store.next_sequence())
        };
        // Flushing before the store has everything would only cut it into small pieces.
        if open > 0
            && let Some(store) = store.filter(|store| given(store))
            && let Err(error) = store.flush()
        {
            tracing::warn!(%error, "the store could not be flushed");
        }
        self.looks += 1;
        // The files say once a second how they stand.
        open == 0 && self.looks > 24
    }
}

fn finish(running: Arc<Mutex<Running>>) -> Result<(), Failure> {
    let until = std::time::Instant::now() + Duration::from_secs(5);
    // A request that is just being answered may hold it for a moment.
    let mut running = running;
    loop {
        match Arc::try_unwrap(running) {
            Ok(running) => {
                running.into_inner().unwrap_or_else(PoisonError::into_inner).wait();
                return Ok(());
            }
            Err(held) if std::time::Instant::now() < until => {
                running = held;
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(_) => return Err("a request did not end; everything that was confirmed is safe".into()),
        }
    }
}

fn open_store(plan: &Plan, disk: &Arc<dyn Disk>) -> Result<Arc<Store>, DiskError> {
    let rules = plan.store.clone().unwrap_or_default();
    let options = store::Options {
        retention_age: rules.retention_age.map(|age| age.0),
        retention_bytes: rules.retention_bytes.map(|bytes| bytes.0),
        ..store::Options::default()
    };
    Store::open(disk.clone(), options).map_err(|error| match error {
        store::StoreError::Disk(error) => error,
        other => DiskError::Io {
            operation: "open",
            path: "store".into(),
            source: std::io::Error::other(other.to_string()),
        },
    })
}

/// What to do when the data directory cannot be used.
fn advice(data_dir: &Path, error: &DiskError) -> Failure {
    match error {
        DiskError::Locked { .. } => error.to_string().into(),
        _ if error.is_full() => format!(
            "{error}\nthe disk of {} is full: make room, or choose another with --data-dir",
            data_dir.display()
        )
        .into(),
        _ => format!(
            "{error}\n{} cannot be used to keep data: choose a folder that can be written with --data-dir",
            data_dir.display()
        )
        .into(),
    }
}

/// The first signal asks everything to stop; the second ends the program at once, which is
/// safe, as a power cut is. SIGHUP asks for a reload, where that is possible.
fn watch_signals(
    runtime: &tokio::runtime::Runtime,
    stop: Stop,
    asks: Option<Arc<Asks>>,
) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let _context = runtime.enter();
    let mut signals = Signals::new()?;
    if let Some(asks) = asks {
        let mut hangup = signal(SignalKind::hangup())?;
        runtime.spawn(async move {
            while hangup.recv().await.is_some() {
                asks.ask();
            }
        });
    }
    runtime.spawn(async move {
        for count in 0.. {
            signals.next().await;
            if count > 0 {
                std::process::exit(ENDED_AT_ONCE);
            }
            stop.set();
        }
    });
    Ok(())
}
