//! `logpond topics`: the topics of a Kafka cluster.

use crate::Failure;
use crate::cluster::Cluster;
use pipeline::net::kafka::survey::{PartitionRow, Surveyor};
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    cluster: Cluster,
    /// Only these topics; also those of Kafka itself.
    topics: Vec<String>,
    /// Print JSON, one partition a line.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let mut surveyor = Surveyor::new(&arguments.cluster.config(), arguments.cluster.timeout())?;
    let found = surveyor.topics(&arguments.topics)?;
    if arguments.json {
        for row in &found.rows {
            println!("{}", serde_json::to_string(row)?);
        }
    } else {
        print!("{}", table(&found.rows));
    }
    for missing in &found.missing {
        eprintln!("logpond: {missing}");
    }
    Ok(if found.missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(rows: &[PartitionRow]) -> String {
    let width = rows.iter().map(|row| row.topic.len()).max().unwrap_or(0).max("topic".len());
    let mut out = format!(
        "{:<width$} {:>9} {:>6} {:<12} {:<12} {:>12} {:>12} {:>12}\n",
        "topic", "partition", "leader", "replicas", "in sync", "first", "end", "offsets"
    );
    for row in rows {
        let number = |number: Option<i64>| number.map_or("?".to_owned(), |number| number.to_string());
        let list = |ids: &[i32]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let offsets = row.end.zip(row.first).map(|(end, first)| end - first);
        let line = format!(
            "{:<width$} {:>9} {:>6} {:<12} {:<12} {:>12} {:>12} {:>12}",
            row.topic,
            row.partition,
            row.leader.map_or("none".to_owned(), |leader| leader.to_string()),
            list(&row.replicas),
            list(&row.in_sync),
            number(row.first),
            number(row.end),
            number(offsets),
        );
        out.push_str(&line);
        // What an operator looks for.
        if row.in_sync.len() < row.replicas.len() {
            out.push_str("  not all in sync");
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_that_are_not_well_stand_out() {
        let row = PartitionRow {
            topic: "logs".to_owned(),
            partition: 3,
            leader: Some(1),
            replicas: vec![1, 2, 3],
            in_sync: vec![1, 3],
            first: Some(10),
            end: Some(25),
        };
        let lost = PartitionRow { leader: None, first: None, ..row.clone() };
        let table = table(&[row, lost]);
        let lines: Vec<String> =
            table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[1], "logs 3 1 1,2,3 1,3 10 25 15 not all in sync");
        assert_eq!(lines[2], "logs 3 none 1,2,3 1,3 ? 25 ? not all in sync");
    }
}
