//! How the command line of a container is read.

use k8s_openapi::api::core::v1::Container;

/// The last value of a flag, as the flag library of Kubernetes reads it: `--flag value` and `--flag=value`, `_` for `-`,
/// nothing after `--`. An empty value counts as none.
pub(super) fn flag_value<'a>(container: &'a Container, flag: &str) -> Option<&'a str> {
    let mut words = words(container);
    let mut value = None;
    while let Some(word) = words.next().filter(|word| *word != "--") {
        let (name, given) = match word.split_once('=') {
            Some((name, given)) => (name, Some(given)),
            None => (word, None),
        };
        if name.starts_with("--") && name.replace('_', "-") == flag {
            value = given.or_else(|| words.next());
        }
    }
    value.filter(|value| !value.is_empty())
}

/// Whether a container runs a text in a shell, such as `sh -c "exec kube-controller-manager ..."`.
pub(super) fn is_shell(container: &Container) -> bool {
    let mut words = words(container);
    let program = words.next().unwrap_or_default();
    program
        .rsplit('/')
        .next()
        .is_some_and(|name| name.ends_with("sh"))
        && words.any(|word| {
            let options = word.strip_prefix('-').unwrap_or_default();
            !options.starts_with('-') && options.contains('c')
        })
}

fn words(container: &Container) -> impl Iterator<Item = &str> {
    let words = container.command.iter().chain(&container.args);
    words.flatten().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_as_kubernetes_reads_them() {
        let cases: [(&[&str], Option<&str>); 14] = [
            (&["--f=/a"], Some("/a")),
            (&["--f", "/a"], Some("/a")),
            (&["manager", "--x", "--f", "/a", "--y=z"], Some("/a")),
            (&["--f=/a", "--f=/b"], Some("/b")),
            (&["--f=/a", "--f="], None),
            (&["--f="], None),
            (&["--f"], None),
            (&[], None),
            (&["--", "--f=/a"], None),
            (&["--f=/a", "--", "--f=/b"], Some("/a")),
            (&["--f", "--"], Some("--")),
            (&["-f=/a"], None),
            (&["f=/a"], None),
            (&["--f=/a=b"], Some("/a=b")),
        ];
        for (command, expected) in cases {
            let container = Container {
                command: Some(command.iter().map(|&word| word.to_owned()).collect()),
                ..Container::default()
            };
            assert_eq!(flag_value(&container, "--f"), expected, "{command:?}");
        }
        let container = Container {
            command: Some(vec!["manager".to_owned(), "--a_b".to_owned()]),
            args: Some(vec!["/a".to_owned()]),
            ..Container::default()
        };
        assert_eq!(
            flag_value(&container, "--a-b"),
            Some("/a"),
            "command and arguments are one line"
        );
    }

    #[test]
    fn a_shell_is_one_only_with_a_text() {
        let cases: [(&[&str], bool); 8] = [
            (&["sh", "-c", "x"], true),
            (&["/bin/bash", "-o", "pipefail", "-xc", "x"], true),
            (&["dash", "-c", "x"], true),
            (&["sh", "/start.sh"], false),
            (&["kube-controller-manager", "-c"], false),
            (&["/bin/sh", "--config"], false),
            (&["sh"], false),
            (&[], false),
        ];
        for (command, expected) in cases {
            let container = Container {
                command: Some(command.iter().map(|&word| word.to_owned()).collect()),
                ..Container::default()
            };
            assert_eq!(is_shell(&container), expected, "{command:?}");
        }
    }
}
