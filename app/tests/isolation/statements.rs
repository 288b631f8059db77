//! Every statement on tenants' rows, read from the sources: what stands in `sql!(…)`, also where `concat!` and a macro
//! of the file put it together.
use crate::architecture::sources;
use std::collections::BTreeMap;

pub struct Statement {
    /// `app/src/orders/store.rs:93`.
    pub place: String,
    pub text: String,
}

/// A part of a text.
#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    /// `$filter`, an argument of the macro that it stands in.
    Argument(String),
}

/// The statements of the product. What is no statement: the macro itself, its documentation and its tests.
pub fn all() -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut occurrences = 0;
    for (name, source) in sources() {
        if name.starts_with("platform/src/data/sql/") {
            continue;
        }
        let calls = calls_of(&source);
        for (at, _) in source.match_indices("sql!(") {
            let line = source[..at].matches('\n').count() + 1;
            if source[..at].rsplit('\n').next().unwrap().trim_start().starts_with("//") {
                continue;
            }
            occurrences += 1;
            let pieces = pieces(&source[at + "sql!(".len()..]);
            assert!(!pieces.is_empty(), "{name}:{line}: a statement that this test cannot read");
            let before = statements.len();
            for text in expand(&pieces, &calls) {
                let place = format!("{name}:{line}");
                statements.push(Statement { place, text });
            }
            assert!(statements.len() > before, "{name}:{line}: a statement of a macro that nobody calls");
        }
    }
    assert!(occurrences >= 25 && statements.len() >= occurrences, "{occurrences}");
    statements
}

/// The calls of the file's own macros that take one text: the argument of each, by the argument's name.
fn calls_of(source: &str) -> BTreeMap<String, Vec<String>> {
    let mut calls = BTreeMap::new();
    for definition in source.split("macro_rules! ").skip(1) {
        let name = definition.split([' ', '{']).next().unwrap();
        let Some(argument) = definition.split("($").nth(1).and_then(|rest| rest.split(":literal)").next())
        else {
            continue;
        };
        let call = format!("{name}!(");
        let texts: Vec<String> =
            source.split(&call).skip(1).filter_map(|rest| literal(rest).map(|(text, _)| text)).collect();
        calls.insert(argument.to_owned(), texts);
    }
    calls
}

/// The string literal that begins here, and what is behind it.
fn literal(source: &str) -> Option<(String, &str)> {
    let rest = source.trim_start().strip_prefix('"')?;
    let mut text = String::new();
    let mut chars = rest.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((text, &rest[i + 1..])),
            '\\' => {
                let (j, escaped) = chars.next().unwrap();
                assert_eq!(escaped, '\n', "an escape in a statement: {rest:.60}");
                let skipped = rest[j + 1..].len() - rest[j + 1..].trim_start().len();
                for _ in 0..skipped {
                    chars.next();
                }
            }
            c => text.push(c),
        }
    }
    None
}

/// `"…"` or `concat!("…", $name, …)`.
fn pieces(source: &str) -> Vec<Piece> {
    let source = source.trim_start();
    let Some(mut rest) = source.strip_prefix("concat!(") else {
        return literal(source).into_iter().map(|(text, _)| Piece::Text(text)).collect();
    };
    let mut pieces = Vec::new();
    loop {
        rest = rest.trim_start().trim_start_matches(',').trim_start();
        if rest.starts_with(')') {
            return pieces;
        }
        if let Some(argument) = rest.strip_prefix('$') {
            let end = argument.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap();
            pieces.push(Piece::Argument(argument[..end].to_owned()));
            rest = &argument[end..];
        } else {
            let Some((text, after)) = literal(rest) else {
                return Vec::new();
            };
            pieces.push(Piece::Text(text));
            rest = after;
        }
    }
}

/// A text for each call of the macro that it stands in; itself where it stands in none.
fn expand(pieces: &[Piece], calls: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let argument = pieces.iter().find_map(|piece| match piece {
        Piece::Argument(name) => Some(name),
        Piece::Text(_) => None,
    });
    let put_together = |value: &str| {
        let part = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Argument(_) => value.to_owned(),
        };
        pieces.iter().map(part).collect::<String>()
    };
    match argument {
        Some(name) => calls.get(name).into_iter().flatten().map(|value| put_together(value)).collect(),
        None => vec![put_together("")],
    }
}

/// The statement with each condition on the tenant taken out. `$1` stays, so that the parameters keep their places.
pub fn without_tenant(text: &str) -> String {
    let key =
        if text.contains("FROM tenants") || text.starts_with("UPDATE tenants") { "id" } else { "tenant_id" };
    let condition = format!("{key} = $1");
    let mut free = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(&condition) {
        let before = &rest[..at];
        let kept = match before.strip_suffix('.') {
            Some(alias) => alias.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_'),
            None => before,
        };
        free.push_str(kept);
        free.push_str("$1::uuid IS NOT NULL");
        rest = &rest[at + condition.len()..];
    }
    free + rest
}

pub fn parameters(text: &str) -> usize {
    let numbers = text.split('$').skip(1).map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().unwrap()
    });
    numbers.max().unwrap()
}

/// Every scan of a table in this plan has a condition on the tenant of the session.
pub fn assert_filtered(place: &str, plan: &[String]) {
    let all = plan.join("\n");
    // where the tenants' own table is read too, PostgreSQL may ask once whether the session's tenant is $1, and say $1 from
    // then on: a statement whose own condition was taken out can have it from there alone
    let once = plan.iter().any(|line| {
        line.contains("One-Time Filter:")
            && line.contains("current_setting('app.tenant_id'")
            && line.contains("= $1)")
    });
    let mut scans = 0;
    for (i, line) in plan.iter().enumerate() {
        let node = line.trim_start().trim_start_matches("->").trim_start();
        if !node.contains(" on ") || !node.contains("cost=") || node.starts_with("Bitmap Index") {
            continue;
        }
        if ["Update", "Delete", "Subquery Scan"].iter().any(|above| node.starts_with(above)) {
            continue; // its rows come from a scan below it
        }
        scans += 1;
        // its own conditions stand deeper than it, up to the next node
        let own = plan[i + 1..].iter().take_while(|line| !line.contains("cost="));
        let by_parameter = |line: &String| line.contains("tenant_id = $1") || line.contains("(id = $1)");
        if once && own.clone().any(by_parameter) {
            continue;
        }
        assert!(
            own.clone().any(|line| line.contains("current_setting('app.tenant_id'")),
            "{place}: a scan that is not kept to one tenant: {node}\n{all}"
        );
        assert!(!own.clone().any(|line| line.contains("tenant_id = $1")), "{place}: not taken out\n{all}");
    }
    assert!(scans > 0, "{place}: no table is read\n{all}");
}
