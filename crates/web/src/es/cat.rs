//! `_cat`: tables for people.

use super::api::{Answer, Api, Arguments, answer, resolve};
use super::{EsError, IndexPath, dates, part};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use store::Query;

const ARGUMENTS: [&str; 13] = [
    "v",
    "h",
    "s",
    "help",
    "bytes",
    "time",
    "local",
    "master_timeout",
    "health",
    "pri",
    "expand_wildcards",
    "ignore_unavailable",
    "allow_no_indices",
];

/// Arguments of tables about nodes.
const NODE_ARGUMENTS: [&str; 9] =
    ["v", "h", "s", "help", "bytes", "time", "local", "master_timeout", "full_id"];

/// A column: its name, what else it is called, and what it says.
struct Column(&'static str, &'static [&'static str], &'static str);

#[derive(Debug, Clone)]
enum Cell {
    Text(String),
    Number(u64),
    Bytes(u64),
}

impl Cell {
    fn text(&self, unit: Option<&str>) -> String {
        match (self, unit) {
            (Cell::Text(text), _) => text.clone(),
            (Cell::Number(number), _) => number.to_string(),
            (Cell::Bytes(bytes), None) => human(*bytes),
            (Cell::Bytes(bytes), Some(unit)) => (bytes / scale(unit).unwrap_or(1)).to_string(),
        }
    }

    fn number(&self) -> Option<u64> {
        match self {
            Cell::Text(_) => None,
            Cell::Number(number) | Cell::Bytes(number) => Some(*number),
        }
    }
}

fn scale(unit: &str) -> Option<u64> {
    Some(match unit {
        "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        "t" | "tb" => 1 << 40,
        _ => return None,
    })
}

fn human(bytes: u64) -> String {
    for (unit, scale) in [("tb", 1_u64 << 40), ("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10)] {
        if bytes >= scale {
            let text = format!("{:.1}", bytes as f64 / scale as f64);
            return format!("{}{unit}", text.trim_end_matches(".0"));
        }
    }
    format!("{bytes}b")
}

pub(crate) async fn list() -> String {
    "=^.^=\n/_cat/indices\n/_cat/indices/{index}\n/_cat/count\n/_cat/count/{index}\n/_cat/health\n/_cat/nodes\n/_cat/master\n/_cat/aliases\n/_cat/aliases/{name}\n/_cat/templates\n/_cat/templates/{name}\n/_cat/shards\n/_cat/shards/{index}\n/_cat/plugins\n".to_owned()
}

pub(crate) async fn indices(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    let columns = [
        Column("health", &["h"], "current health status"),
        Column("status", &["s"], "open/close status"),
        Column("index", &["i", "idx"], "index name"),
        Column("uuid", &["id"], "index uuid"),
        Column("pri", &["p", "shards.primary", "shardsPrimary"], "number of primary shards"),
        Column("rep", &["r", "shards.replica", "shardsReplica"], "number of replica shards"),
        Column("docs.count", &["dc", "docsCount"], "available docs"),
        Column("docs.deleted", &["dd", "docsDeleted"], "deleted docs"),
        Column("store.size", &["ss", "storeSize"], "store size of primaries & replicas"),
        Column("pri.store.size", &[], "store size of primaries"),
    ];
    arguments.only(&ARGUMENTS)?;
    let (index, asked) = (part(&path, "index"), arguments.clone());
    let infos = api.with_store(move |store| Ok(store.list(&resolve(store, &index, &asked)?))).await?;
    let rows = infos.into_iter().map(|info| {
        vec![
            Cell::Text("green".into()),
            Cell::Text("open".into()),
            Cell::Text(info.name.clone()),
            Cell::Text(info.name),
            Cell::Number(1),
            Cell::Number(0),
            Cell::Number(info.docs),
            Cell::Number(0),
            Cell::Bytes(info.bytes),
            Cell::Bytes(info.bytes),
        ]
    });
    table(&columns, rows.collect(), &arguments)
}

pub(crate) async fn count(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let columns = [
        Column("epoch", &["t", "time"], "seconds since 1970-01-01 00:00:00"),
        Column("timestamp", &["ts", "hms", "hhmmss"], "time in HH:MM:SS"),
        Column("count", &["dc", "docs.count", "docsCount"], "the document count"),
    ];
    let (index, asked) = (part(&path, "index"), arguments.clone());
    let count =
        api.with_store(move |store| Ok(store.count(&resolve(store, &index, &asked)?, &Query::All)?)).await?;
    let seconds = seconds();
    table(
        &columns,
        vec![vec![Cell::Number(seconds), Cell::Text(clock(seconds)), Cell::Number(count)]],
        &arguments,
    )
}

pub(crate) async fn health(State(api): State<Api>, arguments: Arguments) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let columns = [
        Column("epoch", &["t", "time"], "seconds since 1970-01-01 00:00:00"),
        Column("timestamp", &["ts", "hms", "hhmmss"], "time in HH:MM:SS"),
        Column("cluster", &["cl"], "cluster name"),
        Column("status", &["st"], "health status"),
        Column("node.total", &["nt", "nodeTotal"], "total number of nodes"),
        Column("node.data", &["nd", "nodeData"], "number of nodes that can store data"),
        Column("shards", &["t", "sh", "shards.total", "shardsTotal"], "total number of shards"),
        Column("pri", &["p", "shards.primary", "shardsPrimary"], "number of primary shards"),
        Column("relo", &["r", "shards.relocating", "shardsRelocating"], "number of relocating shards"),
        Column("init", &["i", "shards.initializing", "shardsInitializing"], "number of initializing shards"),
        Column("unassign", &["u", "shards.unassigned", "shardsUnassigned"], "number of unassigned shards"),
        Column("pending_tasks", &["pt", "pendingTasks"], "number of pending tasks"),
        Column("max_task_wait_time", &["mtwt", "maxTaskWaitTime"], "wait time of longest task pending"),
        Column(
            "active_shards_percent",
            &["asp", "activeShardsPercent"],
            "active number of shards in percent",
        ),
    ];
    let shards = api.with_store(|store| Ok(store.list("").len() as u64)).await?;
    let seconds = seconds();
    let text = |text: &str| Cell::Text(text.to_owned());
    let row = vec![
        Cell::Number(seconds),
        Cell::Text(clock(seconds)),
        text("logpond"),
        text("green"),
        Cell::Number(1),
        Cell::Number(1),
        Cell::Number(shards),
        Cell::Number(shards),
        Cell::Number(0),
        Cell::Number(0),
        Cell::Number(0),
        Cell::Number(0),
        text("-"),
        text("100.0%"),
    ];
    table(&columns, vec![row], &arguments)
}

pub(crate) async fn nodes(arguments: Arguments) -> Answer {
    arguments.only(&NODE_ARGUMENTS)?;
    let columns = [
        Column("ip", &["i"], "ip address"),
        Column("node.role", &["r", "role", "nodeRole"], "d:data node, i:ingest node, m:master eligible node"),
        Column("master", &["m"], "*:current master"),
        Column("name", &["n"], "node name"),
        Column("version", &["v"], "es version"),
        Column("id", &["nodeId"], "unique node id"),
    ];
    let row = ["127.0.0.1", "dim", "*", "logpond", super::cluster::VERSION, "logpond"];
    table(&columns, vec![row.map(|text| Cell::Text(text.to_owned())).to_vec()], &arguments)
}

pub(crate) async fn master(arguments: Arguments) -> Answer {
    arguments.only(&NODE_ARGUMENTS)?;
    let columns = [
        Column("id", &[], "node id"),
        Column("host", &["h"], "host name"),
        Column("ip", &[], "ip address"),
        Column("node", &["n"], "node name"),
    ];
    let row = ["logpond", "127.0.0.1", "127.0.0.1", "logpond"];
    table(&columns, vec![row.map(|text| Cell::Text(text.to_owned())).to_vec()], &arguments)
}

pub(crate) async fn plugins(arguments: Arguments) -> Answer {
    arguments.only(&NODE_ARGUMENTS)?;
    let columns = [
        Column("name", &["n"], "node name"),
        Column("component", &["c"], "component"),
        Column("version", &["v"], "component version"),
    ];
    table(&columns, Vec::new(), &arguments)
}

/// Whether a list of names and patterns means a name; nothing means all.
fn is_meant(patterns: &str, name: &str) -> bool {
    patterns.is_empty() || patterns.split(',').any(|pattern| super::context::glob(pattern, name))
}

pub(crate) async fn aliases(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let columns = [
        Column("alias", &["a"], "alias name"),
        Column("index", &["i", "idx"], "index alias points to"),
        Column("filter", &["f", "fi"], "filter"),
        Column("routing.index", &["ri", "routingIndex"], "index routing"),
        Column("routing.search", &["rs", "routingSearch"], "search routing"),
        Column("is_write_index", &["w", "isWriteIndex"], "write index"),
    ];
    let (catalog, patterns) = (api.with_store(|store| Ok(store.catalog())).await?, part(&path, "name"));
    let mut rows = Vec::new();
    for (alias, indices) in catalog.aliases.iter().filter(|(alias, _)| is_meant(&patterns, alias)) {
        for (index, rule) in indices {
            let flag = rule.is_write_index.map_or_else(|| "-".to_owned(), |flag| flag.to_string());
            let row = [alias.as_str(), index, "-", "-", "-", &flag];
            rows.push(row.map(|text| Cell::Text(text.to_owned())).to_vec());
        }
    }
    table(&columns, rows, &arguments)
}

pub(crate) async fn templates(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let columns = [
        Column("name", &["n"], "template name"),
        Column("index_patterns", &["t"], "template index patterns"),
        Column("order", &["o", "p"], "template application order/priority number"),
        Column("version", &["v"], "version"),
        Column("composed_of", &["c"], "component templates comprising index template"),
    ];
    let (catalog, patterns) = (api.with_store(|store| Ok(store.catalog())).await?, part(&path, "name"));
    let list = |names: &[String]| format!("[{}]", names.join(", "));
    let own = catalog.legacy.iter().chain(&catalog.templates);
    let rows = own.filter(|(name, _)| is_meant(&patterns, name)).map(|(name, template)| {
        let version = template.body.get("version").map(super::dsl::plain).unwrap_or_default();
        let order = template.priority.to_string();
        let row = [name.clone(), list(&template.patterns), order, version, list(&template.composed_of)];
        row.map(Cell::Text).to_vec()
    });
    table(&columns, rows.collect(), &arguments)
}

pub(crate) async fn shards(State(api): State<Api>, path: IndexPath, arguments: Arguments) -> Answer {
    arguments.only(&ARGUMENTS)?;
    let columns = [
        Column("index", &["i", "idx"], "index name"),
        Column("shard", &["s", "sh"], "shard name"),
        Column("prirep", &["p", "pr", "primaryOrReplica"], "primary or replica"),
        Column("state", &["st"], "shard state"),
        Column("docs", &["d", "dc"], "number of docs in shard"),
        Column("store", &["sto"], "store size of shard (how much disk it uses)"),
        Column("ip", &[], "ip of node where it lives"),
        Column("node", &["n"], "name of node where it lives"),
    ];
    let (index, asked) = (part(&path, "index"), arguments.clone());
    let infos = api.with_store(move |store| Ok(store.list(&resolve(store, &index, &asked)?))).await?;
    let text = |text: &str| Cell::Text(text.to_owned());
    let rows = infos.into_iter().map(|info| {
        vec![
            Cell::Text(info.name),
            Cell::Number(0),
            text("p"),
            text("STARTED"),
            Cell::Number(info.docs),
            Cell::Bytes(info.bytes),
            text("127.0.0.1"),
            text("logpond"),
        ]
    });
    table(&columns, rows.collect(), &arguments)
}

fn seconds() -> u64 {
    u64::try_from(dates::now() / 1_000_000_000).unwrap_or(0)
}

fn clock(seconds: u64) -> String {
    let of_day = seconds % 86_400;
    format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// Which columns a list of names and patterns means.
fn choose(columns: &[Column], names: &str) -> Vec<usize> {
    let named = |name: &str| {
        let own = columns.iter().enumerate().filter(move |(_, Column(own, others, _))| {
            super::context::glob(name, own) || others.contains(&name)
        });
        own.map(|(at, _)| at).collect::<Vec<_>>()
    };
    names.split(',').flat_map(|name| named(name.trim())).collect()
}

fn sort_rows(columns: &[Column], rows: &mut [Vec<Cell>], by: &str) -> Result<(), EsError> {
    for key in by.split(',').rev() {
        let (name, order) = key.rsplit_once(':').unwrap_or((key, "asc"));
        let Some(at) = choose(columns, name).first().copied() else {
            let names: Vec<&str> = columns.iter().map(|column| column.0).collect();
            return Err(EsError::unknown("Unable to sort by unknown sort key: the column", name, &names));
        };
        rows.sort_by(|a, b| match (a[at].number(), b[at].number()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a[at].text(None).cmp(&b[at].text(None)),
        });
        if order == "desc" {
            rows.reverse();
        }
    }
    Ok(())
}

/// A table as `_cat` prints it: aligned text, or JSON.
fn table(columns: &[Column], mut rows: Vec<Vec<Cell>>, arguments: &Arguments) -> Answer {
    if arguments.flag("help") {
        let mut text = String::new();
        for Column(name, others, about) in columns {
            text.push_str(&format!("{name:<24} | {:<36} | {about}\n", others.join(",")));
        }
        return Ok(plain(text));
    }
    let unit = arguments.get("bytes");
    if let Some(unit) = unit.filter(|unit| scale(unit).is_none()) {
        return Err(EsError::unknown("the unit of [bytes]", unit, &["b", "kb", "mb", "gb", "tb"]));
    }
    if let Some(by) = arguments.get("s") {
        sort_rows(columns, &mut rows, by)?;
    }
    let wanted =
        arguments.get("h").map_or_else(|| (0..columns.len()).collect(), |names| choose(columns, names));
    match arguments.get("format") {
        Some("json") => {
            let list = rows.iter().map(|row| {
                let cells =
                    wanted.iter().map(|at| (columns[*at].0.to_owned(), Value::from(row[*at].text(unit))));
                Value::Object(cells.collect::<Map<_, _>>())
            });
            return Ok(answer(list.collect(), arguments));
        }
        None | Some("text" | "txt") => {}
        Some(other) => return Err(EsError::unknown("the format", other, &["text", "json"])),
    }
    let is_number: Vec<bool> =
        (0..columns.len()).map(|at| rows.first().is_some_and(|row| row[at].number().is_some())).collect();
    let mut all: Vec<Vec<String>> = Vec::new();
    if arguments.flag("v") {
        all.push(columns.iter().map(|column| column.0.to_owned()).collect());
    }
    all.extend(rows.iter().map(|row| row.iter().map(|cell| cell.text(unit)).collect()));
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| all.iter().map(|row| row[at].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in all {
        let cell = |at: &usize| {
            let width = widths[*at];
            if is_number[*at] { format!("{:>width$}", row[*at]) } else { format!("{:<width$}", row[*at]) }
        };
        let cells: Vec<String> = wanted.iter().map(cell).collect();
        text.push_str(cells.join(" ").trim_end());
        text.push('\n');
    }
    Ok(plain(text))
}

fn plain(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=UTF-8")], text).into_response()
}
