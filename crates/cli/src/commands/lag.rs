//! `logpond lag`: how far consumer groups of Kafka are behind.

use crate::Failure;
use crate::cluster::Cluster;
use pipeline::inputs::kafka_lag::json_of;
use pipeline::net::kafka::survey::{LagRow, Surveyor};
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    cluster: Cluster,
    /// Only these groups.
    #[arg(long = "group", value_delimiter = ',')]
    groups: Vec<String>,
    /// Print JSON, one partition a line.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let mut surveyor = Surveyor::new(&arguments.cluster.config(), arguments.cluster.timeout())?;
    let found = surveyor.lag(&arguments.groups, pipeline::run::now() / 1_000_000)?;
    if arguments.json {
        found.rows.iter().for_each(|row| println!("{}", json_of(row)));
    } else {
        print!("{}", table(&found.rows));
    }
    for missing in &found.missing {
        eprintln!("logpond: {missing}");
    }
    Ok(if found.missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(rows: &[LagRow]) -> String {
    let wide = |name: &str, text: fn(&LagRow) -> &str| {
        rows.iter().map(|row| text(row).len()).max().unwrap_or(0).max(name.len())
    };
    let group = wide("group", |row| row.group.as_str());
    let topic = wide("topic", |row| row.partition.topic.as_str());
    let mut out = format!(
        "{:<group$} {:<topic$} {:>9} {:>12} {:>12} {:>10} {:>10}  member\n",
        "group", "topic", "partition", "committed", "end", "lag", "seconds"
    );
    for row in rows {
        let number = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
        let seconds = row.behind.map_or("-".to_owned(), |behind| format!("{:.1}", behind.as_secs_f64()));
        let member = row.owner.as_ref().map_or("-".to_owned(), |owner| {
            format!("{} {} {}", owner.client_id.as_str(), owner.host.as_str(), owner.member_id.as_str())
        });
        let line = format!(
            "{:<group$} {:<topic$} {:>9} {:>12} {:>12} {:>10} {:>10}  {member}\n",
            row.group.as_str(),
            row.partition.topic.as_str(),
            row.partition.partition,
            number(row.committed),
            number(row.log_end),
            number(row.lag),
            seconds,
        );
        out.push_str(&line);
    }
    out
}
