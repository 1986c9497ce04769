//! The fields of a JSON record in which characters of another character set stand.

use super::notes::NoteKind;
use super::repair::Marks;
use super::scan::{ScanError, Scanner};
use super::table::{NodeId, ROOT, Table};

/// Reads the current record of `table` once more, from the scanner's place up to `end`, and notes its marked fields.
///
/// # Errors
/// None in a record that has been read.
#[cold]
pub(super) fn note_fields(
    mut scanner: Scanner<'_>,
    end: usize,
    marks: &mut Marks,
    table: &mut Table,
) -> Result<(), ScanError> {
    let outside = marks.pass(scanner.at);
    if outside > 0 {
        table.note_outside(NoteKind::Charset, outside);
    }
    if scanner.peek()? == b'{' {
        return note_members(&mut scanner, ROOT, marks, table);
    }
    if marks.pass(end) > 0 {
        let node = table.find(ROOT, "value").unwrap_or(ROOT);
        table.note(node, NoteKind::Charset);
    }
    Ok(())
}

/// As deep as the record itself, so no deeper than that may be.
fn note_members(
    scanner: &mut Scanner<'_>,
    node: NodeId,
    marks: &mut Marks,
    table: &mut Table,
) -> Result<(), ScanError> {
    let mut buffer = Vec::new();
    let mut more = scanner.enter(b'}')?;
    while more {
        let text = scanner.name()?;
        scanner.unescape(&text, &mut buffer);
        let name = std::str::from_utf8(&buffer).unwrap_or_default();
        let member = table.find(node, name).unwrap_or(node);
        match scanner.peek()? {
            b'{' => note_members(scanner, member, marks, table)?,
            _ => scanner.skip()?,
        }
        if marks.pass(scanner.at) > 0 {
            table.note(member, NoteKind::Charset);
        }
        more = scanner.more(b'}')?;
    }
    Ok(())
}
