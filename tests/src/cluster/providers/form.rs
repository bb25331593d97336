//! Forms in HTML pages, as far as login pages have them: `input` elements inside a `form`.

use std::collections::BTreeMap;

/// A form: where it is sent, and with what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Form {
    action: String,
    fields: Vec<(String, String)>,
}

impl Form {
    /// The first form of a page.
    pub(super) fn first_of(page: &str) -> Option<Self> {
        let (mut form, rest) = next_tag(page, "form")?;
        let (mut inside, _) = rest.split_once("</form>")?;
        let mut fields = Vec::new();
        while let Some((mut input, rest)) = next_tag(inside, "input") {
            if is_sent(&input) {
                let value = input.remove("value").unwrap_or_default();
                fields.extend(input.remove("name").map(|name| (name, value)));
            }
            inside = rest;
        }
        Some(Self {
            action: form.remove("action").unwrap_or_default(),
            fields,
        })
    }

    /// Types these values into the fields of these names; whether there was any.
    pub(super) fn fill(&mut self, typed: &[(&str, &str)]) -> bool {
        let mut has_any = false;
        for (name, value) in &mut self.fields {
            if let Some((_, new)) = typed.iter().find(|(field, _)| field == name) {
                (*new).clone_into(value);
                has_any = true;
            }
        }
        has_any
    }

    /// URL to send it to, often relative to the page's.
    pub(super) fn action(&self) -> &str {
        &self.action
    }

    /// Names and values.
    pub(super) fn fields(&self) -> &[(String, String)] {
        &self.fields
    }
}

/// Whether a browser sends this input when Enter is pressed.
fn is_sent(input: &BTreeMap<String, String>) -> bool {
    match input.get("type").map(String::as_str) {
        Some("submit" | "button" | "image" | "reset") => false,
        Some("checkbox" | "radio") => input.contains_key("checked"),
        _ => !input.contains_key("disabled"),
    }
}

/// Attributes of the next element of this name, and what follows its start tag.
fn next_tag<'a>(html: &'a str, element: &str) -> Option<(BTreeMap<String, String>, &'a str)> {
    let begins = format!("<{element}");
    let (_, mut rest) = html.split_once(&begins)?;
    while !rest.starts_with(|next: char| next.is_whitespace() || next == '>') {
        (_, rest) = rest.split_once(&begins)?;
    }
    let mut attributes = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches(|next: char| next.is_whitespace() || next == '/');
        if let Some(after) = rest.strip_prefix('>') {
            return Some((attributes, after));
        }
        let is_end = |next: char| next.is_whitespace() || matches!(next, '=' | '>' | '/');
        let (name, after) = rest.split_at(rest.find(is_end)?);
        let value;
        (value, rest) = match after.trim_start().strip_prefix('=') {
            Some(after) => next_value(after.trim_start())?,
            None => ("", after),
        };
        attributes.insert(name.to_ascii_lowercase(), unescape(value));
    }
}

/// The value that an attribute begins with, in quotes or bare, and what follows.
fn next_value(text: &str) -> Option<(&str, &str)> {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote);
        }
    }
    let end = text.find(|next: char| next.is_whitespace() || next == '>')?;
    Some(text.split_at(end))
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(action: &str, fields: &[(&str, &str)]) -> Form {
        Form {
            action: action.to_owned(),
            fields: fields
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    #[test]
    fn fields_are_those_that_a_browser_sends() {
        let page = r#"<formula><form id=f onsubmit="return 1 > 0;" action="/login?a=1&amp;b=&quot;2&quot;" method="post">
            <label>Name</label> <input
              type="text" NAME='user' value="" autofocus required/>
            <input type=hidden name=prompt value=login>
            <input type="checkbox" name="remember"> <input type="checkbox" name="terms" value="yes" checked>
            <input name="old" value="x" disabled> <input type="submit" name="login" value="Log in">
            <input value="nameless">
            </form><form action="/other"><input name="q"></form>"#;
        let fields = [("user", ""), ("prompt", "login"), ("terms", "yes")];
        assert_eq!(
            Form::first_of(page),
            Some(form("/login?a=1&b=\"2\"", &fields))
        );
    }

    #[test]
    fn pages_without_a_whole_form_have_none() {
        for page in ["", "<p>form</p>", "<form", "<form action=x>", "<form a=\"b"] {
            assert_eq!(Form::first_of(page), None, "{page}");
        }
        assert_eq!(Form::first_of("<form></form>"), Some(form("", &[])));
    }

    #[test]
    fn only_fields_that_are_there_are_filled() {
        let mut login = form("/", &[("user", ""), ("csrf", "1")]);
        assert!(login.fill(&[("user", "alice"), ("password", "x")]));
        assert_eq!(login, form("/", &[("user", "alice"), ("csrf", "1")]));
        assert!(!form("/", &[("csrf", "1")]).fill(&[("user", "alice")]));
    }
}
