//! The rows of a database as lines of the history: they say how many messages are at or below each
//! position, which the wire does not. Knows the schema, no protocol.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use aldis_services::MariaDb;
use serde_json::{Value, json};

use super::answers::Moment;

/// Rows of one line.
const ROWS_PER_LINE: usize = 1_000;

/// Writes all entries of all conversations.
pub(super) fn write(path: &Path, seed: u64, mariadb: &MariaDb, database_url: &str) {
    let database = database_url.rsplit('/').next().expect("a database's URL");
    let rows = mariadb.sql(&format!(
        "SELECT lo, hi, conv_seq, msg_no, msg_id, kind FROM {database}.im_message_body"
    ));
    let rows: Vec<Value> = rows.lines().map(entry).collect();
    let mut file = BufWriter::new(File::create(path).expect("a writable directory"));
    for entries in rows.chunks(ROWS_PER_LINE) {
        let line = json!({
            "run": super::RUN, "seed": seed, "t_ns": Moment::now().ns(), "process": "stored",
            "node": "database", "op": "stored", "phase": "ok", "result": {"entries": entries},
        });
        writeln!(file, "{line}").expect("a writable file");
    }
    file.flush().expect("a writable file");
}

fn entry(row: &str) -> Value {
    let numbers: Vec<u64> = row.split('\t').map(|field| field.parse().expect("a number")).collect();
    let [lo, hi, conv_seq, msg_no, msg_id, kind] = numbers[..] else { panic!("six: {row}") };
    json!({
        "conv": [lo, hi], "conv_seq": conv_seq, "msg_no": msg_no, "msg_id": msg_id, "kind": kind,
    })
}
