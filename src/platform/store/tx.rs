//! One transaction on whichever database: SQL with `$1`-style parameters, numbered in order.

use super::{LedgerChange, StoreError};
use rusqlite::{
    CachedStatement,
    types::{ToSql, ToSqlOutput, ValueRef},
};

/// A statement's parameter.
#[derive(Clone, Copy, Debug)]
pub enum Param<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Blob(&'a [u8]),
}

impl From<i64> for Param<'_> {
    fn from(value: i64) -> Self {
        Param::Int(value)
    }
}
impl<'a> From<&'a str> for Param<'a> {
    fn from(value: &'a str) -> Self {
        Param::Text(value)
    }
}
impl<'a> From<&'a [u8]> for Param<'a> {
    fn from(value: &'a [u8]) -> Self {
        Param::Blob(value)
    }
}
impl<'a, T: Into<Param<'a>>> From<Option<T>> for Param<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Param::Null, Into::into)
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Param::Null => ValueRef::Null,
            Param::Int(value) => ValueRef::Integer(value),
            Param::Text(value) => ValueRef::Text(value.as_bytes()),
            Param::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

/// A transaction of the committer, or a read snapshot.
pub struct Tx<'a> {
    connection: &'a rusqlite::Connection,
    ledger: LedgerChange,
    /// What was executed in this transaction: a batch repeats few statements many times, and looking one
    /// up by its text costs as much as half a row.
    statements: Vec<(&'static str, CachedStatement<'a>)>,
}

/// A row of a result; columns count from 0.
pub struct Row<'a> {
    row: &'a rusqlite::Row<'a>,
}

impl<'a> Tx<'a> {
    pub(super) fn new(connection: &'a rusqlite::Connection) -> Self {
        Self { connection, ledger: LedgerChange::default(), statements: Vec::new() }
    }

    /// The change to the lifetime ledger that is committed with this transaction.
    pub fn ledger(&mut self) -> &mut LedgerChange {
        &mut self.ledger
    }

    /// Executes a statement and returns how many rows it changed.
    pub fn execute(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<usize, StoreError> {
        Ok(self.bound(sql, params)?.raw_execute()?)
    }

    /// All rows of a query, each read by `read`.
    pub fn query<T>(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut rows = self.bound(sql, params)?.raw_query();
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(&Row { row })?);
        }
        Ok(all)
    }

    /// The first row of a query, if there is one.
    pub fn first<T>(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut rows = self.bound(sql, params)?.raw_query();
        rows.next()?.map(|row| read(&Row { row })).transpose()
    }

    /// The prepared statement with these parameters.
    fn bound(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<&mut CachedStatement<'a>, StoreError> {
        let known = self.statements.iter().position(|(text, _)| std::ptr::eq(*text, sql));
        if known.is_none() {
            self.statements.push((sql, self.connection.prepare_cached(sql)?));
        }
        let at = known.unwrap_or(self.statements.len() - 1);
        let (_, statement) = &mut self.statements[at];
        bind(statement, params)?;
        Ok(statement)
    }
}

/// SQLite numbers `$n` parameters by their first appearance, so they have to appear in order.
fn bind(statement: &mut rusqlite::Statement<'_>, params: &[Param<'_>]) -> Result<(), StoreError> {
    debug_assert_eq!(statement.parameter_count(), params.len(), "a parameter for each $n");
    for (index, param) in params.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, param)?;
    }
    Ok(())
}

impl Row<'_> {
    /// An integer that is there.
    pub fn int(&self, column: usize) -> Result<i64, StoreError> {
        Ok(self.row.get(column)?)
    }
    /// A text that is there.
    pub fn text(&self, column: usize) -> Result<String, StoreError> {
        Ok(self.row.get(column)?)
    }
    /// A blob that is there.
    pub fn blob(&self, column: usize) -> Result<Vec<u8>, StoreError> {
        Ok(self.row.get(column)?)
    }
    /// An integer, or NULL.
    pub fn optional_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        Ok(self.row.get(column)?)
    }
    /// A text, or NULL.
    pub fn optional_text(&self, column: usize) -> Result<Option<String>, StoreError> {
        Ok(self.row.get(column)?)
    }
    /// A blob, or NULL.
    pub fn optional_blob(&self, column: usize) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.row.get(column)?)
    }
}
