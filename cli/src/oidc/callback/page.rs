//! What the browser shows in the end.

use haulout_https::foreign;

use super::Denied;

const TEMPLATE: &str = include_str!("page.html");

/// The page for a login that went well.
pub(super) fn success() -> String {
    fill(
        "success",
        "M7.5 12.5l3 3 6-7",
        "You are logged in",
        "<p>You may now close this tab and go back to your terminal.</p>",
    )
}

/// The page for one that did not; the issuer's reason, if it gave one, is shown as text.
pub(super) fn failure(denied: Option<&Denied>) -> String {
    let mut text = String::new();
    if let Some(Denied { code, description }) = denied {
        let reason = match description.as_str() {
            "" => code,
            description => description,
        };
        text = format!("<p>{}</p>\n", escape(&foreign(reason)));
    }
    text.push_str("<p>Your terminal says more. You may now close this tab.</p>");
    fill(
        "failure",
        "M8.5 8.5l7 7m0-7l-7 7",
        "The login failed",
        &text,
    )
}

fn fill(outcome: &str, mark: &str, headline: &str, text: &str) -> String {
    TEMPLATE
        .replace("{{outcome}}", outcome)
        .replace("{{mark}}", mark)
        .replace("{{headline}}", headline)
        // Last, since it may hold anything.
        .replace("{{text}}", text)
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(description: &str) -> String {
        failure(Some(&Denied {
            code: "access_denied".to_owned(),
            description: description.to_owned(),
        }))
    }

    #[test]
    fn pages_are_whole() {
        for page in [success(), failure(None), denied("not today")] {
            assert!(!page.contains("{{"), "{page}");
            assert!(page.contains("may now close this tab"), "{page}");
        }
    }

    #[test]
    fn the_issuers_reason_is_text_and_nothing_else() {
        let page = denied("<img src=x onerror=\"a('b')\">&");
        let shown = "<p>&lt;img src=x onerror=&quot;a(&#39;b&#39;)&quot;&gt;&amp;</p>";
        assert!(page.contains(shown), "{page}");
        assert!(!page.contains("<img"), "{page}");
        assert!(denied("").contains("<p>access_denied</p>"));
        assert!(denied(&"x".repeat(9999)).contains("truncated"));
    }
}
