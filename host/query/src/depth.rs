//! How deep a statement's tree may be: the parser bounds what stands inside brackets, but builds a chain (`1 + 1 + …`, casts,
//! `UNION`, joins) without bound, and planning it recurses until the process's stack ends.

use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::Error;

/// Links of a chain, with those of the chains around it. People write dozens, and programs a few hundred.
const MAX_LINKS: usize = 600;

/// Refuses a text of a deeper tree than can be planned. A text that has no tokens is left to the parser.
///
/// 1. Each level of a tree that isn't bounded by the parser's own limit comes of a token that links: an operator, a word such as
///    `AND`, `JOIN` or `UNION`, a comma between tables. Links are counted within brackets, and around them.
/// 2. A comma elsewhere ends a chain: what follows it doesn't hold what was before it.
/// 3. Queries that read one another by name (`WITH`) are put into each other: each has a `SELECT` or a `FROM`, which are counted
///    over the whole text.
pub(crate) fn check(sql: &str, dialect: &dyn Dialect) -> Result<(), Error> {
    let Ok(tokens) = Tokenizer::new(dialect, sql).tokenize() else { return Ok(()) };
    let mut levels = vec![Level::default()];
    let (mut around, mut queries) = (0, 0);
    for token in &tokens {
        let Some(level) = levels.last_mut() else { break };
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                // An element of an element of an element.
                level.links += usize::from(*token == Token::LBracket);
                around += level.links;
                levels.push(Level::default());
                continue;
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                if levels.len() > 1 {
                    levels.pop();
                    around -= levels.last().map_or(0, |level| level.links);
                }
                continue;
            }
            Token::SemiColon => *level = Level::default(),
            Token::Comma if !level.is_from => (level.links, level.periods) = (0, 0),
            Token::Word(word) => {
                queries += usize::from(matches!(word.keyword, Keyword::SELECT | Keyword::FROM));
                level.word(word.keyword);
            }
            Token::Period => level.period(),
            Token::Whitespace(_) | Token::Number(..) | Token::EOF => {}
            _ if is_text(token) => {}
            _ => level.link(),
        }
        if around + level.links > MAX_LINKS || queries > 2 * MAX_LINKS {
            return Err(Error::TooDeep { max: MAX_LINKS });
        }
    }
    Ok(())
}

/// What stands between two brackets.
#[derive(Default)]
struct Level {
    links: usize,
    /// Periods since the last link.
    periods: usize,
    /// Whether commas stand between tables.
    is_from: bool,
}

impl Level {
    fn link(&mut self) {
        self.links += 1;
        self.periods = 0;
    }

    /// A name has three at most: catalogue, schema, table, column. More are fields of fields.
    fn period(&mut self) {
        self.periods += 1;
        self.links += usize::from(self.periods > 3);
    }

    fn word(&mut self, keyword: Keyword) {
        match keyword {
            Keyword::FROM => self.is_from = true,
            Keyword::SELECT | Keyword::WHERE | Keyword::GROUP | Keyword::HAVING | Keyword::ORDER | Keyword::WINDOW => {
                self.is_from = false;
            }
            Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS => {
                self.is_from = false;
                self.link();
            }
            Keyword::AND
            | Keyword::OR
            | Keyword::XOR
            | Keyword::NOT
            | Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::SIMILAR
            | Keyword::BETWEEN
            | Keyword::REGEXP
            | Keyword::RLIKE
            | Keyword::DIV
            | Keyword::COLLATE
            | Keyword::AT
            | Keyword::JOIN
            | Keyword::APPLY
            | Keyword::OPERATOR
            | Keyword::OVERLAPS => self.link(),
            _ => {}
        }
    }
}

/// Whether a token is a text: it links nothing.
fn is_text(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::Placeholder(_)
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::dialect::LakeDialect;

    fn is_refused(sql: &str) -> bool {
        matches!(check(sql, &LakeDialect), Err(Error::TooDeep { max: MAX_LINKS }))
    }

    #[test]
    fn chains_of_every_kind_are_counted() {
        for (start, link, end) in [
            ("select 1", " + 1", ""),
            ("select 1", "::bigint", ""),
            ("select true", " or false", ""),
            ("select 1 in (1)", " in (true)", ""),
            ("select 1 is null", " is null", ""),
            ("select array[1]", "[1]", ""),
            ("select (a)", ".b", ""),
            ("select 1", " union all select 1", ""),
            ("select 1 from t", ", t", ""),
            ("select 1 from t", " join t using (a)", ""),
            ("select f(2, (1", " + 1", "))"),
            ("select 1 + (2 + (3", " + 1", "))"),
        ] {
            assert!(!is_refused(&format!("{start}{}{end}", link.repeat(MAX_LINKS - 10))), "{start}{link}{end}");
            assert!(is_refused(&format!("{start}{}{end}", link.repeat(MAX_LINKS + 10))), "{start}{link}{end}");
        }
    }

    #[test]
    fn what_stands_side_by_side_is_no_chain() {
        let columns = vec!["a + b - c * d"; 5_000].join(", ");
        let list = vec!["'x = y + z'"; 5_000].join(", ");
        let sums = vec!["(a + b)"; MAX_LINKS].join(" + ");
        for sql in [
            format!("select {columns} from t"),
            format!("select 1 from t where a in ({list})"),
            format!("select {sums}"),
        ] {
            assert!(!is_refused(&sql), "{}", &sql[..60]);
        }
    }

    #[test]
    fn queries_that_are_put_into_each_other_are_counted() {
        let chain = |length: usize| {
            let parts: Vec<String> = (1..length).map(|at| format!("q{at} as (select * from q{})", at - 1)).collect();
            format!("with q0 as (select 1), {} select 1", parts.join(", "))
        };
        assert!(!is_refused(&chain(MAX_LINKS - 10)));
        assert!(is_refused(&chain(MAX_LINKS + 10)));
    }
}
