//! Man pages, from the flags themselves.

use anyhow::Context as _;
use clap_mangen::Man;

/// A page for the command and one for each below it: its file's name and its text.
///
/// # Errors
/// A page cannot be rendered.
pub(super) fn pages(command: clap::Command) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add(command, &mut pages)?;
    Ok(pages)
}

fn add(command: clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> anyhow::Result<()> {
    let below = command
        .get_subcommands()
        .filter(|below| !below.is_hide_set());
    let below: Vec<clap::Command> = below.cloned().collect();
    let man = Man::new(command);
    let name = man.get_filename();
    let mut page = Vec::new();
    man.render(&mut page)
        .with_context(|| format!("failed to render {name}"))?;
    pages.push((name, page));
    below.into_iter().try_for_each(|below| add(below, pages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_with_its_flags() {
        let pages = pages(haulout::command()).unwrap();
        let page = |name: &str| {
            let found = pages.iter().find(|(file, _)| file == name);
            let (_, text) = found.unwrap_or_else(|| panic!("{name}"));
            // Hyphens are escaped.
            String::from_utf8(text.clone()).unwrap().replace("\\-", "-")
        };
        assert!(page("haulout.1").contains("haulout-login(1)"));
        assert!(page("haulout-login-oidc.1").contains("--request-audience"));
        assert!(page("haulout-whoami.1").contains("--kubeconfig-context"));
        let hidden = "--concierge-namespace";
        assert!(!page("haulout-login-static.1").contains(hidden));
        assert!(pages.iter().all(|(name, _)| !name.contains("help")));
    }
}
