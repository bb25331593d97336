//! Names of images.

/// Whether this is a name with a tag, as the registries' grammar has it: `[host[:port]/]part[/part…]:tag`.
pub(crate) fn is_valid(reference: &str) -> bool {
    let Some((name, tag)) = reference.rsplit_once(':') else {
        return false;
    };
    is_tag(tag) && is_name(name)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.starts_with(is_word)
        && tag.len() <= 128
        && tag.chars().all(|c| is_word(c) || matches!(c, '.' | '-'))
}

fn is_name(name: &str) -> bool {
    match name.split_once('/') {
        // A first part with a dot or a port is a registry.
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            is_host(first) && rest.split('/').all(is_part)
        }
        _ => name.split('/').all(is_part),
    }
}

fn is_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "443"));
    let is_host_character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    !host.is_empty() && host.chars().all(is_host_character) && port.parse::<u16>().is_ok()
}

fn is_part(part: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(is_alphanumeric)
        && part.ends_with(is_alphanumeric)
        && (part.chars()).all(|c| is_alphanumeric(c) || matches!(c, '.' | '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_tags_and_small_letters() {
        for reference in [
            "haulout/haulout-agent:0.1.0",
            "pause:3.10",
            "a/b/c:V1_x-2",
            "registry.example.com:5000/team/haulout-agent:0.1.0",
            "localhost/x:1",
        ] {
            assert!(is_valid(reference), "{reference}");
        }
        for reference in [
            "",
            "haulout/haulout-agent",
            "haulout/haulout-agent:",
            ":1",
            "Haulout/agent:1",
            "haulout//agent:1",
            "/agent:1",
            "agent/:1",
            "agent:-1",
            "agent:1/x",
            "a b:1",
            "registry.example.com:port/x:1",
            "registry.example.com/:1",
            "x@sha256:1234/y:1",
        ] {
            assert!(!is_valid(reference), "{reference}");
        }
    }
}
