//! Rust as tokens: so that no comment and no text is taken for code, nor code for a text.

/// A token; comments and lifetimes are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// An identifier or a keyword.
    Word(String),
    /// What stands in a string literal, as it is written.
    Text(String),
    /// One sign; a literal of another kind is a `0`.
    Sign(char),
}

impl Token {
    /// Whether it is this word, or this sign.
    pub fn is(&self, word: &str) -> bool {
        match self {
            Self::Word(own) => own == word,
            Self::Sign(own) => word.len() == own.len_utf8() && word.starts_with(*own),
            Self::Text(_) => false,
        }
    }

    /// The word that it is.
    pub fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }
}

/// All tokens of a file.
pub fn lex(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let (token, length) = first(rest, next);
        tokens.extend(token);
        rest = &rest[length..];
    }
    tokens
}

/// The first token of what is left, and how long it is.
fn first(rest: &str, next: char) -> (Option<Token>, usize) {
    if next.is_whitespace() {
        return (None, next.len_utf8());
    }
    if rest.starts_with("//") {
        return (None, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (None, rest.find("*/").expect("a comment that ends") + 2);
    }
    let prefix = rest
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    let hashes = rest[prefix..].len() - rest[prefix..].trim_start_matches('#').len();
    let after = &rest[prefix + hashes..];
    if after.starts_with('"') && ["", "b", "c", "r", "br", "cr"].contains(&&rest[..prefix]) {
        let is_raw = rest[..prefix].ends_with('r');
        // `#` before a plain string is a sign of its own.
        if is_raw || hashes == 0 {
            let end = if is_raw {
                raw_end(after, hashes)
            } else {
                plain_end(after)
            };
            let written = after[1..end].to_owned();
            let quote = 1 + if is_raw { hashes } else { 0 };
            return (Some(Token::Text(written)), prefix + hashes + end + quote);
        }
    }
    if next == '\'' {
        return character_or_lifetime(rest);
    }
    if next.is_ascii_digit() {
        return (Some(Token::Sign('0')), prefix);
    }
    if prefix > 0 {
        return (Some(Token::Word(rest[..prefix].to_owned())), prefix);
    }
    (Some(Token::Sign(next)), next.len_utf8())
}

/// Where the closing quote is, in what begins with the opening one.
fn raw_end(quoted: &str, hashes: usize) -> usize {
    let close = format!("\"{}", "#".repeat(hashes));
    1 + quoted[1..].find(&close).expect("a text that ends")
}

fn plain_end(quoted: &str) -> usize {
    let mut is_escaped = false;
    let end = quoted.char_indices().skip(1).find(|&(_, c)| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    end.expect("a text that ends").0
}

fn character_or_lifetime(rest: &str) -> (Option<Token>, usize) {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next().expect("something after a quote");
    let (at, second) = chars.next().expect("something after a quote");
    if first == '\\' {
        // The escaped character may itself be a quote.
        let end = at + second.len_utf8();
        return (
            Some(Token::Sign('0')),
            end + rest[end..].find('\'').expect("a character that ends") + 1,
        );
    }
    if second == '\'' {
        return (Some(Token::Sign('0')), at + 1);
    }
    let end = rest[1..].find(|c: char| !c.is_alphanumeric() && c != '_');
    (None, end.map_or(rest.len(), |end| end + 1))
}

/// The same without the items that are compiled for tests only, and the modules among them that have files.
pub fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    const FOR_TESTS: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut code, mut modules) = (Vec::new(), Vec::new());
    let mut rest = tokens;
    while let Some(token) = rest.first() {
        let is_for_tests =
            rest.len() > FOR_TESTS.len() && rest.iter().zip(FOR_TESTS).all(|(t, word)| t.is(word));
        if is_for_tests {
            rest = &rest[FOR_TESTS.len()..];
            let item = item_length(rest);
            if let [.., module, name, end] = &rest[..item]
                && module.is("mod")
                && end.is(";")
            {
                modules.extend(name.word().map(str::to_owned));
            }
            rest = &rest[item..];
        } else {
            code.push(token.clone());
            rest = &rest[1..];
        }
    }
    (code, modules)
}

/// Up to its semicolon, or to the end of its braces.
fn item_length(tokens: &[Token]) -> usize {
    let mut depth = 0_i32;
    for (at, token) in tokens.iter().enumerate() {
        if ["(", "[", "{"].iter().any(|open| token.is(open)) {
            depth += 1;
        } else if [")", "]", "}"].iter().any(|close| token.is(close)) {
            depth -= 1;
        }
        if depth == 0 && (token.is("}") || token.is(";")) {
            return at + 1;
        }
    }
    tokens.len()
}

#[test]
fn comments_texts_and_characters_are_told_apart() {
    let source = r##"
        // sqlx::query!("no")
        /* nor here */ fn name<'a>(c: &'a str) -> char { let x = ('"', '\'', '\\', b"a\"b", r#"c"d"#, 1_000u8); '{' }
        #[doc = "text"] #[cfg(test)] mod tests; #[cfg(test)] mod inner { fn gone() {} } fn kept() {}
    "##;
    let tokens = lex(source);
    let texts: Vec<_> = tokens
        .iter()
        .filter(|token| matches!(token, Token::Text(_)))
        .collect();
    let text = |text: &str| Token::Text(text.to_owned());
    assert_eq!(texts, [&text("a\\\"b"), &text("c\"d"), &text("text")]);
    let (code, modules) = without_tests(&tokens);
    let words: Vec<_> = code.iter().filter_map(Token::word).collect();
    let expected = "fn name c str char let x fn kept"
        .split(' ')
        .collect::<Vec<_>>();
    assert_eq!(
        words
            .iter()
            .filter(|word| **word != "doc")
            .copied()
            .collect::<Vec<_>>(),
        expected
    );
    assert_eq!(modules, ["tests"]);
}
