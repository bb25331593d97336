//! Regular expressions. Go's and ours are both RE2's, with differences that are removed or refused here.

use cel::common::ast::IdedExpr;
use regex::RegexBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};
use regex_syntax::utf8::Utf8Sequences;

use super::Checker;
use crate::expression::budget::MAX_PATTERN_BYTES;
use crate::expression::node::{Match, Node};
use crate::expression::source::CompileError;
use crate::expression::value::Value;

/// Most memory that a compiled pattern may take, in bytes, and most that a search may keep for the next one.
const SIZE_LIMIT: usize = 256 * 1024;

/// What a pattern takes apart from its states, in bytes, and what each of them takes.
const PATTERN_BYTES: u64 = 16 * 1024;
const STATE_BYTES: u64 = 32;

impl Checker<'_> {
    /// The node of `matches`, `find` or `findAll`.
    pub(super) fn pattern(
        &mut self,
        place: &IdedExpr,
        name: &str,
        subject: Node,
        pattern: &Node,
        most: Option<Node>,
    ) -> Result<Node, CompileError> {
        let Node::Constant(Value::String(text)) = pattern else {
            // What a pattern from a token does would be seen only at a login.
            return Err(self.unsupported(place, "a pattern that is not a literal"));
        };
        let source = self.source;
        let invalid = |error: &str| {
            // A whole error shows the pattern over several lines; its last one says what is wrong.
            let last = error.lines().last().unwrap_or_default();
            let error = last.trim_start_matches("error: ");
            source.issue(place, format!("invalid {name} argument: {error}"))
        };
        let translated = translate(text).map_err(invalid)?;
        let parsed =
            regex_syntax::parse(&translated).map_err(|error| invalid(&error.to_string()))?;
        if !self.budget.takes_pattern(bytes(&parsed)) {
            let mebibytes = MAX_PATTERN_BYTES >> 20;
            let message = format!(
                "the patterns of all expressions together take more than {mebibytes} MiB; Haulout does not support that"
            );
            return Err(source.issue(place, message));
        }
        let pattern = RegexBuilder::new(&translated)
            .size_limit(SIZE_LIMIT)
            .dfa_size_limit(SIZE_LIMIT)
            .build()
            .map_err(|error| invalid(&error.to_string()))?;
        let mode = match name {
            "find" => Match::First,
            "findAll" => Match::All(most.map(Box::new)),
            _ => Match::Whether,
        };
        Ok(Node::Match {
            subject: Box::new(subject),
            weight: weight(&parsed),
            pattern: Box::new(pattern),
            mode,
        })
    }
}

/// Steps that each 16 bytes of a subject cost: at worst each byte is compared with each place of the pattern, and there
/// with the ranges of a class one after another.
fn weight(pattern: &Hir) -> u64 {
    let of_class = |class: &Class| {
        let ranges = match class {
            Class::Unicode(class) => class.ranges().len(),
            Class::Bytes(class) => class.ranges().len(),
        };
        // Of a character's first byte there are no more.
        1 + number(ranges.min(256) / 4)
    };
    places(pattern, &of_class).saturating_add(1)
}

/// About what a pattern takes when it is compiled, and in proportion to the time that this takes.
fn bytes(pattern: &Hir) -> u64 {
    let of_class = |class: &Class| match class {
        Class::Unicode(class) => class
            .iter()
            .flat_map(|range| Utf8Sequences::new(range.start(), range.end()))
            .map(|sequence| number(sequence.len()))
            .sum(),
        Class::Bytes(class) => number(class.ranges().len()),
    };
    places(pattern, &of_class)
        .saturating_mul(STATE_BYTES)
        .saturating_add(PATTERN_BYTES)
}

/// Places in a pattern whose repetitions are written out.
fn places(pattern: &Hir, of_class: &impl Fn(&Class) -> u64) -> u64 {
    let all = |parts: &[Hir]| {
        parts.iter().fold(0_u64, |sum, part| {
            sum.saturating_add(places(part, of_class))
        })
    };
    match pattern.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => number(literal.0.len()),
        HirKind::Class(class) => of_class(class),
        HirKind::Repetition(repetition) => {
            let open_end = repetition.min.saturating_add(1);
            let times = u64::from(repetition.max.unwrap_or(open_end));
            let once = places(&repetition.sub, of_class).saturating_add(1);
            once.saturating_mul(times.max(1))
        }
        HirKind::Capture(capture) => places(&capture.sub, of_class).saturating_add(2),
        HirKind::Concat(parts) => all(parts),
        HirKind::Alternation(parts) => all(parts).saturating_add(number(parts.len())),
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// `pattern` of Go's `regexp/syntax` as one of ours with the same matches.
fn translate(pattern: &str) -> Result<String, &'static str> {
    let mut translated = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    let mut class_start = false;
    let mut repeated = false;
    let ignores_case = ignores_case(pattern);
    while let Some(char) = chars.next() {
        let was_repeated = std::mem::take(&mut repeated);
        let at_class_start = std::mem::take(&mut class_start);
        match char {
            '\\' => {
                let escaped = chars.next().ok_or("trailing backslash")?;
                translated.push_str(&escape(escaped, in_class, ignores_case)?);
            }
            '[' if !in_class => {
                in_class = true;
                translated.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    translated.push('^');
                }
                class_start = true;
            }
            // Ours nests classes.
            '[' if chars.peek() == Some(&':') => named_class(&mut chars, &mut translated)?,
            '[' => translated.push_str("\\["),
            // The first of a class stands for itself.
            ']' if in_class && at_class_start => translated.push_str("\\]"),
            ']' if in_class => {
                in_class = false;
                translated.push(']');
            }
            // Ours has operators between classes.
            '&' | '~' if in_class => translated.extend(['\\', char]),
            '-' if in_class && chars.peek() == Some(&'-') => {
                return Err("'--' in a class is not supported by Haulout; escape one of them");
            }
            _ if in_class => translated.push(char),
            '(' if chars.peek() == Some(&'?') => {
                translated.push('(');
                group(&mut chars, &mut translated)?;
            }
            '*' | '+' | '?' if was_repeated => return Err("invalid nested repetition operator"),
            '*' | '+' | '?' => {
                translated.push(char);
                translated.extend(chars.next_if_eq(&'?'));
                repeated = true;
            }
            '{' if was_repeated => return Err("invalid nested repetition operator"),
            '{' => {
                translated.push('{');
                repetition(&mut chars, &mut translated)?;
                translated.extend(chars.next_if_eq(&'?'));
                repeated = true;
            }
            '}' => translated.push_str("\\}"),
            _ => translated.push(char),
        }
    }
    Ok(translated)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Classes that have names, such as `[:alpha:]`, or `[:^alpha:]` for all else.
const NAMED_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// What follows a `[` within a class and begins with a colon: a name if it ends as one, wherever that is.
fn named_class(chars: &mut Chars<'_>, translated: &mut String) -> Result<(), &'static str> {
    let rest: String = chars.clone().skip(1).collect();
    let Some((name, _)) = rest.split_once(":]") else {
        translated.push_str("\\[");
        return Ok(());
    };
    if !NAMED_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return Err("invalid character class range");
    }
    translated.extend(["[:", name, ":]"]);
    chars.nth(name.len() + 2);
    Ok(())
}

/// Whether some part of `pattern` may ignore case: a group's flags come before its first colon or bracket.
fn ignores_case(pattern: &str) -> bool {
    pattern.split("(?").skip(1).any(|group| {
        let flags = group.split([':', ')', '<', 'P']).next().unwrap_or_default();
        flags.contains('i')
    })
}

/// What follows a backslash. Go's classes hold ASCII only.
fn escape(char: char, in_class: bool, ignores_case: bool) -> Result<String, &'static str> {
    let class = match char {
        'd' => "0-9",
        'D' => "^0-9",
        's' => "\\t\\n\\x0c\\r ",
        'S' => "^\\t\\n\\x0c\\r ",
        'w' => "0-9A-Za-z_",
        'W' => "^0-9A-Za-z_",
        'b' if !in_class => return Ok("(?-u:\\b)".to_owned()),
        'B' if !in_class => return Ok("(?-u:\\B)".to_owned()),
        'A' | 'z' if !in_class => return Ok(format!("\\{char}")),
        'a' | 'f' | 'n' | 'r' | 't' | 'v' | 'x' => return Ok(format!("\\{char}")),
        other if other.is_ascii_punctuation() && !matches!(other, '_' | '<' | '>') => {
            return Ok(regex::escape(&other.to_string()));
        }
        _ => return Err("this escape is not supported by Haulout"),
    };
    match ignores_case && matches!(char, 'w' | 'W') {
        // Ours would take letters for word characters that Go does not.
        true => Err("'\\w' where case is ignored is not supported by Haulout"),
        false => Ok(format!("[{class}]")),
    }
}

/// What follows `(`, up to the flags' end.
fn group(chars: &mut Chars<'_>, translated: &mut String) -> Result<(), &'static str> {
    translated.extend(chars.next());
    match chars.peek() {
        Some('P' | '<') => Ok(()),
        _ => {
            while let Some(flag) = chars.next_if(|char| !matches!(char, ':' | ')')) {
                match flag {
                    'i' | 'm' | 's' | 'U' | '-' => translated.push(flag),
                    _ => return Err("invalid or unsupported Perl syntax"),
                }
            }
            Ok(())
        }
    }
}

/// What follows `{`, which Go takes for itself where it is no repetition.
fn repetition(chars: &mut Chars<'_>, translated: &mut String) -> Result<(), &'static str> {
    const MAX: u32 = 1000;
    let mut numbers = String::new();
    while let Some(char) = chars.next_if(|char| char.is_ascii_digit() || *char == ',') {
        numbers.push(char);
    }
    let parsed = |number: &str| number.parse().is_ok_and(|number: u32| number <= MAX);
    let is_valid = match numbers.split_once(',') {
        None => parsed(&numbers),
        Some((least, "")) => parsed(least),
        Some((least, most)) => parsed(least) && parsed(most),
    };
    match (is_valid, chars.next()) {
        (true, Some('}')) => {
            translated.push_str(&numbers);
            translated.push('}');
            Ok(())
        }
        _ => Err("'{' begins no repetition; escape it"),
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn a_pattern_weighs_what_it_is_with_its_repetitions_written_out() {
        for (pattern, least, most) in [
            ("abc", 3, 4),
            ("a[a-z]{200}b", 200, 500),
            ("a.{200}b", 200, 500),
            ("a[a-z]{1000}b", 1_000, 2_500),
            ("(?:a{10}){10}", 100, 250),
            ("(?:a{2,10}){0,10}", 100, 250),
            ("a{10,}", 11, 25),
            ("a+b*c?", 3, 10),
            ("a{0}", 1, 3),
            ("(?:ab|cd|ef)", 6, 12),
            (
                "(?:(?:(?:a{1000}){1000}){1000}){1000}",
                1_000_000_000_000,
                u64::MAX,
            ),
        ] {
            let weight = weight(&regex_syntax::parse(pattern).unwrap());
            assert!((least..=most).contains(&weight), "{pattern}: {weight}");
        }
    }

    fn found<'t>(pattern: &str, text: &'t str) -> Option<&'t str> {
        let pattern = Regex::new(&translate(pattern).unwrap()).unwrap();
        pattern.find(text).map(|found| found.as_str())
    }

    #[test]
    fn classes_are_those_of_go() {
        for (pattern, text, match_) in [
            ("\\d", "٣3", Some("3")),
            ("\\w+", "éa_9", Some("a_9")),
            ("\\W", "aé", Some("é")),
            ("\\s", "\u{a0}", None),
            ("\\S", "\u{a0}", Some("\u{a0}")),
            ("[\\d.]+", "x1.2", Some("1.2")),
            ("[^\\w]", "aé", Some("é")),
            ("[[]", "[", Some("[")),
            ("[a[b]+", "b[a", Some("b[a")),
            ("[a&&b]+", "&ab", Some("&ab")),
            ("[]a]+", "a]", Some("a]")),
            ("[^]a]", "a]b", Some("b")),
            ("[[:alpha:]_]+", "1a_", Some("a_")),
            ("[[:^alpha:][:digit:]]+", "a-1", Some("-1")),
            ("[:a]+", ":a", Some(":a")),
            ("[[:a]+", "[:a", Some("[:a")),
            ("\\bé", "é", None),
            ("a{2}", "aaa", Some("aa")),
            ("a}", "a}", Some("a}")),
            ("(?i)k", "K", Some("K")),
            ("(?P<n>a)(?:b)", "ab", Some("ab")),
            ("^a$", "a\n", None),
        ] {
            assert_eq!(found(pattern, text), match_, "{pattern}");
        }
    }

    #[test]
    fn what_go_refuses_or_reads_otherwise_is_refused() {
        for pattern in [
            "a**",
            "a+*",
            "a{2}{3}",
            "a{1001}",
            "a{,2}",
            "{",
            "(?x)a",
            "\\pN",
            "\\p{Greek}",
            "\\u0041",
            "\\Qa\\E",
            "\\C",
            "\\1",
            "\\<",
            "[a--b]",
            "[[:seal:]]",
            "[[:Alpha:]]",
            "[[:a]b[:]]",
            "(?i)\\w",
            "\\",
        ] {
            assert!(translate(pattern).is_err(), "{pattern}");
        }
    }
}
