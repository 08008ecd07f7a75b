//! One transaction on whichever database: SQL with `$1`-style parameters, numbered in order.

use super::StoreError;

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

/// A transaction or a read snapshot.
pub struct Tx<'a> {
    _connection: std::marker::PhantomData<&'a ()>,
}

/// A row of a result; columns count from 0.
pub struct Row<'a> {
    _row: std::marker::PhantomData<&'a ()>,
}

impl Tx<'_> {
    /// Executes a statement and returns how many rows it changed.
    pub fn execute(&mut self, _sql: &'static str, _params: &[Param<'_>]) -> Result<usize, StoreError> {
        todo!()
    }

    /// All rows of a query, each read by `read`.
    pub fn query<T>(
        &mut self,
        _sql: &'static str,
        _params: &[Param<'_>],
        _read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        todo!()
    }

    /// The first row of a query, if there is one.
    pub fn first<T>(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.query(sql, params, read)?.into_iter().next())
    }
}

impl Row<'_> {
    pub fn int(&self, _column: usize) -> Result<i64, StoreError> {
        todo!()
    }
    pub fn text(&self, _column: usize) -> Result<String, StoreError> {
        todo!()
    }
    pub fn blob(&self, _column: usize) -> Result<Vec<u8>, StoreError> {
        todo!()
    }
    pub fn optional_int(&self, _column: usize) -> Result<Option<i64>, StoreError> {
        todo!()
    }
    pub fn optional_text(&self, _column: usize) -> Result<Option<String>, StoreError> {
        todo!()
    }
    pub fn optional_blob(&self, _column: usize) -> Result<Option<Vec<u8>>, StoreError> {
        todo!()
    }
}
