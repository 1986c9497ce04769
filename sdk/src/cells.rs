//! Macros that make rows and their columns of the schema's lines: which Rust type a cell has, and how it crosses the boundary.

/// Takes the blocks of columns that connectors give, leaves out the others, and gives the rest to another macro behind what
/// stands in the first brackets.
macro_rules! select {
    ($with:ident [$($about:tt)*] [$($kept:tt)*] connector { $($columns:tt)* } $($rest:tt)*) => {
        select! { $with [$($about)*] [$($kept)* $($columns)*] $($rest)* }
    };
    ($with:ident [$($about:tt)*] [$($kept:tt)*] $other:ident { $($columns:tt)* } $($rest:tt)*) => {
        select! { $with [$($about)*] [$($kept)*] $($rest)* }
    };
    ($with:ident [$($about:tt)*] [$($kept:tt)*]) => {
        $with! { $($about)* $($kept)* }
    };
}

/// A field of a row.
macro_rules! cell {
    ($a:lifetime id required) => { &$a str };
    ($a:lifetime text nullable) => { Option<&$a str> };
    ($a:lifetime currency nullable) => { Option<&$a str> };
    ($a:lifetime money nullable) => { Option<Money> };
    ($a:lifetime flag nullable) => { Option<bool> };
    ($a:lifetime time $presence:ident) => { Option<Time> };
    ($a:lifetime day $presence:ident) => { Option<Time> };
    ($a:lifetime int64 nullable) => { Option<i64> };
    ($a:lifetime pairs nullable) => { &$a [(&$a str, Option<&$a str>)] };
    ($a:lifetime enum $words:ident nullable) => { Option<$words> };
    ($a:lifetime enum $words:ident $presence:ident) => { $words };
}

/// What a row begins with.
macro_rules! first {
    (id required) => {
        ""
    };
    (pairs nullable) => {
        &[]
    };
    (enum $words:ident $first:ident nullable) => {
        None
    };
    (enum $words:ident $first:ident $presence:ident) => {
        $words::$first
    };
    ($kind:ident $presence:ident) => {
        None
    };
}

/// The column that rows are pushed to.
macro_rules! buffer {
    (id $presence:ident) => { Sparse<TextBuffer> };
    (text $presence:ident) => { Sparse<TextBuffer> };
    (currency $presence:ident) => { Sparse<TextBuffer> };
    (money $presence:ident) => { Sparse<MoneyBuffer> };
    (flag $presence:ident) => { Sparse<ByteBuffer> };
    (time $presence:ident) => { Sparse<TimeBuffer> };
    (day $presence:ident) => { Sparse<TimeBuffer> };
    (int64 $presence:ident) => { Sparse<MoneyBuffer> };
    (pairs $presence:ident) => { Sparse<PairsBuffer> };
    (enum implied) => { Implied };
    (enum $presence:ident) => { Sparse<ByteBuffer> };
}

macro_rules! push {
    ($column:expr, $cell:expr, id required) => {
        $column.push(Some($cell))
    };
    ($column:expr, $cell:expr, flag nullable) => {
        $column.push($cell.map(u8::from))
    };
    ($column:expr, $cell:expr, time required) => {
        $column.push($cell)
    };
    ($column:expr, $cell:expr, day required) => {
        $column.push($cell)
    };
    ($column:expr, $cell:expr, day nullable) => {
        $column.push($cell.filter(Time::is_real))
    };
    // A number crosses the boundary in millionths; one that is too large was refused.
    ($column:expr, $cell:expr, int64 nullable) => {
        $column.push($cell.map(|number: i64| Money::from_micros(number.saturating_mul(1_000_000))))
    };
    // Moments outside of these years are networks' words for none.
    ($column:expr, $cell:expr, time nullable) => {
        $column.push($cell.filter(Time::is_real))
    };
    ($column:expr, $cell:expr, pairs nullable) => {
        $column.push((!$cell.is_empty()).then_some($cell))
    };
    ($column:expr, $cell:expr, enum $words:ident $first:ident nullable) => {
        $column.push($cell.map(|word| word as u8))
    };
    ($column:expr, $cell:expr, enum $words:ident $first:ident required) => {
        $column.push(Some($cell as u8))
    };
    ($column:expr, $cell:expr, enum $words:ident $first:ident implied) => {
        $column.push($cell as u8, $words::$first as u8)
    };
    ($column:expr, $cell:expr, $kind:ident nullable) => {
        $column.push($cell)
    };
}

macro_rules! finish {
    ($column:expr, required) => {
        $column.into_whole()
    };
    ($column:expr, $presence:ident) => {
        $column.into_wire()
    };
}

macro_rules! values {
    ($column:expr, $kind:ident required) => { Some(values!(@$kind)($column)) };
    ($column:expr, $kind:ident $presence:ident) => { $column.map(values!(@$kind)) };
    (@id) => { facts::Values::Text };
    (@text) => { facts::Values::Text };
    (@currency) => { facts::Values::Text };
    (@money) => { facts::Values::Money };
    (@flag) => { facts::Values::Flag };
    (@time) => { facts::Values::Time };
    (@day) => { facts::Values::Time };
    (@int64) => { facts::Values::Money };
    (@pairs) => { facts::Values::Pairs };
    (@enum) => { facts::Values::Words };
}

pub(crate) use {buffer, cell, finish, first, push, select, values};
