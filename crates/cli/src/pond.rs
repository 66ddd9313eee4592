//! A running pond: the plan, the store, the API, and the way out.

use crate::{Failure, host};
use disk::{Disk, RealDisk};
use pipeline::plan::Plan;
use pipeline::run::{Running, World};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::Store;

/// How often the pond does its housekeeping.
const HOUSEKEEPING: Duration = Duration::from_secs(2);

/// Runs a plan until it ends by itself or is asked to; `ready` is called once everything
/// runs, with the address of the API if there is one.
pub(crate) fn run(plan: &Plan, data_dir: &Path, ready: impl FnOnce(Option<&str>)) -> Result<ExitCode, Failure> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(data_dir).map_err(|error| advice(data_dir, &error))?);
    let _lock = disk.lock("lock").map_err(|error| advice(data_dir, &error))?;
    let has_store = plan.api.is_some() || plan.pipelines.values().any(|pipeline| pipeline.has_store());
    let store = if has_store { Some(open_store(plan, &disk)?) } else { None };
    let world = World { disk, store: store.clone(), host: host::name() };
    let running = Running::start(plan, &world)?;
    let stop = running.stopping();
    let threads = 1;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(8)
        .thread_name("net")
        .enable_all()
        .build()?;
    let status = Arc::new(crate::commands::run::Status::new(&running));
    let server = match (&plan.api, &store) {
        (Some(api), Some(store)) => Some(runtime.block_on(crate::commands::run::serve(api, store, &running, &status))?),
        _ => None,
    };
    ready(server.as_ref().map(|server| server.address.as_str()));

    let running = Arc::new(Mutex::new(running));
    watch_signals(&runtime, stop.clone());
    while !stop.wait(HOUSEKEEPING) {
        let Ok(running) = running.lock() else { break };
        for pipeline in running.pipelines() {
            pipeline.registry_saved();
        }
        if let Some(store) = &store {
            store.housekeeping();
        }
        // A pond that answers searches stays when its inputs end; others have nothing left.
        if server.is_none() && running.inputs_ended() {
            break;
        }
    }
    drop(status);
    let running = Arc::into_inner(running).and_then(|running| running.into_inner().ok()).ok_or("a thread of the pond panicked")?;
    running.wait();
    if let Some(server) = server {
        runtime.block_on(server.stop());
    }
    if let Some(store) = store {
        store.close();
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    tracing::info!("stopped; everything that was read is safe");
    Ok(ExitCode::SUCCESS)
}
