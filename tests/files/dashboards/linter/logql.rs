//! Rules about queries in LogQL. There is no parser of it: what is read is its outer form, a selector of
//! streams, stages behind it, and the ranges of what is counted.

use crate::promql;
use crate::read::Board;

fn each(board: &Board, judge: impl Fn(&str) -> Result<(), String>) -> Vec<String> {
    let targets = board.panels().into_iter().flat_map(|panel| {
        let targets = panel.targets().into_iter().filter(|target| target.source() == "loki");
        targets.map(move |target| (panel.title(), target.expr()))
    });
    let faults =
        targets.filter_map(|(title, query)| Some(format!("{title:?}: {}: {query}", judge(query).err()?)));
    faults.collect()
}

pub fn valid(board: &Board) -> Vec<String> {
    each(board, form)
}

/// What follows a selector of streams.
const STAGES: &[&str] = &["|=", "!=", "|~", "!~", "|", "[", ")"];

/// Whether this looks like LogQL. The links into Grafana's Explore are held to it as well.
pub fn form(query: &str) -> Result<(), String> {
    balanced(query)?;
    let (before, _) = query.split_once('{').ok_or("no selector of streams")?;
    let (streams, after) = split_selector(query.strip_prefix(before).unwrap_or_default());
    let expr = promql::parse(streams)?;
    if promql::selectors(&expr).iter().all(|streams| promql::matchers(streams).next().is_none()) {
        return Err("selects all streams".into());
    }
    let after = after.trim_start();
    if after.is_empty() || STAGES.iter().any(|stage| after.starts_with(stage)) {
        Ok(())
    } else {
        Err(format!("no stage begins with {after:?}"))
    }
}

/// What stands in the outermost braces, and what after them.
fn split_selector(query: &str) -> (&str, &str) {
    let mut quoted = false;
    let end = query.char_indices().find(|(_, char)| {
        quoted ^= *char == '"';
        *char == '}' && !quoted
    });
    query.split_at(end.map_or(query.len(), |(at, _)| at + 1))
}

/// Whether brackets close in the order in which they open, those in strings aside.
fn balanced(query: &str) -> Result<(), String> {
    let (mut open, mut quote, mut escaped) = (Vec::new(), None, false);
    for char in query.chars() {
        match (quote, char) {
            (Some('"'), '\\') if !escaped => {
                escaped = true;
                continue;
            }
            (Some(mark), _) if char == mark && !escaped => quote = None,
            (Some(_), _) => {}
            (None, '"' | '`') => quote = Some(char),
            (None, '(') => open.push(')'),
            (None, '[') => open.push(']'),
            (None, '{') => open.push('}'),
            (None, ')' | ']' | '}') if open.pop() != Some(char) => return Err(format!("a {char} too many")),
            _ => {}
        }
        escaped = false;
    }
    if open.is_empty() && quote.is_none() { Ok(()) } else { Err("something is not closed".into()) }
}

/// Ranges are `$__auto`.
pub fn auto(board: &Board) -> Vec<String> {
    each(board, |query| {
        let mut ranges = query.split('[').skip(1).map(|rest| rest.split(']').next().unwrap_or_default());
        match ranges.find(|range| *range != "$__auto") {
            Some(range) => Err(format!("the range {range} is not $__auto")),
            None => Ok(()),
        }
    })
}
