//! What a problem's `type` leads to: a page that says what it means (RFC 9457, section 3.1.1). The meanings
//! stand once, in the table of problem types of the API's documentation.

use super::{Problem, Routes, StaticPage};
use axum::{
    extract::{Path, State},
    response::Response,
};
use http::HeaderMap;
use std::{collections::HashMap, sync::Arc};

type Pages = Arc<HashMap<String, StaticPage>>;

/// A page for each row ``| `/problems/slug` | status | meaning |`` of a document in Markdown.
pub fn problem_pages(document: &str) -> Routes {
    let pages: Pages = Arc::new(document.lines().filter_map(page).collect());
    Routes::new().public("/problems/{slug}", show).with_state(pages)
}

fn page(line: &str) -> Option<(String, StaticPage)> {
    let (slug, rest) = line.strip_prefix("| `/problems/")?.split_once("` |")?;
    let (status, meaning) = rest.trim_end().trim_end_matches('|').split_once('|')?;
    let text = format!("/problems/{slug} ({}): {}\n", status.trim(), meaning.trim());
    Some((slug.to_owned(), StaticPage::new("text/plain; charset=utf-8", text)))
}

async fn show(
    pages: State<Pages>,
    Path(slug): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let page = pages.get(&slug).ok_or_else(no_such_type)?;
    Ok(page.answer(&headers))
}

pub(super) fn no_such_type() -> Problem {
    Problem::not_found("There is no such type of problem.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_table_is_a_page_and_nothing_else_is() {
        let (slug, _) = page("| `/problems/not-found` | 404 | no such path |").unwrap();
        assert_eq!(slug, "not-found");
        for other in ["| `type` | status | meaning |", "| --- | --- | --- |", "a /problems/x", ""] {
            assert!(page(other).is_none(), "{other}");
        }
    }
}
