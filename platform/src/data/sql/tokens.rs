//! A statement's text as tokens, at compile time: the part of SQL's lexical rules that PostgreSQL and SQLite read alike.
//! Whatever one of them could read otherwise is refused.

const MOST_TOKENS: usize = 400;

#[derive(Clone, Copy)]
pub(super) struct Token {
    start: usize,
    end: usize,
    /// The innermost pair of brackets it stands in, numbered from 1 by their opening; 0 is the statement itself.
    pub group: usize,
}

pub(super) struct Statement<'a> {
    text: &'a [u8],
    tokens: [Token; MOST_TOKENS],
    pub len: usize,
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The byte here; 0 behind the end.
const fn byte_at(text: &[u8], at: usize) -> u8 {
    if at < text.len() { text[at] } else { 0 }
}

/// The end of the token that begins here.
const fn end_of(text: &[u8], start: usize) -> Result<usize, &'static str> {
    let mut at = start + 1;
    match text[start] {
        b'0'..=b'9' => {
            while byte_at(text, at).is_ascii_digit() {
                at += 1;
            }
            let after = byte_at(text, at);
            // `1OR 2` was two words to PostgreSQL 14
            if is_word(after) || after == b'$' || (after == b'.' && !byte_at(text, at + 1).is_ascii_digit()) {
                return Err("a number is written in digits, and what follows it stands apart");
            }
        }
        b'$' => {
            while byte_at(text, at).is_ascii_digit() {
                at += 1;
            }
            // to SQLite `$1AND` and `$1(a)` are parameters of these names
            let after = byte_at(text, at);
            if at == start + 1 || is_word(after) || after == b'$' || after == b'(' {
                return Err("only numbered parameters ($2) are understood, and what follows stands apart");
            }
        }
        b'\'' => {
            while at < text.len() && text[at] != b'\'' {
                if text[at] == b'\\' {
                    return Err("a backslash within a text is not understood: bind it as a parameter");
                }
                at += 1;
            }
            if at == text.len() {
                return Err("a text has no end");
            }
            at += 1;
        }
        byte if is_word(byte) => {
            while is_word(byte_at(text, at)) {
                at += 1;
            }
            // `E'…'`, `U&'…'`, `x'…'`; and `a$1` is a name
            if byte_at(text, at) == b'\'' || byte_at(text, at) == b'$' {
                return Err("prefixed texts and names with a dollar sign are not understood");
            }
        }
        b'(' | b')' | b',' | b'.' | b'=' | b'<' | b'>' | b'+' | b'*' | b'|' | b'!' | b'%' => {}
        b'-' if byte_at(text, at) != b'-' => {}
        b'/' if byte_at(text, at) != b'*' => {}
        _ => return Err("comments, casts by ::, quoted names, escapes and semicolons are not understood"),
    }
    Ok(at)
}

pub(super) const fn tokenize(text: &[u8]) -> Result<Statement<'_>, &'static str> {
    let mut tokens = [Token { start: 0, end: 0, group: 0 }; MOST_TOKENS];
    let (mut len, mut start) = (0, 0);
    let mut open = [0; 32]; // the groups that are open, the statement itself first
    let (mut depth, mut groups) = (0, 0);
    while start < text.len() {
        if text[start].is_ascii_whitespace() {
            start += 1;
            continue;
        }
        let end = match end_of(text, start) {
            Ok(end) => end,
            Err(fault) => return Err(fault),
        };
        if len == MOST_TOKENS {
            return Err("a statement is too long to be checked");
        }
        if text[start] == b')' {
            if depth == 0 {
                return Err("a bracket is closed that was not opened");
            }
            depth -= 1;
        }
        let group = open[depth];
        tokens[len] = Token { start, end, group };
        len += 1;
        if text[start] == b'(' {
            depth += 1;
            groups += 1;
            if depth == open.len() {
                return Err("brackets are nested too deep");
            }
            open[depth] = groups;
        }
        start = end;
    }
    if depth > 0 {
        return Err("a bracket is not closed");
    }
    Ok(Statement { text, tokens, len })
}

impl Statement<'_> {
    /// The brackets that a token stands in; of a bracket, those around it.
    pub const fn group(&self, i: usize) -> usize {
        self.tokens[i].group
    }

    const fn first_byte(&self, i: usize) -> u8 {
        if i < self.len { self.text[self.tokens[i].start] } else { 0 }
    }

    /// A name or a keyword.
    pub const fn is_name(&self, i: usize) -> bool {
        let first = self.first_byte(i);
        first.is_ascii_alphabetic() || first == b'_'
    }

    /// `'…'`.
    pub const fn is_text(&self, i: usize) -> bool {
        self.first_byte(i) == b'\''
    }

    /// What can end an expression other than a name: a number, a parameter, a text, a bracket.
    pub const fn is_value(&self, i: usize) -> bool {
        matches!(self.first_byte(i), b'0'..=b'9' | b'$' | b'\'' | b')')
    }

    pub const fn has(&self, group: usize, word: &str) -> bool {
        let mut i = 0;
        while i < self.len {
            if self.tokens[i].group == group && self.is(i, word) {
                return true;
            }
            i += 1;
        }
        false
    }

    pub const fn is_any(&self, i: usize, words: &[&str]) -> bool {
        let mut w = 0;
        while w < words.len() {
            if self.is(i, words[w]) {
                return true;
            }
            w += 1;
        }
        false
    }

    pub const fn is(&self, i: usize, word: &str) -> bool {
        i < self.len && self.equal(self.tokens[i], word.as_bytes(), 0, word.len())
    }

    /// Whether two tokens are the same word.
    pub const fn same(&self, a: usize, b: usize) -> bool {
        a < self.len
            && b < self.len
            && self.equal(self.tokens[a], self.text, self.tokens[b].start, self.tokens[b].end)
    }

    const fn equal(&self, token: Token, other: &[u8], start: usize, end: usize) -> bool {
        if token.end - token.start != end - start {
            return false;
        }
        let mut k = 0;
        while k < end - start {
            if !self.text[token.start + k].eq_ignore_ascii_case(&other[start + k]) {
                return false;
            }
            k += 1;
        }
        true
    }

    /// The bracket that closes what stands in this group, or the end of the statement.
    pub const fn end_of_group(&self, inside: usize) -> usize {
        let group = self.tokens[inside].group;
        let mut at = inside;
        while at < self.len {
            // groups are numbered by their opening, so what is in a bracket of this one has a higher number
            if self.tokens[at].group < group {
                return at;
            }
            at += 1;
        }
        self.len
    }
}
