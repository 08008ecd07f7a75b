//! Grafana's own types, as published for its plugins, judge every dashboard file: `tsc` is given each one as
//! a value of the types in `grafana_schema/board.ts`.

use crate::{need, program::shipped};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// What the compiler needs besides the dashboards.
const FILES: &[&str] = &["board.ts", "package-lock.json", "package.json", "tsconfig.json"];

#[test]
fn grafanas_types_accept_every_dashboard_and_no_broken_one() {
    need("npm");
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    for file in FILES {
        fs::copy(shipped("tests/peers/grafana_schema").join(file), folder.join(file)).unwrap();
    }
    let installed = ran(folder, "npm", &["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    assert!(installed.status.success(), "{}", told(&installed));
    let boards = crate::read::boards().unwrap();
    assert!(!boards.is_empty());
    for board in &boards {
        write(folder, board.uid(), &board.json.to_string());
    }
    let judged = ran(folder, "node", COMPILER);
    assert!(judged.status.success(), "{}", told(&judged));
    let good = boards[0].json.to_string();
    for (at, (piece, by)) in BREAKS.iter().enumerate() {
        assert!(good.contains(piece), "{piece} is not there to be broken");
        write(folder, &format!("broken-{at}"), &good.replacen(piece, by, 1));
    }
    let judged = told(&ran(folder, "node", COMPILER));
    for (at, (piece, by)) in BREAKS.iter().enumerate() {
        assert!(judged.contains(&format!("broken-{at}.ts")), "{by} for {piece} passes:\n{judged}");
    }
    assert!(judged.lines().all(|line| line.starts_with("broken-") || line.starts_with(' ')), "{judged}");
}

const COMPILER: &[&str] = &["node_modules/typescript/bin/tsc", "--project", ".", "--pretty", "false"];

/// Pieces of a good dashboard, and what no dashboard has in their place.
const BREAKS: &[(&str, &str)] = &[
    (r#""graphTooltip":1"#, r#""graphTooltip":"1""#),
    (r#""editable":true"#, r#""editable":"no""#),
    (r#""schemaVersion":"#, r#""schemaversion":"#),
    (r#""type":"timeseries""#, r#""type":"timelines""#),
    (r#""unit":""#, r#""units":""#),
    (r#""placement":"bottom""#, r#""placement":"below""#),
    (r#""type":"datasource""#, r#""type":"data source""#),
    (r#""exemplar":true"#, r#""exemplar":"on""#),
    (r#""gridPos":{"h":"#, r#""gridPos":{"height":"#),
];

/// A dashboard as a value of its type.
fn write(folder: &Path, name: &str, json: &str) {
    let text = format!("import type {{ Board }} from './board.js';\nexport const board: Board = {json};\n");
    fs::write(folder.join(format!("{name}.ts")), text).unwrap();
}

fn ran(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    Command::new(program).current_dir(folder).args(arguments).output().unwrap()
}

fn told(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}
