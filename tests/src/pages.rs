//! What pages of the documentation hold for tests to run.

/// The contents of the `sh` blocks of a page, those within lists too.
#[must_use]
pub fn shell_blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for line in page.lines() {
        let text = line.trim_start();
        match &mut open {
            None if text == "```sh" => open = Some((line.len() - text.len(), String::new())),
            None => {}
            Some(_) if text == "```" => blocks.extend(open.take().map(|(_, block)| block)),
            Some((indentation, block)) => {
                block.push_str(line.get(*indentation..).unwrap_or_default());
                block.push('\n');
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_and_lose_their_indentation() {
        let page =
            "```sh\na\n```\n```text\nb\n```\n1. x\n\n   ```sh\n   c <<E\n     d\n   E\n   ```\n";
        assert_eq!(shell_blocks(page), ["a\n", "c <<E\n  d\nE\n"]);
    }
}
